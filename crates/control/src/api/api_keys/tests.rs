//! Keys from outside.

use model::key_text;
use model::resource::Role;
use serde_json::{Value, json};
use store::Scope;

use crate::testing::{ADMIN_TOKEN, Fixture, record};

const PATH: &str = "/api/v1/admin/api-keys";

fn at(key: &Value, rest: &str) -> String {
    format!("{PATH}/{}{rest}", key["id"].as_str().unwrap())
}

async fn action(fixture: &Fixture, key: &Value, verb: &str) -> Value {
    let seen = fixture.post(&at(key, verb), Some(ADMIN_TOKEN), &json!({})).await;
    assert_eq!(seen.status, 200, "{}", seen.json);
    seen.json
}

#[tokio::test]
async fn a_key_is_shown_once_and_stored_as_its_keyed_hash() {
    let fixture = Fixture::empty().await;
    let body = json!({"name": "first", "models": ["gpt-5"], "allowed_ips": ["192.0.2.1"],
        "expires_at": "2027-01-01T00:00:00Z", "rate_limit": {"rpm": 5, "tpm": null}});
    let made = fixture.created(PATH, body).await;
    let text = made["key"].as_str().unwrap();
    let parsed = key_text::parse(text).unwrap();
    assert_eq!(parsed.id.as_str(), made["id"].as_str().unwrap());
    let store = &fixture.state.store;
    let stored = store.find_key(&Scope::system(), &parsed.id).await.unwrap().unwrap();
    assert_eq!(stored.secret_hmac, store.key_ring().hmac_secret(parsed.secret));

    let shown = fixture.get(&at(&made, ""), ADMIN_TOKEN).await.json;
    assert!(shown.get("key").is_none() && !shown.to_string().contains(parsed.secret));
    assert_eq!(shown["allowed_ips"], json!(["192.0.2.1/32"]));
    assert_eq!(shown["rate_limit"], json!({"rpm": 5, "tpm": null}));
    assert_eq!(shown["expires_at"], "2027-01-01T00:00:00.000Z");
    assert_eq!((shown["status"].as_str(), shown["kind"].as_str()), (Some("active"), Some("standard")));
}

#[tokio::test]
async fn a_body_that_is_wrong_names_its_field() {
    let fixture = Fixture::empty().await;
    for (body, status, part) in [
        (json!({}), 400, "`name`"),
        (json!({"name": ""}), 400, "`name`"),
        (json!({"name": "k", "frob": 1}), 400, "`frob`"),
        (json!({"name": "k", "allowed_ips": ["nowhere"]}), 400, "allowed_ips"),
        (json!({"name": "k", "expires_at": "soon"}), 400, "expires_at"),
        (json!({"name": "k", "user_id": "x"}), 400, "user_id"),
        (json!({"name": "k", "user_id": "a".repeat(26)}), 400, "names no user"),
        (json!({"name": "k", "rate_limit": {"rps": 1}}), 400, "`rps`"),
        (json!({"name": "k", "rate_limit": {"rpm": -1}}), 400, "rpm"),
        (json!({"name": "k", "signing": "hmac-v2"}), 400, "hmac-v1"),
        (json!({"name": "k", "signing": "hmac-v1", "kind": "trial"}), 400, "signing"),
        (json!({"name": "k", "freeze_scope": "all"}), 400, "source"),
    ] {
        let seen = fixture.post(PATH, Some(ADMIN_TOKEN), &body).await;
        assert_eq!(seen.status, status, "{body}: {}", seen.json);
        if part != "rpm" {
            assert!(seen.json["message"].as_str().unwrap().contains(part), "{body}: {}", seen.json);
        }
    }
}

