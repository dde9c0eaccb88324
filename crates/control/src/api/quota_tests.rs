//! Quotas and the terms of keys, limits above them, and what is left, from outside.

use ledger::meter::{Asked, Facts, Payer};
use ledger::{Hold, Meter as _, Settlement};
use model::quota::{Amounts, Owner, OwnerKind, Quota};
use model::resource::terms::OnDisconnect;
use model::{NanoUsd, RequestId, Usage, UsageSource};
use serde_json::{Value, json};
use store::Scope;

use super::money_tests::{KEYS, USERS, at, balance, id, own_usage, quota};
use crate::testing::{ADMIN_TOKEN, Fixture, NOW};

const TENANTS: &str = "/api/v1/admin/tenants";
const GROUPS: &str = "/api/v1/admin/groups";
const LIMITS: &str = "/api/v1/admin/settings/limits";

/// What `owner` is expected to use for one request, which then runs.
fn hold(fixture: &Fixture, (kind, id): (OwnerKind, &str), quotas: &Value, expected: Amounts) -> Hold {
    let quotas: Vec<Quota> = serde_json::from_value(quotas.clone()).unwrap();
    let payer = Payer { owner: Owner { kind, id: id.into() }, quotas: quotas.into(), wallet: false };
    let request = RequestId::mint(fixture.state.clock.now_ms(), fixture.state.chance());
    let tenant = "default".into();
    let facts = Facts { request, key: None, user: None, tenant, model: "gpt-5".into() };
    let asked = Asked { facts, payers: [payer].into(), expected, at: NOW };
    fixture.state.ledger.hold(asked).unwrap()
}

/// The request ends and cost so much.
fn settle(fixture: &Fixture, hold: Hold, cost: i64) {
    let usage = Usage { source: UsageSource::Measured, ..Usage::default() };
    let settlement = Settlement { usage, cost: Some(NanoUsd(cost)), at: NOW, attempts: Vec::new() };
    fixture.state.ledger.settle(hold, settlement);
}

#[tokio::test]
async fn a_key_has_its_terms_flat_and_changes_them_one_by_one() {
    let fixture = Fixture::empty().await;
    let body = json!({"name": "k", "quota": [quota("cost", "monthly", "12.50"), quota("requests", "24h", "10")],
        "is_whitelist": true, "on_disconnect": {"action": "drain", "seconds": 30}, "strict_unary": "clamp",
        "when_exhausted": "finish", "idempotency": true});
    let made = fixture.created(KEYS, body).await;
    let quotas = json!([{"unit": "cost", "period": "monthly", "limit": "12.5"},
        {"unit": "requests", "period": "24h", "limit": 10}]);
    assert_eq!(made["quota"], quotas);
    let changed = fixture.patch(&at(KEYS, &made, ""), &json!({"on_disconnect": "cancel"})).await.json;
    for (name, expected) in [
        ("quota", quotas),
        ("is_whitelist", json!(true)),
        ("on_disconnect", json!("cancel")),
        ("strict_unary", json!("clamp")),
        ("when_exhausted", json!("finish")),
        ("idempotency", json!(true)),
    ] {
        assert_eq!(changed[name], expected, "{name}");
    }
    let stored = fixture.state.store.find_key(&Scope::system(), &id(&made)).await.unwrap().unwrap();
    assert_eq!((stored.terms.on_disconnect, stored.terms.quota.len()), (OnDisconnect::Cancel, 2));

    let plain = fixture.created(KEYS, json!({"name": "plain", "kind": "trial"})).await;
    assert_eq!((&plain["quota"], &plain["on_disconnect"]), (&json!([]), &json!("cancel")));
}

