//! Quotas, wallets, tenants, groups, the ledger and limits above them, from outside.

use http::Method;
use ledger::meter::{Asked, Facts, Payer};
use ledger::{Hold, Meter as _, Settlement};
use model::entry::{EntryKind, EntryState, JournalPosition, LedgerEntry, Projection};
use model::quota::{Amounts, Owner, OwnerKind, Quota};
use model::record::RequestRecord;
use model::resource::Role;
use model::resource::terms::OnDisconnect;
use model::{NanoUsd, RequestId, ResourceId, Usage, UsageSource};
use serde_json::{Value, json};
use store::Scope;

use crate::testing::{ADMIN_TOKEN, Fixture, NOW, Seen, record, request};

const KEYS: &str = "/api/v1/admin/api-keys";
const USERS: &str = "/api/v1/admin/users";
const TENANTS: &str = "/api/v1/admin/tenants";
const GROUPS: &str = "/api/v1/admin/groups";
const LEDGER: &str = "/api/v1/admin/ledger";
const LIMITS: &str = "/api/v1/admin/settings/limits";

fn quota(unit: &str, period: &str, limit: &str) -> Value {
    json!({"unit": unit, "period": period, "limit": limit})
}

fn at(path: &str, made: &Value, rest: &str) -> String {
    format!("{path}/{}{rest}", made["id"].as_str().unwrap())
}

fn id(made: &Value) -> ResourceId {
    ResourceId::parse(made["id"].as_str().unwrap()).unwrap()
}

async fn balance(fixture: &Fixture, user: &Value, amount: &str) -> Seen {
    let body = json!({"amount": amount, "reason": "invoice 17"});
    fixture.post(&at(USERS, user, "/balance"), Some(ADMIN_TOKEN), &body).await
}

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

async fn own_usage(fixture: &Fixture, key: &Value) -> Value {
    let mut own = request(Method::GET, "/v1/usage", None, None);
    own.extensions_mut().insert(crate::CallerKey(id(key)));
    let seen = fixture.send(own).await;
    assert_eq!(seen.status, 200, "{}", seen.json);
    seen.json
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
async fn a_wallet_is_filled_and_never_taken_below_nothing() {
    let fixture = Fixture::empty().await;
    let body = json!({"email": "rich@example.org", "balance": "10.50", "quota": [quota("cost", "daily", "1")],
        "rate_limit": {"rpm": 3}});
    let user = fixture.created(USERS, body).await;
    assert_eq!((&user["balance"], &user["held"]), (&json!("10.5"), &json!("0")));
    assert_eq!((&user["quota"][0]["limit"], &user["rate_limit"]), (&json!("1"), &json!({"rpm": 3})));

    let topped = balance(&fixture, &user, "+2").await;
    assert_eq!((topped.status, &topped.json["balance"]), (200, &json!("12.5")));
    assert_eq!(balance(&fixture, &user, "-12.5").await.json["balance"], "0");
    assert_eq!(balance(&fixture, &user, "0.5").await.status, 200);
    Fixture::refused(&balance(&fixture, &user, "9223372036.8").await, 400, "INVALID_REQUEST");
    assert_eq!(balance(&fixture, &user, "-0.5").await.json["balance"], "0");
    let refused = balance(&fixture, &user, "-0.000000001").await;
    Fixture::refused(&refused, 409, "CONFLICT");
    let message = refused.json["message"].as_str().unwrap();
    assert!(message.contains("-0.000000001 USD") && message.contains("balance is 0 USD"), "{message}");
    assert_eq!(fixture.get(&at(USERS, &user, ""), ADMIN_TOKEN).await.json["balance"], "0");
}

#[tokio::test]
async fn an_adjustment_gives_a_wallet_and_needs_an_amount_and_a_reason() {
    let fixture = Fixture::empty().await;
    let user = fixture.created(USERS, json!({"email": "poor@example.org"})).await;
    assert!(user.get("balance").is_none(), "{user}");
    Fixture::refused(&balance(&fixture, &user, "-1").await, 409, "CONFLICT");
    assert!(fixture.get(&at(USERS, &user, ""), ADMIN_TOKEN).await.json.get("balance").is_none());
    for body in [
        json!({"amount": "1"}),
        json!({"amount": "1", "reason": ""}),
        json!({"amount": "1", "reason": "x".repeat(201)}),
        json!({"amount": "0", "reason": "r"}),
        json!({"amount": 1, "reason": "r"}),
        json!({"amount": "1e3", "reason": "r"}),
        json!({"amount": "1", "reason": "r", "more": 1}),
    ] {
        let seen = fixture.post(&at(USERS, &user, "/balance"), Some(ADMIN_TOKEN), &body).await;
        Fixture::refused(&seen, 400, "INVALID_REQUEST");
    }
    assert_eq!(balance(&fixture, &user, "3").await.json["balance"], "3");
    let stored = fixture.state.store.find_user(&Scope::system(), &id(&user)).await.unwrap().unwrap();
    assert!(stored.terms.wallet);
    let nobody = json!({"id": "a".repeat(26)});
    Fixture::refused(&balance(&fixture, &nobody, "1").await, 404, "NOT_FOUND");
    for (body, part) in [(json!("-1"), "negative"), (json!("x"), "decimal"), (json!(1), "expected a string")]
    {
        let body = json!({"email": "b@example.org", "balance": body});
        let seen = fixture.post(USERS, Some(ADMIN_TOKEN), &body).await;
        Fixture::refused(&seen, 400, "INVALID_REQUEST");
        assert!(seen.json["message"].as_str().unwrap().contains(part), "{body}: {}", seen.json);
    }
}

#[tokio::test]
async fn a_change_of_money_is_made_once_for_its_idempotency_key() {
    let fixture = Fixture::empty().await;
    let user = fixture.created(USERS, json!({"email": "u@example.org", "balance": "1"})).await;
    let path = at(USERS, &user, "/balance");
    let send = async |key: &'static str, amount: &str| {
        let body = json!({"amount": amount, "reason": "invoice 17"});
        let mut request = request(Method::POST, &path, Some(ADMIN_TOKEN), Some(&body));
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        fixture.send(request).await
    };
    let (one, other) = tokio::join!(send("a", "5"), send("a", "5"));
    assert!(one.status == 200 || other.status == 200, "{} {}", one.json, other.json);
    for _ in 0..2 {
        assert_eq!(send("a", "5").await.json["balance"], "6");
        Fixture::refused(&send("b", "-7").await, 409, "CONFLICT");
        assert_eq!(balance(&fixture, &user, "2").await.status, 200);
        assert_eq!(balance(&fixture, &user, "-2").await.json["balance"], "6");
    }
    Fixture::refused(&send("a", "6").await, 422, "IDEMPOTENCY_MISMATCH");
    Fixture::refused(&send("", "5").await, 400, "INVALID_REQUEST");
    fixture.journal.set_faulty(true);
    Fixture::refused(&send("c", "5").await, 503, "SERVICE_DEGRADED");
    fixture.journal.set_faulty(false);
    assert_eq!(send("c", "5").await.json["balance"], "11");
    fixture.clock.advance(24 * 3_600 * 1_000);
    assert_eq!(send("a", "5").await.json["balance"], "16", "a day later the key is free");
}