#[tokio::test]
async fn lists_go_newest_first_and_continue_where_they_ended() {
    let fixture = Fixture::empty().await;
    for n in 0..5 {
        fixture.created(PATH, json!({"name": format!("k{n}")})).await;
        fixture.clock.advance(1);
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = fixture.get(&format!("{PATH}?limit=2{cursor}"), ADMIN_TOKEN).await.json;
        let items = page["items"].as_array().unwrap();
        names.extend(items.iter().map(|key| key["name"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["k4", "k3", "k2", "k1", "k0"]);
    for bad in ["?limit=0", "?limit=201", "?limit=x", "?cursor=x", "?frob=1", "?status=odd"] {
        let seen = fixture.get(&format!("{PATH}{bad}"), ADMIN_TOKEN).await;
        Fixture::refused(&seen, 400, "INVALID_REQUEST");
    }
}

#[tokio::test]
async fn a_change_merges_and_null_clears() {
    let fixture = Fixture::empty().await;
    let body = json!({"name": "k", "expires_at": "2027-01-01T00:00:00Z", "models": ["a"]});
    let made = fixture.created(PATH, body).await;
    let changed = fixture.patch(&at(&made, ""), &json!({"name": "n", "expires_at": null})).await.json;
    assert_eq!((&changed["name"], &changed["expires_at"]), (&json!("n"), &Value::Null));
    assert_eq!(changed["models"], json!(["a"]));
    let limited = fixture.put(&at(&made, "/rate-limit"), &json!({"rpm": 1})).await.json;
    assert_eq!(limited["rate_limit"], json!({"rpm": 1}));
}

#[tokio::test]
async fn rotation_keeps_the_id_and_ends_the_old_secret() {
    let fixture = Fixture::empty().await;
    let made = fixture.created(PATH, json!({"name": "k"})).await;
    let rotated = action(&fixture, &made, "/rotate").await;
    assert_eq!(rotated["id"], made["id"]);
    assert_ne!(rotated["key"], made["key"]);
    let new = key_text::parse(rotated["key"].as_str().unwrap()).unwrap();
    let store = &fixture.state.store;
    let stored = store.find_key(&Scope::system(), &new.id).await.unwrap().unwrap();
    assert_eq!(stored.secret_hmac, store.key_ring().hmac_secret(new.secret));
}

#[tokio::test]
async fn a_revoked_key_stays_revoked() {
    let fixture = Fixture::empty().await;
    let made = fixture.created(PATH, json!({"name": "k"})).await;
    assert_eq!(action(&fixture, &made, "/disable").await["status"], "disabled");
    assert_eq!(action(&fixture, &made, "/enable").await["status"], "active");
    assert_eq!(fixture.delete(&at(&made, ""), ADMIN_TOKEN).await.status, 204);
    assert_eq!(action(&fixture, &made, "/revoke").await["status"], "revoked");
    for verb in ["/enable", "/rotate"] {
        let seen = fixture.post(&at(&made, verb), Some(ADMIN_TOKEN), &json!({})).await;
        Fixture::refused(&seen, 409, "CONFLICT");
    }
}

#[tokio::test]
async fn a_plain_user_sees_only_their_own_keys() {
    let fixture = Fixture::empty().await;
    let (user, token) = fixture.signed_in(Role::User).await;
    let own = fixture.created(PATH, json!({"name": "own", "user_id": user.id})).await;
    let other = fixture.created(PATH, json!({"name": "other"})).await;
    let listed = fixture.get(PATH, &token).await.json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(fixture.get(&at(&own, "/usage"), &token).await.status, 200);
    for rest in ["", "/usage"] {
        Fixture::refused(&fixture.get(&at(&other, rest), &token).await, 404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn usage_is_summed_by_day_and_model() {
    let fixture = Fixture::empty().await;
    let made = fixture.created(PATH, json!({"name": "k"})).await;
    let key_id = model::ResourceId::parse(made["id"].as_str().unwrap());
    let mut records = [record(1), record(2)];
    for record in &mut records {
        record.key_id.clone_from(&key_id);
    }
    fixture.state.store.append_records(&records).await.unwrap();
    let usage = fixture.get(&at(&made, "/usage"), ADMIN_TOKEN).await.json;
    let expected = json!({"items": [{"date": "2026-09-21", "model": "gpt-5", "requests": 2, "input": 24,
        "output": 68, "cache_read": 10, "cache_write": 0, "reasoning": 0, "cost": "0.00071", "unpriced": 0}],
        "next_cursor": null});
    assert_eq!(usage, expected);

    let mut own = crate::testing::request(http::Method::GET, "/v1/usage", None, None);
    own.extensions_mut().insert(crate::CallerKey(key_id.unwrap()));
    let seen = fixture.send(own).await;
    assert_eq!(seen.status, 200, "{}", seen.json);
    assert_eq!((&seen.json["isValid"], &seen.json["remaining"]), (&json!(true), &json!(-1)));
    assert_eq!((&seen.json["unit"], &seen.json["windows"]), (&json!("USD"), &json!([])));
    assert_eq!(seen.json["daily"], expected["items"]);
}
