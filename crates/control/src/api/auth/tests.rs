//! Signing in from outside.

use serde_json::{Value, json};

use crate::session::REFRESH_TOKEN_MS;
use crate::testing::{ADMIN_TOKEN, Fixture, Seen};

const PASSWORD: &str = "correct horse battery";

async fn with_user() -> Fixture {
    let fixture = Fixture::empty().await;
    let body = json!({"email": "Ann@example.org", "role": "viewer", "password": PASSWORD});
    fixture.created("/api/v1/admin/users", body).await;
    fixture
}

async fn login(fixture: &Fixture, email: &str, password: &str) -> Seen {
    let body = json!({"email": email, "password": password});
    fixture.post("/api/v1/auth/login", None, &body).await
}

async fn refresh(fixture: &Fixture, tokens: &Value) -> Seen {
    let body = json!({"refresh_token": tokens["refresh_token"]});
    fixture.post("/api/v1/auth/refresh", None, &body).await
}

#[tokio::test]
async fn the_right_password_gives_tokens_that_work() {
    let fixture = with_user().await;
    let seen = login(&fixture, "ann@EXAMPLE.org", PASSWORD).await;
    assert_eq!(seen.status, 200, "{}", seen.json);
    assert_eq!(
        (seen.json["token_type"].as_str(), seen.json["expires_in"].as_u64()),
        (Some("bearer"), Some(900))
    );
    let token = seen.json["access_token"].as_str().unwrap();
    assert_eq!(fixture.get("/api/v1/admin/accounts", token).await.status, 200);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_answered_alike() {
    let fixture = with_user().await;
    let wrong = login(&fixture, "ann@example.org", "wrong").await;
    let unknown = login(&fixture, "bob@example.org", PASSWORD).await;
    Fixture::refused(&wrong, 401, "TOKEN_INVALID");
    assert_eq!(wrong.json, unknown.json);
}

#[tokio::test]
async fn an_unknown_field_is_refused_by_name() {
    let fixture = with_user().await;
    let body = json!({"email": "a@b", "password": "x", "otp": 1});
    let seen = fixture.post("/api/v1/auth/login", None, &body).await;
    Fixture::refused(&seen, 400, "INVALID_REQUEST");
    assert!(seen.json["message"].as_str().unwrap().contains("`otp`"));
}

#[tokio::test]
async fn ten_failures_close_the_account_for_a_growing_while() {
    let fixture = with_user().await;
    for _ in 0..10 {
        Fixture::refused(&login(&fixture, "ann@example.org", "wrong").await, 401, "TOKEN_INVALID");
    }
    let seen = login(&fixture, "ann@example.org", PASSWORD).await;
    Fixture::refused(&seen, 429, "LOGIN_THROTTLED");
    assert_eq!(seen.headers["retry-after"], "60");
    fixture.clock.advance(60_000);
    assert_eq!(login(&fixture, "ann@example.org", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_sign_in() {
    let fixture = with_user().await;
    let first = login(&fixture, "ann@example.org", PASSWORD).await.json;
    let second = refresh(&fixture, &first).await;
    assert_eq!(second.status, 200, "{}", second.json);
    Fixture::refused(&refresh(&fixture, &first).await, 401, "TOKEN_INVALID");
    Fixture::refused(&refresh(&fixture, &second.json).await, 401, "TOKEN_INVALID");
}

#[tokio::test]
async fn a_refresh_token_ends_after_thirty_days() {
    let fixture = with_user().await;
    let tokens = login(&fixture, "ann@example.org", PASSWORD).await.json;
    fixture.clock.advance(REFRESH_TOKEN_MS);
    Fixture::refused(&refresh(&fixture, &tokens).await, 401, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn signing_out_ends_the_refresh_token() {
    let fixture = with_user().await;
    for with_body in [true, false] {
        let tokens = login(&fixture, "ann@example.org", PASSWORD).await.json;
        let access = tokens["access_token"].as_str().unwrap();
        let body = with_body.then(|| json!({"refresh_token": tokens["refresh_token"]}));
        let path = "/api/v1/auth/logout";
        let out = crate::testing::request(http::Method::POST, path, Some(access), body.as_ref());
        assert_eq!(fixture.send(out).await.status, 204);
        Fixture::refused(&refresh(&fixture, &tokens).await, 401, "TOKEN_INVALID");
    }
}

#[tokio::test]
async fn a_new_password_ends_every_sign_in() {
    let fixture = with_user().await;
    let tokens = login(&fixture, "ann@example.org", PASSWORD).await.json;
    let users = fixture.get("/api/v1/admin/users", ADMIN_TOKEN).await.json;
    let path = format!("/api/v1/admin/users/{}", users["items"][0]["id"].as_str().unwrap());
    let changed = fixture.patch(&path, &json!({"password": "another long password"})).await;
    assert_eq!(changed.status, 200, "{}", changed.json);
    Fixture::refused(&refresh(&fixture, &tokens).await, 401, "TOKEN_INVALID");
    Fixture::refused(&login(&fixture, "ann@example.org", PASSWORD).await, 401, "TOKEN_INVALID");
    assert_eq!(login(&fixture, "ann@example.org", "another long password").await.status, 200);
}

#[tokio::test]
async fn an_internal_key_is_exchanged_for_a_token_that_is_no_administrators() {
    let fixture = Fixture::empty().await;
    let made = |kind: &'static str| {
        let body = json!({"name": "k", "kind": kind});
        async { fixture.created("/api/v1/admin/api-keys", body).await["key"].as_str().unwrap().to_owned() }
    };
    let (internal, standard, trial) = (made("internal").await, made("standard").await, made("trial").await);
    let path = "/api/v1/auth/token";

    let by_body = fixture.post(path, None, &json!({"api_key": internal})).await;
    assert_eq!((by_body.status, &by_body.json["token_type"]), (200, &"bearer".into()), "{}", by_body.json);
    assert_eq!(by_body.json["expires_in"], 900);
    let by_bearer = fixture.post(path, Some(&internal), &json!({})).await;
    assert_eq!(by_bearer.status, 200, "{}", by_bearer.json);
    let token = by_bearer.json["access_token"].as_str().unwrap();
    Fixture::refused(&fixture.get("/api/v1/admin/users", token).await, 403, "SCOPE_DENIED");

    for (key, status, code) in [
        (standard.as_str(), 403, "SCOPE_DENIED"),
        (trial.as_str(), 403, "SCOPE_DENIED"),
        ("sk-ym-unknown", 401, "INVALID_API_KEY"),
        ("", 401, "INVALID_API_KEY"),
    ] {
        let body = json!({"api_key": key});
        Fixture::refused(&fixture.post(path, None, &body).await, status, code);
    }
    let two = fixture.post(path, Some(&internal), &json!({"api_key": standard})).await;
    Fixture::refused(&two, 401, "INVALID_REQUEST_CREDENTIALS");
    Fixture::refused(&fixture.post(path, None, &json!({})).await, 401, "INVALID_API_KEY");
}

#[tokio::test]
async fn a_secret_in_its_grace_period_is_exchanged_and_a_key_that_only_signs_is_not() {
    let fixture = Fixture::empty().await;
    let path = "/api/v1/auth/token";
    let exchange = async |shown: &Value| {
        let body = json!({"api_key": shown["key"]});
        fixture.post(path, None, &body).await
    };
    let made = fixture.created("/api/v1/admin/api-keys", json!({"name": "k", "kind": "internal"})).await;
    let rotate = format!("/api/v1/admin/api-keys/{}/rotate", made["id"].as_str().unwrap());
    let rotated =
        fixture.post(&format!("{rotate}?grace_period_hours=1"), Some(ADMIN_TOKEN), &json!({})).await.json;
    assert_ne!(made["key"], rotated["key"]);
    for shown in [&made, &rotated] {
        let seen = exchange(shown).await;
        assert_eq!(seen.status, 200, "{}", seen.json);
    }
    let last = fixture.post(&rotate, Some(ADMIN_TOKEN), &json!({})).await.json;
    for shown in [&made, &rotated] {
        Fixture::refused(&exchange(shown).await, 401, "INVALID_API_KEY");
    }
    assert_eq!(exchange(&last).await.status, 200);

    let signing = json!({"name": "s", "kind": "internal", "signing": "rfc9421"});
    let signing = fixture.created("/api/v1/admin/api-keys", signing).await;
    Fixture::refused(&exchange(&signing).await, 401, "INVALID_SIGNATURE");
}
