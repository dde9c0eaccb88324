//! What holds for every line of the table.

use http::Method;
use model::resource::Role;
use serde_json::json;

use super::permission::Permission;
use super::routes;
use crate::testing::{ADMIN_TOKEN, Fixture, Seen, request};

/// The path with something in place of its parameters.
fn filled(path: &str) -> String {
    path.replace("{id}", &"a".repeat(26)).replace("{*model}", "gpt-5")
}

async fn call(fixture: &Fixture, method: &Method, path: &str, token: Option<&str>) -> Seen {
    let body = (method != Method::GET && method != Method::DELETE).then(|| json!({}));
    fixture.send(request(method.clone(), &filled(path), token, body.as_ref())).await
}

#[tokio::test]
async fn every_route_refuses_strangers_and_wrong_tokens() {
    let fixture = Fixture::empty().await;
    for route in routes() {
        if route.permission == Permission::Public {
            continue;
        }
        let code = match route.permission {
            Permission::CallerKey => "INVALID_API_KEY",
            _ => "TOKEN_INVALID",
        };
        for token in [None, Some("wrong"), Some("an-admin-token-of-at-least-32-characterz")] {
            let seen = call(&fixture, &route.method, route.path, token).await;
            Fixture::refused(&seen, 401, code);
        }
    }
}

#[tokio::test]
async fn every_route_refuses_a_lesser_role_and_names_the_one_it_needs() {
    let fixture = Fixture::empty().await;
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((role, fixture.signed_in(role).await.1));
    }
    for route in routes() {
        let Some(needed) = route.permission.roles().last() else {
            continue;
        };
        for (role, token) in &tokens {
            if route.permission.roles().contains(role) {
                continue;
            }
            let seen = call(&fixture, &route.method, route.path, Some(token)).await;
            Fixture::refused(&seen, 403, "SCOPE_DENIED");
            let message = seen.json["message"].as_str().unwrap();
            let names_it = message.contains(&format!("`{}`", needed.name()));
            assert!(names_it, "{} {}: {message}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn every_route_lets_the_administration_token_and_the_sufficient_roles_through() {
    let fixture = Fixture::empty().await;
    let mut tokens = vec![(Role::Admin, ADMIN_TOKEN.to_owned())];
    for role in Role::ALL {
        tokens.push((role, fixture.signed_in(role).await.1));
    }
    for route in routes() {
        for (role, token) in &tokens {
            if route.permission.roles().contains(role) && route.permission != Permission::SignedIn {
                let seen = call(&fixture, &route.method, route.path, Some(token)).await;
                assert!(![401, 403].contains(&seen.status), "{} {}: {}", route.method, route.path, seen.json);
                assert!(seen.status < 500, "{} {}: {}", route.method, route.path, seen.json);
            }
        }
    }
}

#[test]
fn the_public_routes_are_these_and_no_others() {
    let public: Vec<&str> = routes()
        .iter()
        .filter(|route| !route.permission.needs_credential())
        .map(|route| route.path)
        .collect();
    assert_eq!(
        public,
        [
            "/health",
            "/health/ready",
            "/actuator/readiness",
            "/api/v1/auth/login",
            "/api/v1/auth/refresh",
            "/api/v1/auth/token"
        ]
    );
}

#[tokio::test]
async fn what_is_not_in_the_table_is_not_found() {
    let fixture = Fixture::empty().await;
    for path in ["/api", "/api/v1/admin/nothing", "/api/v1/admin/api-keys/x/y/z", "/"] {
        Fixture::refused(&fixture.get(path, ADMIN_TOKEN).await, 404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let fixture = Fixture::empty().await;
    let seen = call(&fixture, &Method::PUT, "/api/v1/admin/api-keys", Some(ADMIN_TOKEN)).await;
    Fixture::refused(&seen, 405, "METHOD_NOT_ALLOWED");
    assert_eq!(seen.headers["allow"], "GET,HEAD,POST");
}

#[tokio::test]
async fn bodies_are_json_of_at_most_a_megabyte() {
    let fixture = Fixture::empty().await;
    let send = |kind: &'static str, body: String| {
        let mut request = request(Method::POST, "/api/v1/admin/api-keys", Some(ADMIN_TOKEN), None);
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        *request.body_mut() = body.into();
        fixture.send(request)
    };
    let json = "application/json; charset=utf-8";
    Fixture::refused(&send("text/plain", "{}".into()).await, 415, "UNSUPPORTED_MEDIA_TYPE");
    Fixture::refused(&send(json, "{".into()).await, 400, "INVALID_REQUEST");
    Fixture::refused(&send(json, String::new()).await, 400, "INVALID_REQUEST");
    Fixture::refused(&send(json, " ".repeat(1024 * 1024 + 1)).await, 413, "BODY_TOO_LARGE");
    assert_eq!(send(json, r#"{"name":"k"}"#.into()).await.status, 201);
}

#[tokio::test]
async fn the_trace_id_is_the_callers_when_it_sent_one() {
    let fixture = Fixture::empty().await;
    let mut request = request(Method::GET, "/health", None, None);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    let seen = fixture.send(request).await;
    assert_eq!(seen.headers["x-trace-id"], "req-4bf92f3577b34da6a3ce929d0e0e4736");
    assert_ne!(seen.headers["x-trace-id"], seen.headers["x-request-id"]);
}

#[tokio::test]
async fn a_disabled_user_is_refused_at_once() {
    let fixture = Fixture::empty().await;
    let (user, token) = fixture.signed_in(Role::Viewer).await;
    assert_eq!(fixture.get("/api/v1/admin/api-keys", &token).await.status, 200);
    let path = format!("/api/v1/admin/users/{}", user.id);
    assert_eq!(fixture.delete(&path, ADMIN_TOKEN).await.status, 204);
    Fixture::refused(&fixture.get("/api/v1/admin/api-keys", &token).await, 401, "TOKEN_INVALID");
}

#[tokio::test]
async fn an_expired_access_token_says_so() {
    let fixture = Fixture::empty().await;
    let (_, token) = fixture.signed_in(Role::Owner).await;
    fixture.clock.advance(15 * 60 * 1_000);
    Fixture::refused(&fixture.get("/api/v1/admin/users", &token).await, 401, "TOKEN_EXPIRED");
}