#[tokio::test]
async fn money_is_for_billing_and_its_movers() {
    let fixture = Fixture::empty().await;
    let user = fixture.created(USERS, json!({"email": "u@example.org", "balance": "0"})).await;
    let body = json!({"amount": "1", "reason": "gift"});
    for (role, status) in [(Role::Billing, 200), (Role::Operator, 403), (Role::User, 403)] {
        let (_, token) = fixture.signed_in(role).await;
        let seen = fixture.post(&at(USERS, &user, "/balance"), Some(&token), &body).await;
        assert_eq!(seen.status, status, "{role:?}: {}", seen.json);
    }
}

#[tokio::test]
async fn tenants_and_groups_are_made_changed_and_deleted() {
    let fixture = Fixture::empty().await;
    for path in [TENANTS, GROUPS] {
        let body = json!({"id": "acme_1", "name": "Acme", "rate_limit": {"rpm": 9}});
        let made = fixture.created(path, body.clone()).await;
        assert_eq!((&made["name"], &made["quota"]), (&json!("Acme"), &json!([])), "{path}");
        Fixture::refused(&fixture.post(path, Some(ADMIN_TOKEN), &body).await, 409, "CONFLICT");
        for bad in ["", "Acme", "a b", "a.b", &"x".repeat(65)] {
            let seen = fixture.post(path, Some(ADMIN_TOKEN), &json!({"id": bad})).await;
            Fixture::refused(&seen, 400, "INVALID_REQUEST");
        }
        let own = at(path, &made, "");
        let changed = fixture.patch(&own, &json!({"name": "New"})).await.json;
        assert_eq!((&changed["name"], &changed["rate_limit"]), (&json!("New"), &json!({"rpm": 9})));
        let listed = fixture.get(path, ADMIN_TOKEN).await.json;
        let ids: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
        assert!(ids.contains(&&json!("acme_1")) && ids.contains(&&json!("default")), "{listed}");
        assert_eq!(fixture.get(&format!("{path}/default"), ADMIN_TOKEN).await.status, 200);
        Fixture::refused(&fixture.delete(&format!("{path}/default"), ADMIN_TOKEN).await, 409, "CONFLICT");
        assert_eq!(fixture.delete(&own, ADMIN_TOKEN).await.status, 204);
        Fixture::refused(&fixture.get(&own, ADMIN_TOKEN).await, 404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn users_and_keys_live_in_a_tenant_and_are_found_there() {
    let fixture = Fixture::empty().await;
    fixture.created(TENANTS, json!({"id": "acme"})).await;
    fixture.created(GROUPS, json!({"id": "vip"})).await;
    let user = fixture.created(USERS, json!({"email": "u@acme.example", "tenant_id": "acme"})).await;
    let key = fixture.created(KEYS, json!({"name": "k", "user_id": user["id"], "group_id": "vip"})).await;
    assert_eq!((&key["tenant_id"], &key["group_id"]), (&json!("acme"), &json!("vip")));
    let changed = fixture.patch(&at(KEYS, &key, ""), &json!({"name": "renamed"})).await;
    assert_eq!((changed.status, &changed.json["name"]), (200, &json!("renamed")), "{}", changed.json);
    assert_eq!(balance(&fixture, &user, "1").await.status, 200);
    for (path, made) in [(KEYS, &key), (USERS, &user)] {
        let listed = fixture.get(&format!("{path}?tenant_id=acme"), ADMIN_TOKEN).await.json;
        assert_eq!(listed["items"][0]["id"], made["id"], "{listed}");
        let own = fixture.get(path, ADMIN_TOKEN).await.json;
        assert!(own["items"].as_array().unwrap().iter().all(|item| item["id"] != made["id"]), "{own}");
    }
    for (path, body) in [
        (KEYS, json!({"name": "k", "user_id": user["id"], "tenant_id": "default"})),
        (USERS, json!({"email": "boss@acme.example", "tenant_id": "acme", "role": "admin"})),
    ] {
        Fixture::refused(&fixture.post(path, Some(ADMIN_TOKEN), &body).await, 400, "INVALID_REQUEST");
    }
    let promoted = fixture.patch(&at(USERS, &user, ""), &json!({"role": "admin"})).await;
    Fixture::refused(&promoted, 400, "INVALID_REQUEST");
    Fixture::refused(&fixture.delete(&format!("{TENANTS}/acme"), ADMIN_TOKEN).await, 409, "CONFLICT");
    assert_eq!(own_usage(&fixture, &key).await["balance"], "1");

    let charge = LedgerEntry { tenant_id: "acme".into(), ..entry(EntryKind::Charge, &key, &user) };
    let request_id = charge.request_id.unwrap();
    let record = RequestRecord { tenant_id: "acme".into(), request_id, ..record(1) };
    project(&fixture, vec![charge]).await;
    fixture.state.store.append_records(&[record]).await.unwrap();
    let key_id = key["id"].as_str().unwrap();
    for (path, filter) in [
        (LEDGER, format!("request_id={request_id}")),
        (LEDGER, format!("key_id={key_id}")),
        (LEDGER, "tenant_id=acme".to_owned()),
        ("/api/v1/admin/requests", format!("request_id={request_id}")),
    ] {
        let found = fixture.get(&format!("{path}?{filter}"), ADMIN_TOKEN).await.json;
        assert_eq!(found["items"][0]["request_id"], request_id.to_string(), "{path}?{filter}");
    }
    let (_, token) = fixture.signed_in(Role::User).await;
    let denied = fixture.get(&format!("{LEDGER}?tenant_id=acme"), &token).await;
    Fixture::refused(&denied, 403, "SCOPE_DENIED");
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

/// An entry of a request of `key` and `user`.
fn entry(kind: EntryKind, key: &Value, user: &Value) -> LedgerEntry {
    let attempt = u8::from(kind == EntryKind::Attempt);
    LedgerEntry {
        kind,
        state: EntryState::Measured,
        request_id: Some(RequestId::mint(NOW, [7; 10])),
        attempt,
        key_id: Some(id(key)),
        user_id: Some(id(user)),
        tenant_id: "default".into(),
        model: "gpt-5".into(),
        account: (attempt > 0).then(|| "main".into()),
        usage: Usage { input: 12, output: 34, source: UsageSource::Measured, ..Usage::default() },
        amount: Some(NanoUsd(355_000)),
        overshoot: NanoUsd(1_000),
        reason: None,
        actor: None,
        at: NOW,
    }
}

async fn project(fixture: &Fixture, entries: Vec<LedgerEntry>) {
    let to = JournalPosition { shard: 0, segment: 1, offset: 10 };
    let projection = Projection { from: None, to, entries, windows: Vec::new(), balances: Vec::new() };
    fixture.state.store.project(&projection).await.unwrap();
}

#[tokio::test]
async fn entries_are_found_by_request_key_and_user_and_a_plain_user_sees_their_charges() {
    let fixture = Fixture::empty().await;
    let (owner, token) = fixture.signed_in(Role::User).await;
    let user = json!({"id": owner.id});
    let key = fixture.created(KEYS, json!({"name": "k", "user_id": owner.id})).await;
    let other = fixture.created(KEYS, json!({"name": "other"})).await;
    let stranger = json!({"id": "a".repeat(26)});
    let entries = vec![
        entry(EntryKind::Charge, &key, &user),
        entry(EntryKind::Attempt, &key, &user),
        LedgerEntry {
            request_id: Some(RequestId::mint(NOW, [8; 10])),
            ..entry(EntryKind::Charge, &other, &stranger)
        },
    ];
    project(&fixture, entries).await;
    let request_id = RequestId::mint(NOW, [7; 10]).to_string();
    let find = async |filter: String, token: &str| {
        let seen = fixture.get(&format!("{LEDGER}?{filter}"), token).await;
        assert_eq!(seen.status, 200, "{filter}: {}", seen.json);
        seen.json["items"].as_array().unwrap().clone()
    };
    let found = find(format!("request_id={request_id}"), ADMIN_TOKEN).await;
    assert_eq!(found.len(), 2, "{found:?}");
    let charge = found.iter().find(|entry| entry["kind"] == "charge").unwrap();
    let expected = json!({"kind": "charge", "state": "measured", "request_id": request_id, "attempt": 0,
        "key_id": key["id"], "user_id": owner.id, "tenant_id": "default", "model": "gpt-5", "account": null,
        "usage": {"input": 12, "output": 34, "cache_read": 0, "cache_write": 0, "reasoning": 0,
            "source": "measured"},
        "amount": "0.000355", "overshoot": "0.000001", "reason": null, "actor": null,
        "at": "2026-09-21T14:13:20.000Z"});
    assert_eq!(*charge, expected);
    assert_eq!(find(format!("key_id={}", other["id"].as_str().unwrap()), ADMIN_TOKEN).await.len(), 1);
    assert_eq!(find(format!("user_id={}", owner.id), ADMIN_TOKEN).await.len(), 2);
    assert_eq!(find(String::new(), ADMIN_TOKEN).await.len(), 3);
    assert_eq!(find(String::new(), &token).await, [expected]);
    assert_eq!(find(format!("key_id={}", other["id"].as_str().unwrap()), &token).await.len(), 0);
    for bad in ["request_id=x", "key_id=x", "user_id=x", "limit=0", "more=1"] {
        let seen = fixture.get(&format!("{LEDGER}?{bad}"), ADMIN_TOKEN).await;
        Fixture::refused(&seen, 400, "INVALID_REQUEST");
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
async fn while_the_journal_is_down_no_money_moves_and_no_traffic_is_wanted() {
    let fixture = Fixture::empty().await;
    let user = fixture.created(USERS, json!({"email": "u@example.org"})).await;
    fixture.journal.set_faulty(true);
    Fixture::refused(&balance(&fixture, &user, "1").await, 503, "SERVICE_DEGRADED");
    let body = json!({"email": "v@example.org", "balance": "1"});
    Fixture::refused(&fixture.post(USERS, Some(ADMIN_TOKEN), &body).await, 503, "SERVICE_DEGRADED");
    let listed = fixture.get(USERS, ADMIN_TOKEN).await.json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert!(listed["items"][0].get("balance").is_none(), "{listed}");
    let get = |path: &'static str| fixture.send(request(Method::GET, path, None, None));
    let ready = get("/health/ready").await;
    assert_eq!((ready.status, &ready.json["components"]["journal"]["detail"]), (503, &json!("on purpose")));
    fixture.journal.set_faulty(false);
    let ready = get("/health/ready").await;
    assert_eq!((ready.status, &ready.json["components"]["ledger"]["status"]), (200, &json!("UP")));
    fixture.state.readiness.report("ledger", Some("one owner is frozen".to_owned()));
    assert_eq!(get("/health/ready").await.status, 200);
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
