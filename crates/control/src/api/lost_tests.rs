//! What is said while the database cannot be used.

use http::Method;
use serde_json::json;

use crate::testing::{ADMIN_TOKEN, Fixture, request};

#[tokio::test]
async fn changes_and_reads_that_need_the_database_may_be_asked_for_again() {
    let fixture = Fixture::empty().await;
    fixture.state.store.close().await;
    for (method, path, body) in [
        (Method::POST, "/api/v1/admin/api-keys", Some(json!({"name": "k"}))),
        (Method::PUT, "/api/v1/admin/settings/retention", Some(json!({"record_days": 7}))),
        (Method::GET, "/api/v1/admin/api-keys", None),
        (Method::POST, "/api/v1/auth/login", Some(json!({"email": "a@example.org", "password": "p"}))),
    ] {
        let seen = fixture.send(request(method, path, Some(ADMIN_TOKEN), body.as_ref())).await;
        Fixture::refused(&seen, 503, "SERVICE_DEGRADED");
        assert_eq!(seen.headers["retry-after"], "1", "{path}");
    }
}