#[tokio::test]
async fn quotas_are_replaced_by_an_object_or_a_list_everywhere() {
    let fixture = Fixture::empty().await;
    let key = fixture.created(KEYS, json!({"name": "k"})).await;
    let user = fixture.created(USERS, json!({"email": "u@example.org"})).await;
    let tenant = fixture.created(TENANTS, json!({"id": "acme"})).await;
    let group = fixture.created(GROUPS, json!({"id": "vip"})).await;
    let list = json!([quota("tokens", "daily", "7")]);
    for (path, made) in [(KEYS, &key), (USERS, &user), (TENANTS, &tenant), (GROUPS, &group)] {
        for body in [json!({"quota": list}), list.clone()] {
            let seen = fixture.put(&at(path, made, "/quota"), &body).await;
            assert_eq!(seen.status, 200, "{path}: {}", seen.json);
            assert_eq!(seen.json["quota"], json!([{"unit": "tokens", "period": "daily", "limit": 7}]));
            assert_eq!(seen.json["windows"][0]["remaining"], 7, "{path}: {}", seen.json);
        }
        let twice = json!([quota("tokens", "daily", "7"), quota("tokens", "daily", "8")]);
        for body in
            [twice, json!({"quota": [], "more": 1}), json!([quota("tokens", "daily", "-1")]), json!({})]
        {
            Fixture::refused(&fixture.put(&at(path, made, "/quota"), &body).await, 400, "INVALID_REQUEST");
        }
        let limited = fixture.put(&at(path, made, "/rate-limit"), &json!({"rpm": 5, "tpm": null})).await.json;
        assert_eq!(limited["rate_limit"], json!({"rpm": 5, "tpm": null}), "{path}");
        assert_eq!(limited["quota"].as_array().unwrap().len(), 1, "{path}");
        let merged = json!({"rate_limit": {"rpm": null, "burst": 2}});
        let merged = fixture.patch(&at(path, made, ""), &merged).await.json;
        assert_eq!(merged["rate_limit"], json!({"rpm": null, "tpm": null, "burst": 2}), "{path}");
        let replaced = fixture.put(&at(path, made, "/rate-limit"), &json!({"rpm": 1})).await.json;
        assert_eq!(replaced["rate_limit"], json!({"rpm": 1}), "{path}");
    }
}

#[tokio::test]
async fn terms_that_are_wrong_name_their_field() {
    let fixture = Fixture::empty().await;
    let twice = [quota("cost", "daily", "1"), quota("cost", "daily", "2")];
    for (body, part) in [
        (json!({"quota": twice}), "`cost` and `daily`"),
        (json!({"quota": [quota("apples", "daily", "1")]}), "unknown value"),
        (json!({"quota": [quota("cost", "yearly", "1")]}), "unknown value"),
        (json!({"quota": [quota("tokens", "daily", "1.5")]}), "`limit`"),
        (json!({"on_disconnect": "drain"}), "expected \"cancel\" or"),
        (json!({"on_disconnect": {"action": "drain", "seconds": 0}}), "`seconds`"),
        (json!({"strict_unary": "on"}), "unknown value"),
        (json!({"group_id": "nowhere"}), "names no group"),
        (json!({"tenant_id": "nowhere"}), "names no tenant"),
    ] {
        let mut body = body;
        body["name"] = json!("k");
        let seen = fixture.post(KEYS, Some(ADMIN_TOKEN), &body).await;
        Fixture::refused(&seen, 400, "INVALID_REQUEST");
        assert!(seen.json["message"].as_str().unwrap().contains(part), "{body}: {}", seen.json);
    }
}

#[tokio::test]
async fn limits_above_owners_are_replaced_whole() {
    let fixture = Fixture::empty().await;
    let none = fixture.get(LIMITS, ADMIN_TOKEN).await.json;
    assert_eq!(none, json!({"ip": {}, "models": {}, "global": {}, "unpriced": "refuse"}));
    let body = json!({"ip": {"rpm": 60}, "models": {"gpt-5": {"concurrent": 3}}, "unpriced": "free"});
    let set = fixture.put(LIMITS, &body).await;
    assert_eq!(set.status, 200, "{}", set.json);
    let shown = fixture.get(LIMITS, ADMIN_TOKEN).await.json;
    assert_eq!(
        (&shown["models"], &shown["unpriced"]),
        (&json!({"gpt-5": {"concurrent": 3}}), &json!("free"))
    );
    let configuration = fixture.state.store.configuration().await.unwrap();
    assert_eq!(serde_json::to_value(&*configuration.gateway).unwrap(), shown);
    for bad in
        [json!({"ip": {"rps": 1}}), json!({"more": 1}), json!({"models": {"": {}}}), json!({"unpriced": 1})]
    {
        Fixture::refused(&fixture.put(LIMITS, &bad).await, 400, "INVALID_REQUEST");
    }
}

