//! The second factor, from outside.

use model::Secret;
use model::resource::Role;
use serde_json::{Value, json};
use store::{AuditFilter, PageRequest, Scope};

use crate::session::totp;
use crate::testing::{ADMIN_TOKEN, Fixture};

const PASSWORD: &str = "a long enough password";
const TOTP: &str = "/api/v1/auth/totp";

async fn login(fixture: &Fixture, code: Option<&str>) -> crate::testing::Seen {
    let mut body = json!({"email": "ann@example.org", "password": PASSWORD});
    if let Some(code) = code {
        body["totp_code"] = code.into();
    }
    fixture.post("/api/v1/auth/login", None, &body).await
}

/// The code that an app with this secret shows now.
fn code(fixture: &Fixture, secret: &Value) -> String {
    let secret: Secret<Vec<u8>> = totp::from_base32(secret.as_str().unwrap()).unwrap();
    totp::code_at(secret.expose(), fixture.state.clock.now_ms() / 30_000)
}

#[tokio::test]
async fn a_second_factor_is_enrolled_asked_for_once_each_and_removed() {
    let fixture = Fixture::empty().await;
    let body = json!({"email": "ann@example.org", "password": PASSWORD, "role": "admin"});
    let user = fixture.created("/api/v1/admin/users", body).await;
    let token = login(&fixture, None).await.json["access_token"].as_str().unwrap().to_owned();
    let send =
        async |verb: &str, body: Value| fixture.post(&format!("{TOTP}/{verb}"), Some(&token), &body).await;

    Fixture::refused(&send("enrol", json!({"password": "wrong"})).await, 401, "TOKEN_INVALID");
    let made = send("enrol", json!({"password": PASSWORD})).await.json;
    assert!(made["uri"].as_str().unwrap().contains(made["secret"].as_str().unwrap()), "{made}");
    assert_eq!(login(&fixture, None).await.status, 200, "not asked for before it is confirmed");
    Fixture::refused(&send("confirm", json!({"code": "000000"})).await, 401, "TOKEN_INVALID");
    let confirmed = send("confirm", json!({"code": code(&fixture, &made["secret"])})).await.json;
    let recovery: Vec<_> = confirmed["recovery_codes"].as_array().unwrap().clone();
    assert_eq!(recovery.len(), 10, "{confirmed}");
    Fixture::refused(&send("enrol", json!({"password": PASSWORD})).await, 409, "CONFLICT");

    let without = login(&fixture, None).await;
    Fixture::refused(&without, 401, "TOKEN_INVALID");
    assert!(without.json["message"].as_str().unwrap().contains("totp_code"), "{}", without.json);
    let spent = code(&fixture, &made["secret"]);
    Fixture::refused(&login(&fixture, Some(&spent)).await, 401, "TOKEN_INVALID");
    fixture.clock.advance(30_000);
    let fresh = code(&fixture, &made["secret"]);
    assert_eq!(login(&fixture, Some(&fresh)).await.status, 200);
    Fixture::refused(&login(&fixture, Some(&fresh)).await, 401, "TOKEN_INVALID");
    let one = recovery[0].as_str().unwrap();
    assert_eq!(login(&fixture, Some(one)).await.status, 200);
    Fixture::refused(&login(&fixture, Some(one)).await, 401, "TOKEN_INVALID");
    let seen = fixture.get(TOTP, &token).await.json;
    assert_eq!(seen, json!({"enabled": true, "pending": false, "recovery_codes_left": 9}));

    // Whoever lost everything is let in by an administrator; nobody else may remove it.
    let path = format!("/api/v1/admin/users/{}/totp", user["id"].as_str().unwrap());
    let (_, operator) = fixture.signed_in(Role::Operator).await;
    Fixture::refused(&fixture.delete(&path, &operator).await, 403, "SCOPE_DENIED");
    assert_eq!(fixture.delete(&path, ADMIN_TOKEN).await.status, 204);
    Fixture::refused(&fixture.delete(&path, ADMIN_TOKEN).await, 404, "NOT_FOUND");
    assert_eq!(login(&fixture, None).await.status, 200);
    let made = send("enrol", json!({"password": PASSWORD})).await.json;
    assert_eq!(send("confirm", json!({"code": code(&fixture, &made["secret"])})).await.status, 200);
    fixture.clock.advance(30_000);
    assert_eq!(send("disable", json!({"code": code(&fixture, &made["secret"])})).await.status, 204);
    assert_eq!(login(&fixture, None).await.status, 200);
    Fixture::refused(&fixture.get(TOTP, ADMIN_TOKEN).await, 403, "SCOPE_DENIED");

    let (scope, all, page) = (Scope::system(), AuditFilter::default(), PageRequest::first(200));
    let log = fixture.state.store.list_audit(&scope, true, &all, &page).await.unwrap().items;
    for (verb, count) in [("totp.enrol", 2), ("totp.confirm", 2), ("totp.disable", 1), ("user.totp", 1)] {
        assert_eq!(log.iter().filter(|entry| entry.verb == verb).count(), count, "{verb}");
    }
    let log = format!("{log:?}");
    assert!(!log.contains(one) && !log.contains(made["secret"].as_str().unwrap()));
}

#[tokio::test]
async fn codes_are_guessed_no_oftener_than_passwords() {
    let fixture = Fixture::empty().await;
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    fixture.created("/api/v1/admin/users", body).await;
    let token = login(&fixture, None).await.json["access_token"].as_str().unwrap().to_owned();
    let send =
        async |verb: &str, body: Value| fixture.post(&format!("{TOTP}/{verb}"), Some(&token), &body).await;
    let made = send("enrol", json!({"password": PASSWORD})).await.json;
    send("confirm", json!({"code": code(&fixture, &made["secret"])})).await;
    for _ in 0..10 {
        Fixture::refused(&login(&fixture, Some("123456")).await, 401, "TOKEN_INVALID");
    }
    let late = login(&fixture, Some("123456")).await;
    Fixture::refused(&late, 429, "LOGIN_THROTTLED");
    assert!(late.headers.contains_key("retry-after"));
}
