//! The small deployment from outside.

use http::Method;
use model::resource::Role;
use model::{ResourceId, key_text};
use serde_json::{Value, json};

use crate::CallerKey;
use crate::testing::{ADMIN_TOKEN, Fixture, NOW, Seen, record, request};

const KEYS: &str = "/admin/keys";

/// `GET /v1/quota/check` of a key that the data plane has recognised.
async fn check(fixture: &Fixture, id: &str) -> Seen {
    let mut asked = request(Method::GET, "/v1/quota/check", None, None);
    asked.extensions_mut().insert(CallerKey(ResourceId::parse(id).unwrap()));
    fixture.send(asked).await
}

fn text<'a>(json: &'a Value, name: &str) -> &'a str {
    json[name].as_str().unwrap()
}

#[tokio::test]
async fn a_trial_key_is_made_listed_checked_and_revoked() {
    let fixture = Fixture::empty().await;
    let body = json!({"quota": 1000, "expires_in": 86_400, "label": "ann", "unit": "tokens"});
    let made = fixture.created(KEYS, body).await;
    assert!(text(&made, "key").starts_with(&format!("trial_{}_", text(&made, "id"))));
    assert!(key_text::parse(text(&made, "key")).is_some());
    let shown = json!({"label": "ann", "unit": "tokens", "quota": 1000,
        "expires_at": "2026-09-22T14:13:20.000Z", "created_at": "2026-09-21T14:13:20.000Z"});
    for (name, value) in shown.as_object().unwrap() {
        assert_eq!(&made[name], value, "{name}");
    }

    let listed = fixture.get(KEYS, ADMIN_TOKEN).await.json;
    let item = &listed["items"][0];
    assert_eq!(
        (&item["used"], &item["remaining"], &item["status"]),
        (&json!(0), &json!(1000), &json!("active"))
    );
    assert!(!listed.to_string().contains(text(&made, "key")));
    assert!(text(item, "key").starts_with("trial_"));

    let id = text(&made, "id");
    let seen = check(&fixture, id).await;
    assert_eq!(seen.status, 200, "{}", seen.json);
    let expected = json!({"valid": true, "unit": "tokens", "quota": 1000, "used": 0, "remaining": 1000,
        "expires_at": "2026-09-22T14:13:20.000Z"});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&seen.json[name], value, "{name}");
    }

    assert_eq!(fixture.delete(&format!("{KEYS}/{id}"), ADMIN_TOKEN).await.status, 204);
    assert_eq!(fixture.delete(&format!("{KEYS}/{id}"), ADMIN_TOKEN).await.status, 204);
    let seen = check(&fixture, id).await;
    assert_eq!((seen.status, &seen.json["valid"]), (200, &json!(false)));
    assert_eq!(fixture.get(KEYS, ADMIN_TOKEN).await.json["items"][0]["status"], "disabled");
}

#[tokio::test]
async fn the_unit_is_requests_and_nothing_ends_unless_it_is_said() {
    let fixture = Fixture::empty().await;
    let made = fixture.created(KEYS, json!({"quota": 3})).await;
    assert_eq!(
        (&made["unit"], &made["expires_at"], &made["label"]),
        (&json!("requests"), &json!(null), &json!(null))
    );
    let ending = fixture.created(KEYS, json!({"quota": 3, "expires_in": 60})).await;
    fixture.clock.set(NOW + 60_000);
    let seen = check(&fixture, text(&ending, "id")).await;
    assert_eq!(
        (seen.status, &seen.json["valid"], &seen.json["status"]),
        (200, &json!(false), &json!("expired"))
    );
    assert_eq!(check(&fixture, text(&made, "id")).await.json["valid"], true);
}

#[tokio::test]
async fn what_is_no_trial_is_refused_by_its_field() {
    let fixture = Fixture::empty().await;
    for (body, field) in [
        (json!({}), "quota"),
        (json!({"quota": 0}), "quota"),
        (json!({"quota": -1}), "quota"),
        (json!({"quota": 1, "expires_in": 0}), "expires_in"),
        (json!({"quota": 1, "expires_in": u64::MAX}), "expires_in"),
        (json!({"quota": 1, "label": "a\nb"}), "label"),
        (json!({"quota": 1, "role": "owner"}), "role"),
        (json!({"quota": 1, "unit": "cost"}), ""),
    ] {
        let seen = fixture.post(KEYS, Some(ADMIN_TOKEN), &body).await;
        Fixture::refused(&seen, 400, "INVALID_REQUEST");
        assert!(text(&seen.json, "message").contains(field), "{body}: {}", seen.json);
    }
}

#[tokio::test]
async fn only_trial_keys_are_this_administrators() {
    let fixture = Fixture::empty().await;
    let standard = fixture.created("/api/v1/admin/api-keys", json!({"name": "k"})).await;
    assert_eq!(fixture.get(KEYS, ADMIN_TOKEN).await.json["items"], json!([]));
    let path = format!("{KEYS}/{}", text(&standard, "id"));
    Fixture::refused(&fixture.delete(&path, ADMIN_TOKEN).await, 404, "NOT_FOUND");
    let (_, token) = fixture.signed_in(Role::User).await;
    Fixture::refused(&fixture.get(KEYS, &token).await, 403, "SCOPE_DENIED");
    let made = fixture.created(KEYS, json!({"quota": 1})).await;
    Fixture::refused(&fixture.get(KEYS, text(&made, "key")).await, 401, "TOKEN_INVALID");
}

#[tokio::test]
async fn usage_of_a_day_is_told_by_key() {
    let fixture = Fixture::empty().await;
    let made = fixture.created(KEYS, json!({"quota": 9, "label": "ann"})).await;
    let other = fixture.created(KEYS, json!({"quota": 9})).await;
    let standard = fixture.created("/api/v1/admin/api-keys", json!({"name": "k"})).await;
    let mut records = [record(1), record(2), record(3), record(4)];
    for (record, key) in records.iter_mut().zip([&made, &made, &other, &standard]) {
        record.key_id = ResourceId::parse(text(key, "id"));
    }
    fixture.state.store.append_records(&records).await.unwrap();
    let usage = |query: String| {
        let path = format!("/admin/usage{query}");
        let fixture = &fixture;
        async move { fixture.get(&path, ADMIN_TOKEN).await.json }
    };
    let all = usage(String::new()).await;
    assert_eq!((&all["day"], &all["mode"]), (&json!("2026-09-21"), &json!("sqlite")));
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "{all}");
    for named in [text(&made, "id"), text(&made, "key")] {
        let one = usage(format!("?day=2026-09-21&key={named}")).await;
        let item = &one["items"][0];
        assert_eq!((one["items"].as_array().unwrap().len(), &item["req_count"]), (1, &json!(2)), "{one}");
        assert_eq!((&item["label"], &item["tokens"]), (&json!("ann"), &json!(102)), "{item}");
        assert!(text(item, "updated_at").starts_with("2026-09-21T"));
    }
    assert_eq!(usage("?day=2026-09-20".into()).await["items"], json!([]));
    for bad in ["?day=today", "?key=sk-nothing", "?other=1"] {
        Fixture::refused(
            &fixture.get(&format!("/admin/usage{bad}"), ADMIN_TOKEN).await,
            400,
            "INVALID_REQUEST",
        );
    }
}
