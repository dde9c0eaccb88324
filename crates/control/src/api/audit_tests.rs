//! Every change leaves its line in the audit, and no line holds a secret.

use std::fmt::{Debug, Write};
use std::sync::Arc;

use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use store::{AuditEntry, AuditFilter, PageRequest, Scope};
use testkit::trust::Proof;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::routes;
use crate::testing::{ADMIN_TOKEN, Fixture, request};

const VERBS: Proof = Proof::new(
    "T62-verbs",
    "P12",
    "Each change that the administration API knows is one entry of the audit log",
);

const PASSWORD: &str = "a password to look for";
const CREDENTIAL: &str = "a-credential-to-look-for";

/// Keeps the audit lines of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Keeps them from now on, for as long as the guards are held.
    fn listen() -> (Self, (tracing::Dispatch, tracing::subscriber::DefaultGuard)) {
        let lines = Self::default();
        // With a single dispatcher, a thread of another test that meets an event first switches it off for
        // all threads; a second one that merely exists prevents that.
        let other = tracing::Dispatch::new(Self::default());
        let guard = tracing::subscriber::set_default(lines.clone());
        tracing::callsite::rebuild_interest_cache();
        (lines, (other, guard))
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if event.metadata().target() == "audit" {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.lock().push(line.0);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

/// One change: the line of the table, its parameter, its body.
type Change = (Method, &'static str, String, Value);

fn post(path: &'static str, parameter: &str, body: Value) -> Change {
    (Method::POST, path, parameter.to_owned(), body)
}

fn quotas() -> Value {
    json!([{"unit": "tokens", "period": "daily", "limit": 1}])
}

fn window() -> Value {
    json!({"unit": "tokens", "period": "daily", "reason": "gift"})
}

/// In an order in which each succeeds, as below.
#[rustfmt::skip]
fn changes_of_sign_ins_and_keys(key: &str, tokens: &Value) -> Vec<Change> {
    let refresh = json!({"refresh_token": tokens["refresh_token"]});
    vec![
        post("/api/v1/auth/login", "", json!({"email": "ann@example.org", "password": PASSWORD})),
        post("/api/v1/auth/refresh", "", refresh.clone()),
        post("/api/v1/auth/logout", "", refresh),
        post("/api/v1/admin/api-keys", "", json!({"name": "again"})),
        (Method::PATCH, "/api/v1/admin/api-keys/{id}", key.to_owned(), json!({"name": "n"})),
        (Method::PUT, "/api/v1/admin/api-keys/{id}/rate-limit", key.to_owned(), json!({})),
        (Method::PUT, "/api/v1/admin/api-keys/{id}/quota", key.to_owned(), quotas()),
        post("/api/v1/admin/api-keys/{id}/quota/reset", key, window()),
        post("/api/v1/admin/api-keys/{id}/disable", key, json!({})),
        post("/api/v1/admin/api-keys/{id}/enable", key, json!({})),
        post("/api/v1/admin/api-keys/{id}/rotate", key, json!({})),
        post("/api/v1/admin/api-keys/{id}/unfreeze", key, json!({})),
        post("/api/v1/admin/api-keys/{id}/revoke", key, json!({})),
    ]
}

#[rustfmt::skip]
fn changes_of_the_rest(account: &str, user: &str) -> Vec<Change> {
    let price = json!({"in": "1", "out": "2"});
    vec![
        post("/api/v1/admin/accounts", "", json!({"name": "again", "provider": "demo"})),
        (Method::PATCH, "/api/v1/admin/accounts/{id}", account.to_owned(), json!({"weight": 2})),
        post("/api/v1/admin/accounts/{id}/reset", account, json!({})),
        post("/api/v1/admin/accounts/{id}/test", account, json!({"model": "gpt-4o"})),
        post("/api/v1/admin/accounts/{id}/disable", account, json!({})),
        post("/api/v1/admin/accounts/{id}/enable", account, json!({})),
        (Method::DELETE, "/api/v1/admin/accounts/{id}", account.to_owned(), json!({})),
        post("/api/v1/admin/users", "", json!({"email": "b@example.org", "password": PASSWORD})),
        (Method::PATCH, "/api/v1/admin/users/{id}", user.to_owned(), json!({"password": PASSWORD})),
        (Method::PUT, "/api/v1/admin/users/{id}/rate-limit", user.to_owned(), json!({})),
        (Method::PUT, "/api/v1/admin/users/{id}/quota", user.to_owned(), quotas()),
        post("/api/v1/admin/users/{id}/quota/reset", user, window()),
        post("/api/v1/admin/users/{id}/balance", user, json!({"amount": "1", "reason": "gift"})),
        post("/api/v1/admin/users/{id}/disable", user, json!({})),
        post("/api/v1/admin/users/{id}/enable", user, json!({})),
        (Method::DELETE, "/api/v1/admin/users/{id}", user.to_owned(), json!({})),
        (Method::PUT, "/api/v1/admin/prices/{*model}", "gpt-5".to_owned(), price),
        (Method::DELETE, "/api/v1/admin/prices/{*model}", "gpt-5".to_owned(), json!({})),
        post("/api/v1/admin/circuits/{id}/reset", "openai:gpt-4o", json!({})),
        (Method::PUT, "/api/v1/admin/settings/limits", String::new(), json!({})),
        (Method::PUT, "/api/v1/admin/settings/retention", String::new(), json!({"audit_days": 90})),
        post("/api/v1/admin/settings/log-level", "", json!({"level": "debug"})),
        post("/api/v1/admin/jwt-keys/rotate", "", json!({})),
        post("/api/v1/admin/secrets/rotate", "", json!({})),
    ]
}

#[rustfmt::skip]
fn changes_of_tenants_and_groups() -> Vec<Change> {
    let id = || "acme".to_owned();
    vec![
        post("/api/v1/admin/tenants", "", json!({"id": "acme"})),
        (Method::PATCH, "/api/v1/admin/tenants/{id}", id(), json!({"name": "n"})),
        (Method::PUT, "/api/v1/admin/tenants/{id}/rate-limit", id(), json!({})),
        (Method::PUT, "/api/v1/admin/tenants/{id}/quota", id(), quotas()),
        post("/api/v1/admin/tenants/{id}/quota/reset", "acme", window()),
        (Method::DELETE, "/api/v1/admin/tenants/{id}", id(), json!({})),
        post("/api/v1/admin/groups", "", json!({"id": "acme"})),
        (Method::PATCH, "/api/v1/admin/groups/{id}", id(), json!({"name": "n"})),
        (Method::PUT, "/api/v1/admin/groups/{id}/rate-limit", id(), json!({})),
        (Method::PUT, "/api/v1/admin/groups/{id}/quota", id(), quotas()),
        post("/api/v1/admin/groups/{id}/quota/reset", "acme", window()),
        (Method::DELETE, "/api/v1/admin/groups/{id}", id(), json!({})),
    ]
}

/// What the table calls an operation.
fn name_of(method: &Method, path: &str) -> Option<&'static str> {
    let table = routes();
    table.iter().find(|route| route.method == *method && route.path == path).map(|route| route.name)
}

/// Each line of the table that changes something is in the list.
fn check_covers_the_table(changes: &[Change]) {
    for route in routes().iter().filter(|route| route.method != Method::GET) {
        // A test of its own looks at the second factor, which the administration token cannot have.
        if route.path.contains("/totp") || route.path == "/api/v1/admin/jwt-keys/{id}" {
            continue;
        }
        // Revoking a second time changes nothing.
        if (&route.method, route.path) == (&Method::DELETE, "/api/v1/admin/api-keys/{id}") {
            continue;
        }
        let covered = changes.iter().any(|change| (&change.0, change.1) == (&route.method, route.path));
        assert!(covered, "{} {} is not in the list", route.method, route.path);
    }
}

#[tokio::test]
async fn every_change_of_the_table_is_audited_without_a_secret() {
    let fixture = Fixture::empty().await;
    let key = fixture.created("/api/v1/admin/api-keys", json!({"name": "k"})).await;
    let credential = json!({"type": "api_key", "api_key": CREDENTIAL});
    let body = json!({"name": "a", "provider": "openai", "credential": credential});
    let account = fixture.created("/api/v1/admin/accounts", body).await;
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    let user = fixture.created("/api/v1/admin/users", body.clone()).await;
    let tokens = fixture.post("/api/v1/auth/login", None, &body).await.json;
    let trial = fixture.created("/admin/keys", json!({"quota": 1})).await;
    let internal = fixture.created("/api/v1/admin/api-keys", json!({"name": "i", "kind": "internal"})).await;

    let (lines, _kept) = Lines::listen();
    let ids = [&key, &account, &user].map(|noun| noun["id"].as_str().unwrap());
    let mut changes = changes_of_sign_ins_and_keys(ids[0], &tokens);
    changes.extend(changes_of_the_rest(ids[1], ids[2]));
    changes.extend(changes_of_tenants_and_groups());
    changes.push(post("/admin/keys", "", json!({"quota": 1})));
    changes.push((Method::DELETE, "/admin/keys/{id}", trial["id"].as_str().unwrap().to_owned(), json!({})));
    changes.push(post("/api/v1/auth/token", "", json!({"api_key": internal["key"]})));
    check_covers_the_table(&changes);
    let count = changes.len();
    for (method, pattern, parameter, body) in changes {
        let name = name_of(&method, pattern);
        let before = newest(&fixture, 1).await.first().map_or(0, |entry| entry.seq);
        let path = pattern.replace("{id}", &parameter).replace("{*model}", &parameter);
        lines.0.lock().clear();
        let body = (method != Method::DELETE).then_some(&body);
        let seen = fixture.send(request(method, &path, Some(ADMIN_TOKEN), body)).await;
        assert!(seen.status < 300, "{path}: {}", seen.json);
        let written = lines.0.lock().clone();
        let about = |line: &&String| !line.contains("verb=\"use\"");
        assert_eq!(written.iter().filter(about).count(), 1, "{path}: {written:?}");
        let secrets = [
            PASSWORD,
            CREDENTIAL,
            ADMIN_TOKEN,
            tokens["refresh_token"].as_str().unwrap(),
            internal["key"].as_str().unwrap(),
        ];
        let leaks = |line: &str| secrets.iter().any(|secret| line.contains(secret));
        assert!(!written.iter().any(|line| leaks(line)), "{path}: {written:?}");
        let entries = newest(&fixture, 2).await;
        let new: Vec<_> = entries.iter().filter(|entry| entry.seq > before).collect();
        let [entry] = &new[..] else { panic!("{path}: {new:?}") };
        assert_eq!(Some(entry.verb.as_str()), name, "{path}");
        assert!(
            !entry.object.is_empty() && entry.request_id.is_some() && entry.source.is_some(),
            "{entry:?}"
        );
        assert!(!leaks(&format!("{entry:?}")), "{entry:?}");
        if let Some(given) = body.and_then(Value::as_object) {
            assert!(entry.fields.iter().eq(given.keys()), "{path}");
        }
    }
    let report = fixture.state.store.verify_audit().await.unwrap();
    assert!(report.fault.is_none() && report.entries > 45, "{report:?}");
    VERBS.held(&format!("{count} changes, {count} entries with their verb; the chain is whole")).unwrap();
}

/// The newest entries of the log.
async fn newest(fixture: &Fixture, count: u32) -> Vec<AuditEntry> {
    let (scope, all, page) = (Scope::system(), AuditFilter::default(), PageRequest::first(count));
    fixture.state.store.list_audit(&scope, true, &all, &page).await.unwrap().items
}

#[tokio::test]
async fn the_log_is_read_by_filter_and_says_whether_it_is_whole() {
    const LOG: &str = "/api/v1/admin/audit-log";
    let fixture = Fixture::empty().await;
    let key = fixture.created("/api/v1/admin/api-keys", json!({"name": "k"})).await;
    let id = key["id"].as_str().unwrap();
    let path = format!("/api/v1/admin/api-keys/{id}");
    assert_eq!(fixture.patch(&path, &json!({"name": "new", "models": ["m"]})).await.status, 200);
    assert_eq!(fixture.get(&path, ADMIN_TOKEN).await.status, 200);
    let seen = fixture.get(&format!("{LOG}?object={id}"), ADMIN_TOKEN).await.json;
    let verbs: Vec<_> = seen["items"].as_array().unwrap().iter().map(|item| &item["verb"]).collect();
    assert_eq!(verbs, ["api-key.update", "api-key.create"], "{seen}");
    assert_eq!(seen["items"][0]["fields"], json!(["models", "name"]));
    assert_eq!(
        (&seen["items"][0]["actor"], &seen["items"][0]["source_ip"]),
        (&json!("admin-token"), &json!("192.0.2.7"))
    );
    // Every use of the administration token is there, also one that only reads; a look at the log is not.
    let seen = fixture.get(&format!("{LOG}?verb=admin-token.use"), ADMIN_TOKEN).await.json;
    assert_eq!(seen["items"].as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(seen["items"][0]["object"], "GET /api/v1/admin/api-keys/{id}");
    for bad in ["from=yesterday", "limit=0", "more=1", "request_id=x"] {
        Fixture::refused(&fixture.get(&format!("{LOG}?{bad}"), ADMIN_TOKEN).await, 400, "INVALID_REQUEST");
    }
    let whole = fixture.get(&format!("{LOG}/verify"), ADMIN_TOKEN).await.json;
    assert_eq!((&whole["ok"], &whole["entries"], &whole["fault"]), (&json!(true), &json!(3), &Value::Null));
}