#[tokio::test]
async fn a_keys_owner_sees_the_least_money_that_is_left() {
    let fixture = Fixture::empty().await;
    let user = fixture
        .created(USERS, json!({"email": "u@example.org", "quota": [quota("tokens", "never", "9")]}))
        .await;
    let key = fixture.created(KEYS, json!({"name": "k", "user_id": user["id"]})).await;
    let seen = own_usage(&fixture, &key).await;
    assert_eq!(
        (&seen["remaining"], &seen["unit"], &seen["planName"]),
        (&json!(-1), &json!("USD"), &Value::Null)
    );
    assert_eq!(
        seen["windows"][0],
        json!({"owner": "user", "window": "never", "unit": "tokens", "limit": 9,
        "used": 0, "remaining": 9, "resets_at": null})
    );
    assert!(seen.get("balance").is_none(), "{seen}");

    balance(&fixture, &user, "5").await;
    assert_eq!(own_usage(&fixture, &key).await["remaining"], json!(5));
    let quotas = json!([quota("cost", "daily", "2.5")]);
    fixture.put(&format!("{TENANTS}/default/quota"), &quotas).await;
    let tenant = (OwnerKind::Tenant, "default");
    let cost = |nanos| Amounts { cost: NanoUsd(nanos), ..Amounts::default() };
    settle(&fixture, hold(&fixture, tenant, &quotas, cost(1)), 2_000_000_000);
    let running = hold(&fixture, tenant, &quotas, cost(250_000_000));
    let seen = own_usage(&fixture, &key).await;
    assert_eq!((&seen["remaining"], &seen["balance"]), (&json!(0.25), &json!("5")));
    assert_eq!(
        seen["windows"][1],
        json!({"owner": "tenant", "window": "daily", "unit": "cost", "limit": "2.5",
        "used": "2", "remaining": "0.25", "resets_at": "2026-09-22T00:00:00.000Z"})
    );
    settle(&fixture, running, 1_000_000_000);
    assert_eq!(own_usage(&fixture, &key).await["remaining"], json!(0));
    assert_eq!(own_usage(&fixture, &key).await["isValid"], true);
}

#[tokio::test]
async fn nothing_remains_where_any_quota_is_used_up() {
    let fixture = Fixture::empty().await;
    let quotas = json!([quota("requests", "daily", "1"), quota("cost", "monthly", "3")]);
    let key = fixture.created(KEYS, json!({"name": "k", "quota": quotas})).await;
    assert_eq!(own_usage(&fixture, &key).await["remaining"], json!(3));
    let one = Amounts { requests: 1, ..Amounts::default() };
    settle(&fixture, hold(&fixture, (OwnerKind::Key, key["id"].as_str().unwrap()), &quotas, one), 0);
    assert_eq!(own_usage(&fixture, &key).await["remaining"], json!(0));
}

#[tokio::test]
async fn a_window_is_declared_unused_with_a_reason() {
    let fixture = Fixture::empty().await;
    let quotas = json!([quota("requests", "24h", "3")]);
    let key = fixture.created(KEYS, json!({"name": "k", "quota": quotas})).await;
    let id = key["id"].as_str().unwrap();
    let one = Amounts { requests: 1, ..Amounts::default() };
    settle(&fixture, hold(&fixture, (OwnerKind::Key, id), &quotas, one), 0);
    let running = hold(&fixture, (OwnerKind::Key, id), &quotas, one);
    let shown = async || fixture.get(&at(KEYS, &key, ""), ADMIN_TOKEN).await.json;
    assert_eq!(shown().await["windows"][0]["remaining"], 1);
    let path = at(KEYS, &key, "/quota/reset");
    let reset = async |body: Value| fixture.post(&path, Some(ADMIN_TOKEN), &body).await;
    let done = reset(json!({"unit": "requests", "period": "24h", "reason": "our fault"})).await;
    assert_eq!((done.status, done.json), (200, json!({"unit": "requests", "period": "24h", "was_used": 1})));
    assert_eq!(shown().await["windows"][0]["remaining"], 2, "what is held stays held");
    for body in [
        json!({"unit": "requests", "period": "24h"}),
        json!({"unit": "requests", "period": "24h", "reason": " "}),
        json!({"unit": "tokens", "period": "24h", "reason": "r"}),
    ] {
        Fixture::refused(&reset(body).await, 400, "INVALID_REQUEST");
    }
    settle(&fixture, running, 0);
}
