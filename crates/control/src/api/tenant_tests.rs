//! Tenants, groups, and where the entries of the ledger are found, from outside.

use model::entry::{EntryKind, EntryState, JournalPosition, LedgerEntry, Projection};
use model::record::RequestRecord;
use model::resource::Role;
use model::{NanoUsd, RequestId, Usage, UsageSource};
use serde_json::{Value, json};

use super::money_tests::{KEYS, USERS, at, balance, id, own_usage};
use crate::testing::{ADMIN_TOKEN, Fixture, NOW, record};

const TENANTS: &str = "/api/v1/admin/tenants";
const GROUPS: &str = "/api/v1/admin/groups";
const LEDGER: &str = "/api/v1/admin/ledger";

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
            "source": "measured",
            "tier": null, "capped": false},
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
