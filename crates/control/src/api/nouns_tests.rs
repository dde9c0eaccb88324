//! The smaller nouns from outside: accounts, users, prices, requests, models, circuits, settings, health.

use model::record::{Candidate, CandidateReason, Check};
use model::resource::Role;
use serde_json::{Value, json};

use crate::state::AccountBlock;
use crate::testing::{ADMIN_TOKEN, Fixture, NOW, record};

const ACCOUNTS: &str = "/api/v1/admin/accounts";
const USERS: &str = "/api/v1/admin/users";
const SECRET: &str = "sk-upstream-secret-0123456789";

fn account(more: Value) -> Value {
    let mut body = json!({"name": "main", "provider": "openai", "models": ["gpt-5"],
        "credential": {"type": "api_key", "api_key": SECRET}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn an_account_never_shows_its_credential() {
    let fixture = Fixture::empty().await;
    let body = account(json!({"models": ["gpt-5", {"name": "fast", "upstream": "gpt-5-mini"}]}));
    let made = fixture.created(ACCOUNTS, body).await;
    assert!(!made.to_string().contains(SECRET), "{made}");
    assert_eq!(
        (&made["priority"], &made["weight"], &made["concurrency"]),
        (&json!(50), &json!(1), &Value::Null)
    );
    assert_eq!((&made["has_credential"], &made["credential_hint"]), (&json!(true), &json!("6789")));
    let models = fixture.get("/api/v1/admin/models", ADMIN_TOKEN).await.json;
    assert_eq!(models["items"][0]["id"], "fast");
    assert_eq!(models["items"][0]["accounts"][0]["upstream"], "gpt-5-mini");
    let configuration = fixture.state.store.configuration().await.unwrap();
    assert_eq!(configuration.accounts[0].credential.as_ref().unwrap().expose(), SECRET);
    let again = fixture.post(ACCOUNTS, Some(ADMIN_TOKEN), &account(json!({}))).await;
    Fixture::refused(&again, 409, "CONFLICT");
}

#[tokio::test]
async fn an_account_that_cannot_work_is_refused_at_its_field() {
    let fixture = Fixture::empty().await;
    let with_model = |entry: Value| account(json!({"models": [entry]}));
    for (body, part) in [
        (account(json!({"provider": "frob"})), "`provider` must be one of openai"),
        (account(json!({"provider": "openai-compatible"})), "base_url"),
        (account(json!({"base_url": "nonsense"})), "base_url"),
        (account(json!({"base_url": "http://api.example.org/v1"})), "allow_private"),
        (account(json!({"base_url": "https://10.0.0.1/v1"})), "allow_private"),
        (account(json!({"base_url": "https://169.254.169.254/", "allow_private": true})), "link-local"),
        (account(json!({"base_url": "https://u:p@example.org/"})), "user"),
        (account(json!({"base_url": "demo://demo"})), "scheme"),
        (account(json!({"credential": null})), "credential"),
        (account(json!({"credential": {"type": "api_key", "api_key": "a\nb"}})), "`api_key`"),
        (account(json!({"credential": {"type": "oauth"}})), "unknown value"),
        (account(json!({"credential": SECRET})), "expected"),
        (with_model(json!({"name": "a"})), "models"),
        (with_model(json!({"name": "a", "upstream": "b", "c": 1})), "models"),
        (with_model(json!({"name": "a", "upstream": "b", "dialect": "latin"})), "models"),
        (with_model(json!({"name": "a", "upstream": "b", "dialect": "gemini"})), "dialect"),
        (account(json!({"models": ["a", "a"]})), "twice"),
        (account(json!({"frob": 1})), "`frob`"),
    ] {
        let seen = fixture.post(ACCOUNTS, Some(ADMIN_TOKEN), &body).await;
        Fixture::refused(&seen, 400, "INVALID_REQUEST");
        let message = seen.json["message"].as_str().unwrap();
        assert!(message.contains(part), "{body}: {message}");
        assert!(!message.contains(SECRET), "{message}");
    }
}

#[tokio::test]
async fn an_account_changes_but_its_credential_stays_at_its_address() {
    let fixture = Fixture::empty().await;
    let made = fixture.created(ACCOUNTS, account(json!({}))).await;
    let path = format!("{ACCOUNTS}/{}", made["id"].as_str().unwrap());
    let changed = fixture.patch(&path, &json!({"weight": 3, "concurrency": 2})).await.json;
    assert_eq!((&changed["weight"], &changed["concurrency"]), (&json!(3), &json!(2)));
    let moved = fixture.patch(&path, &json!({"base_url": "https://evil.example.org/v1"})).await;
    Fixture::refused(&moved, 400, "INVALID_REQUEST");
    let same = fixture.patch(&path, &json!({"base_url": "https://api.openai.com/v1/"})).await;
    assert_eq!(same.status, 200, "{}", same.json);
    let credential = json!({"type": "api_key", "api_key": "another"});
    let body = json!({"base_url": "https://eu.example.org/v1", "credential": credential});
    assert_eq!(fixture.patch(&path, &body).await.status, 200);

    let post = |verb: &str| format!("{path}/{verb}");
    for (verb, enabled) in [("disable", false), ("enable", true), ("reset", true)] {
        let seen = fixture.post(&post(verb), Some(ADMIN_TOKEN), &json!({})).await;
        assert_eq!(seen.json["enabled"], enabled, "{}", seen.json);
    }
    assert_eq!(*fixture.accounts.resets.lock(), [made["id"].as_str().unwrap()]);
    assert_eq!(fixture.delete(&path, ADMIN_TOKEN).await.status, 204);
    Fixture::refused(&fixture.get(&path, ADMIN_TOKEN).await, 404, "NOT_FOUND");
}

#[tokio::test]
async fn an_account_shows_why_it_is_not_called_and_until_when() {
    let fixture = Fixture::empty().await;
    let made = fixture.created(ACCOUNTS, account(json!({}))).await;
    assert_eq!(made["blocks"], json!([]));
    let id = model::ResourceId::parse(made["id"].as_str().unwrap()).unwrap();
    let block =
        |model: Option<&str>, reason, until| AccountBlock { model: model.map(Into::into), reason, until };
    let blocks =
        vec![block(None, "credential_refused", None), block(Some("gpt-5"), "model_not_found", Some(NOW))];
    fixture.accounts.blocks.lock().insert(id, blocks);
    let expected = json!([
        {"model": null, "reason": "credential_refused", "until": null},
        {"model": "gpt-5", "reason": "model_not_found", "until": "2026-09-21T14:13:20.000Z"},
    ]);
    let path = format!("{ACCOUNTS}/{}", made["id"].as_str().unwrap());
    assert_eq!(fixture.get(&path, ADMIN_TOKEN).await.json["blocks"], expected);
    assert_eq!(fixture.get(ACCOUNTS, ADMIN_TOKEN).await.json["items"][0]["blocks"], expected);
    let reset = fixture.post(&format!("{path}/reset"), Some(ADMIN_TOKEN), &json!({})).await;
    assert_eq!(reset.json["blocks"], json!([]));
}

#[tokio::test]
async fn only_an_owner_makes_and_changes_owners() {
    let fixture = Fixture::empty().await;
    let (owner, owner_token) = fixture.signed_in(Role::Owner).await;
    let (_, admin_token) = fixture.signed_in(Role::Admin).await;
    let body = json!({"email": "second@example.org", "role": "owner"});
    Fixture::refused(&fixture.post(USERS, Some(&admin_token), &body).await, 403, "SCOPE_DENIED");
    assert_eq!(fixture.post(USERS, Some(&owner_token), &body).await.status, 201);
    let path = format!("{USERS}/{}", owner.id);
    Fixture::refused(&fixture.delete(&path, &admin_token).await, 403, "SCOPE_DENIED");
    Fixture::refused(
        &fixture.patch(&path, &json!({"password": "long enough pass"})).await,
        403,
        "SCOPE_DENIED",
    );
    Fixture::refused(&fixture.delete(&path, &owner_token).await, 409, "CONFLICT");
}

#[tokio::test]
async fn a_user_is_checked_and_found_again() {
    let fixture = Fixture::empty().await;
    for (body, part) in [
        (json!({}), "`email`"),
        (json!({"email": "nobody"}), "email"),
        (json!({"email": "a@b", "password": "short"}), "password"),
        (json!({"email": "a@b", "role": "king"}), "unknown value"),
    ] {
        let seen = fixture.post(USERS, Some(ADMIN_TOKEN), &body).await;
        Fixture::refused(&seen, 400, "INVALID_REQUEST");
        assert!(seen.json["message"].as_str().unwrap().contains(part), "{body}: {}", seen.json);
    }
    let made = fixture.created(USERS, json!({"email": "A@b", "role": "billing"})).await;
    assert_eq!((&made["email"], &made["role"]), (&json!("a@b"), &json!("billing")));
    let again = fixture.post(USERS, Some(ADMIN_TOKEN), &json!({"email": "a@B"})).await;
    Fixture::refused(&again, 409, "CONFLICT");
    let listed = fixture.get(USERS, ADMIN_TOKEN).await.json;
    assert_eq!(listed["items"], json!([made]));
}

#[tokio::test]
async fn an_override_stands_in_front_of_the_catalogue() {
    let fixture = Fixture::empty().await;
    let path = "/api/v1/admin/prices/gpt-4.1";
    let listed = fixture.get(path, ADMIN_TOKEN).await.json;
    assert_eq!(
        (&listed["source"], &listed["in"], &listed["out"]),
        (&json!("catalogue"), &json!("2"), &json!("8"))
    );
    let set = fixture.put(path, &json!({"in": "0.15", "out": "0.6", "cache_read": "0.075"})).await;
    assert_eq!(set.status, 200, "{}", set.json);
    let shown = fixture.get(path, ADMIN_TOKEN).await.json;
    assert_eq!((&shown["source"], &shown["cache_read"]), (&json!("override"), &json!("0.075")));
    let found = fixture.get("/api/v1/admin/prices?search=gpt-4.1", ADMIN_TOKEN).await.json;
    assert!(found["items"].as_array().unwrap().len() > 2);
    assert_eq!(fixture.delete(path, ADMIN_TOKEN).await.status, 204);
    Fixture::refused(&fixture.delete(path, ADMIN_TOKEN).await, 404, "NOT_FOUND");
    for body in [json!({"in": "-1", "out": "0"}), json!({"in": 1, "out": "0"}), json!({"in": "1"})] {
        Fixture::refused(&fixture.put(path, &body).await, 400, "INVALID_REQUEST");
    }
    let slashed = fixture.put("/api/v1/admin/prices/meta/llama-3", &json!({"in": "1", "out": "1"})).await;
    assert_eq!(slashed.json["model"], "meta/llama-3");
}

/// A control plane with one priced and one failed, unpriced request; the path of the search.
async fn with_requests() -> (Fixture, &'static str) {
    let fixture = Fixture::empty().await;
    let mut story = record(1);
    story.checks.push(Check { name: "rpm", passed: true, limit: Some(60), used: Some(3) });
    story.candidates.push(Candidate {
        account: "main".into(),
        eligible: true,
        reason: CandidateReason::Eligible,
    });
    let mut unpriced = record(2);
    (unpriced.cost, unpriced.status) = (None, 502);
    let store = &fixture.state.store;
    store.append_records(&[story, unpriced]).await.unwrap();
    (fixture, "/api/v1/admin/requests")
}

#[tokio::test]
async fn a_request_is_found_with_its_whole_story() {
    let (fixture, path) = with_requests().await;
    let id = record(1).request_id.to_string();
    let found = fixture.get(&format!("{path}?trace_id={id}"), ADMIN_TOKEN).await.json;
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    let item = &found["items"][0];
    for (name, expected) in [
        ("request_id", json!(id)),
        ("status", json!(200)),
        ("code", Value::Null),
        ("model", json!("gpt-5")),
        ("upstream", json!("main")),
        ("cost", json!("0.000355")),
        ("latency_ms", json!(903)),
        ("route", json!("POST /v1/chat/completions")),
        ("candidates", json!([{"account": "main", "eligible": true, "reason": "eligible"}])),
        ("checks", json!([{"name": "rpm", "passed": true, "limit": 60, "used": 3}])),
    ] {
        assert_eq!(item[name], expected, "{name}");
    }
    assert_eq!(item["attempts"][0]["class"], "ok");
    let usage = json!({"input": 12, "output": 34, "cache_read": 5, "cache_write": 0, "reasoning": 0,
        "source": "measured",
            "tier": null, "capped": false});
    assert_eq!(item["usage"], usage);
}

#[tokio::test]
async fn requests_are_searched_by_what_is_known_of_them() {
    let (fixture, path) = with_requests().await;
    let failed = fixture.get(&format!("{path}?status=502&model=gpt-5"), ADMIN_TOKEN).await.json;
    assert_eq!(failed["items"].as_array().unwrap().len(), 1, "{failed}");
    assert_eq!(failed["items"][0]["cost"], Value::Null);
    for bad in ["?code=ODD", "?trace_id=x", "?from=now", "?key_id=1", "?status=x", "?frob=1"] {
        let seen = fixture.get(&format!("{path}{bad}"), ADMIN_TOKEN).await;
        Fixture::refused(&seen, 400, "INVALID_REQUEST");
    }
}

#[tokio::test]
async fn circuits_are_listed_and_reset_by_an_operator() {
    let fixture = Fixture::empty().await;
    let (_, token) = fixture.signed_in(Role::Operator).await;
    let listed = fixture.get("/api/v1/admin/circuits", &token).await.json;
    assert_eq!(listed["items"], json!([{"id": "openai:gpt-4o", "state": "OPEN"}]));
    for (id, status) in [("openai:gpt-4o", 204), ("other", 404)] {
        let path = format!("/api/v1/admin/circuits/{id}/reset");
        assert_eq!(fixture.post(&path, Some(&token), &json!({})).await.status, status);
    }
}

#[tokio::test]
async fn the_log_level_changes_to_a_level_only() {
    let fixture = Fixture::empty().await;
    let path = "/api/v1/admin/settings/log-level";
    assert_eq!(fixture.post(path, Some(ADMIN_TOKEN), &json!({"level": "debug"})).await.status, 200);
    let seen = fixture.post(path, Some(ADMIN_TOKEN), &json!({"level": "loud"})).await;
    Fixture::refused(&seen, 400, "INVALID_REQUEST");
}

#[tokio::test]
async fn presets_are_listed() {
    let fixture = Fixture::empty().await;
    let listed = fixture.get("/api/v1/admin/providers", ADMIN_TOKEN).await.json;
    let ids: Vec<&str> =
        listed["items"].as_array().unwrap().iter().filter_map(|p| p["id"].as_str()).collect();
    assert!(ids.contains(&"openai") && ids.contains(&"anthropic") && ids.contains(&"demo"), "{ids:?}");
}

#[tokio::test]
async fn health_names_what_is_wrong_and_readiness_follows_draining() {
    let fixture = Fixture::empty().await;
    let readiness = &fixture.state.readiness;
    let get = |path: &'static str| fixture.send(crate::testing::request(http::Method::GET, path, None, None));
    let seen = get("/health").await;
    assert_eq!((seen.status, seen.json["status"].as_str()), (200, Some("ok")), "{}", seen.json);
    assert_eq!(seen.json["components"]["database"]["status"], "UP");
    let ready = get("/actuator/readiness").await;
    assert_eq!((ready.status, ready.json["status"].as_str()), (200, Some("UP")));

    readiness.report("telemetry", Some("records are dropped".to_owned()));
    let seen = get("/health").await;
    assert_eq!((seen.status, seen.json["status"].as_str()), (200, Some("degraded")));
    assert_eq!(seen.json["components"]["telemetry"]["detail"], "records are dropped");
    assert_eq!(get("/health/ready").await.status, 200);
    readiness.report("journal", Some("the disk is full".to_owned()));
    assert_eq!(get("/health/ready").await.status, 503);
    readiness.report("journal", None);

    readiness.drain();
    let ready = get("/health/ready").await;
    assert_eq!((ready.status, ready.json["status"].as_str()), (503, Some("DOWN")));
}
