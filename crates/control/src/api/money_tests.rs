//! Wallets from outside, and what the money tests share.

use http::Method;
use model::ResourceId;
use model::resource::Role;
use serde_json::{Value, json};
use store::Scope;

use crate::testing::{ADMIN_TOKEN, Fixture, Seen, request};

pub(super) const KEYS: &str = "/api/v1/admin/api-keys";
pub(super) const USERS: &str = "/api/v1/admin/users";

pub(super) fn quota(unit: &str, period: &str, limit: &str) -> Value {
    json!({"unit": unit, "period": period, "limit": limit})
}

pub(super) fn at(path: &str, made: &Value, rest: &str) -> String {
    format!("{path}/{}{rest}", made["id"].as_str().unwrap())
}

pub(super) fn id(made: &Value) -> ResourceId {
    ResourceId::parse(made["id"].as_str().unwrap()).unwrap()
}

pub(super) async fn balance(fixture: &Fixture, user: &Value, amount: &str) -> Seen {
    let body = json!({"amount": amount, "reason": "invoice 17"});
    fixture.post(&at(USERS, user, "/balance"), Some(ADMIN_TOKEN), &body).await
}

pub(super) async fn own_usage(fixture: &Fixture, key: &Value) -> Value {
    let mut own = request(Method::GET, "/v1/usage", None, None);
    own.extensions_mut().insert(crate::CallerKey(id(key)));
    let seen = fixture.send(own).await;
    assert_eq!(seen.status, 200, "{}", seen.json);
    seen.json
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
