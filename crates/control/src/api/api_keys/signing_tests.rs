//! Keys that sign, from outside.

use model::ResourceId;
use model::key_text;
use model::resource::ApiKey;
use serde_json::{Value, json};
use store::Scope;

use crate::testing::{ADMIN_TOKEN, Fixture, NOW};

const PATH: &str = "/api/v1/admin/api-keys";

fn at(key: &Value, rest: &str) -> String {
    format!("{PATH}/{}{rest}", key["id"].as_str().unwrap())
}

async fn action(fixture: &Fixture, key: &Value, verb: &str) -> Value {
    let seen = fixture.post(&at(key, verb), Some(ADMIN_TOKEN), &json!({})).await;
    assert_eq!(seen.status, 200, "{}", seen.json);
    seen.json
}

async fn stored(fixture: &Fixture, key: &Value) -> ApiKey {
    let id = ResourceId::parse(key["id"].as_str().unwrap()).unwrap();
    fixture.state.store.find_key(&Scope::system(), &id).await.unwrap().unwrap()
}

fn secrets(key: &ApiKey) -> Vec<(String, Option<u64>)> {
    key.access.secrets.iter().map(|held| (held.secret.expose().clone(), held.until)).collect()
}

#[tokio::test]
async fn a_signing_secret_is_shown_once_and_stored_sealed() {
    let fixture = Fixture::empty().await;
    for scheme in ["hmac-v1", "rfc9421"] {
        let made = fixture.created(PATH, json!({"name": "k", "signing": scheme})).await;
        let secret = made["signing_secret"].as_str().unwrap();
        assert_eq!((&made["signing"], &made["bearer"]), (&json!(scheme), &json!(false)));
        assert_eq!((secret.len(), &made["freeze_scope"]), (60, &json!("source")));
        assert_eq!(secrets(&stored(&fixture, &made).await), [(secret.to_owned(), None)]);
        let shown = fixture.get(&at(&made, ""), ADMIN_TOKEN).await.json;
        assert!(!shown.to_string().contains(secret) && shown.get("signing_secret").is_none());
        let listed = fixture.get(PATH, ADMIN_TOKEN).await.json;
        assert!(!listed.to_string().contains(secret));
    }
    let plain = fixture.created(PATH, json!({"name": "p"})).await;
    assert!(plain.get("signing_secret").is_none());
    assert_eq!((&plain["signing"], &plain["bearer"]), (&json!("none"), &json!(true)));
}

#[tokio::test]
async fn rotation_with_grace_keeps_old_secrets_until_it_ends() {
    let fixture = Fixture::empty().await;
    let made = fixture.created(PATH, json!({"name": "k", "signing": "hmac-v1", "bearer": true})).await;
    let rotated = action(&fixture, &made, "/rotate?grace_period_hours=2").await;
    let until = NOW + 2 * 3_600_000;
    assert_eq!(rotated["id"], made["id"]);
    assert_eq!(rotated["grace_ends_at"], model::clock::rfc3339(until));
    let of = |answer: &Value| answer["signing_secret"].as_str().unwrap().to_owned();
    let key = stored(&fixture, &made).await;
    assert_eq!(secrets(&key), [(of(&rotated), None), (of(&made), Some(until))]);
    let hash = |answer: &Value| {
        let text = answer["key"].as_str().unwrap();
        fixture.state.store.key_ring().hmac_secret(key_text::parse(text).unwrap().secret)
    };
    assert_eq!(key.secret_hmac, hash(&rotated));
    assert_eq!((key.access.former[0].hmac, key.access.former[0].until), (hash(&made), until));

    let last = action(&fixture, &made, "/rotate").await;
    let key = stored(&fixture, &made).await;
    assert_eq!(secrets(&key), [(of(&last), None)]);
    assert!(key.access.former.is_empty() && last.get("grace_ends_at").is_none());
    let too_long = at(&made, "/rotate?grace_period_hours=9000");
    let refused = fixture.post(&too_long, Some(ADMIN_TOKEN), &json!({})).await;
    Fixture::refused(&refused, 400, "INVALID_REQUEST");
}

#[tokio::test]
async fn a_key_may_begin_and_cease_to_sign() {
    let fixture = Fixture::empty().await;
    let made = fixture.created(PATH, json!({"name": "k"})).await;
    let signing = fixture.patch(&at(&made, ""), &json!({"signing": "rfc9421"})).await.json;
    let secret = signing["signing_secret"].as_str().unwrap().to_owned();
    assert_eq!(signing["bearer"], false);
    let other = fixture.patch(&at(&made, ""), &json!({"signing": "hmac-v1", "bearer": true})).await.json;
    assert!(other.get("signing_secret").is_none() && other["bearer"] == true);
    assert_eq!(secrets(&stored(&fixture, &made).await), [(secret, None)]);
    let everywhere = fixture.patch(&at(&made, ""), &json!({"freeze_scope": "key"})).await.json;
    assert_eq!(everywhere["freeze_scope"], "key");
    fixture.patch(&at(&made, ""), &json!({"signing": "none"})).await;
    assert!(secrets(&stored(&fixture, &made).await).is_empty());
}

#[tokio::test]
async fn unfreezing_and_rotating_thaw() {
    let fixture = Fixture::empty().await;
    for verb in ["/unfreeze", "/rotate"] {
        let made = fixture.created(PATH, json!({"name": "k", "signing": "hmac-v1"})).await;
        let shown = fixture.get(&at(&made, ""), ADMIN_TOKEN).await.json;
        assert_eq!(shown["frozen"]["sources"][0]["network"], "192.0.2.0/24");
        action(&fixture, &made, verb).await;
        let shown = fixture.get(&at(&made, ""), ADMIN_TOKEN).await.json;
        assert_eq!(shown["frozen"], json!({"everywhere": false, "sources": []}), "{verb}");
    }
    let unknown = format!("{PATH}/{}/unfreeze", "a".repeat(26));
    Fixture::refused(&fixture.post(&unknown, Some(ADMIN_TOKEN), &json!({})).await, 404, "NOT_FOUND");
}
