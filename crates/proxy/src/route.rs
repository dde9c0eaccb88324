//! Which endpoint a request is for.

use http::Method;
use llm::{Surface, percent_decoded};

/// First path segments that belong to the control plane (access contract, §1).
const CONTROL_SEGMENTS: [&str; 4] = ["api", "admin", "console", "metrics"];
/// Whole paths that the control plane answers.
const CONTROL_PATHS: [&str; 3] = ["/health", "/health/ready", "/actuator/readiness"];

/// Where the models of a key are listed, and each of them below it.
const MODEL_LISTS: [&str; 5] =
    ["/v1/models", "/models", "/v1beta/models", "/anthropic/v1/models", "/codex/v1/models"];

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `HEAD /` and `HEAD /api/hello`: command-line clients look whether anybody is there.
    Probe,
    /// `GET /healthz`.
    Alive,
    /// A call to a model.
    Call(Surface),
    /// `GET` of an endpoint that other servers have as a WebSocket.
    Upgrade,
    /// The models of a key.
    Models,
    /// One model of a key; the name as it stands in the path.
    Model(String),
    /// `GET /v1/usage`, for the key's owner.
    Usage,
    /// A path of the control plane.
    Control,
    /// A path that exists, with the methods it takes.
    WrongMethod(&'static str),
    /// Nothing is there.
    Unknown,
}

/// Finds the route of a method and path. A query is not part of the path.
pub(crate) fn find_route(method: &Method, path: &str) -> Route {
    if method == Method::HEAD && matches!(path, "/" | "/api/hello") {
        return Route::Probe;
    }
    if let Some(surface) = Surface::from_path(path) {
        let allow = surface.methods(path);
        let takes = allow.split(", ").any(|name| name == method.as_str());
        // The same endpoint over WebSocket, which clients try first.
        if surface == Surface::Responses && method == Method::GET {
            return Route::Upgrade;
        }
        return if takes { Route::Call(surface) } else { Route::WrongMethod(allow) };
    }
    match path {
        "/healthz" if method == Method::HEAD => return Route::Probe,
        "/healthz" => return take(method, Method::GET, "GET, HEAD", Route::Alive),
        _ if MODEL_LISTS.contains(&path) => return take(method, Method::GET, "GET", Route::Models),
        "/v1/usage" => return take(method, Method::GET, "GET", Route::Usage),
        _ => {}
    }
    for list in MODEL_LISTS {
        let name = path.strip_prefix(list).and_then(|rest| rest.strip_prefix('/'));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            return take(method, Method::GET, "GET", Route::Model(percent_decoded(name)));
        }
    }
    let first = path.trim_start_matches('/').split('/').next().unwrap_or("");
    if CONTROL_SEGMENTS.contains(&first) || CONTROL_PATHS.contains(&path) {
        return Route::Control;
    }
    Route::Unknown
}

fn take(method: &Method, expected: Method, allow: &'static str, route: Route) -> Route {
    if *method == expected { route } else { Route::WrongMethod(allow) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_route() {
        for (method, path, route) in [
            ("HEAD", "/", Route::Probe),
            ("HEAD", "/api/hello", Route::Probe),
            ("GET", "/healthz", Route::Alive),
            ("POST", "/healthz", Route::WrongMethod("GET, HEAD")),
            ("GET", "/v1/models", Route::Models),
            ("POST", "/v1/models", Route::WrongMethod("GET")),
            ("GET", "/v1beta/models", Route::Models),
            ("GET", "/codex/v1/models", Route::Models),
            ("GET", "/v1beta/models/a", Route::Model("a".into())),
            ("POST", "/v1/models/a:generateContent", Route::Call(Surface::GenerateContent)),
            ("GET", "/v1/models/a:generateContent", Route::WrongMethod("POST")),
            ("GET", "/v1/models/ft:a:b", Route::Model("ft:a:b".into())),
            ("GET", "/v1/responses", Route::Upgrade),
            ("PUT", "/v1/responses", Route::WrongMethod("POST")),
            ("GET", "/v1/responses/resp_1", Route::Call(Surface::StoredResponse)),
            ("DELETE", "/v1/responses/resp_1", Route::Call(Surface::StoredResponse)),
            ("POST", "/v1/responses/resp_1", Route::WrongMethod("GET, DELETE")),
            ("POST", "/v1/responses/resp_1/cancel", Route::Call(Surface::StoredResponse)),
            ("GET", "/v1/models/a%2Fb%3Ac", Route::Model("a/b:c".into())),
            ("GET", "/v1/models/a/b%zz", Route::Model("a/b%zz".into())),
            ("GET", "/v1/usage", Route::Usage),
            ("GET", "/v1/chat/completions", Route::WrongMethod("POST")),
            ("GET", "/api/v1/admin/requests", Route::Control),
            ("GET", "/health/ready", Route::Control),
            ("GET", "/metrics", Route::Control),
            ("GET", "/", Route::Unknown),
            ("GET", "/apix", Route::Unknown),
            ("GET", "/v1/nothing", Route::Unknown),
        ] {
            let method: Method = method.parse().expect("a method");
            assert_eq!(find_route(&method, path), route, "{method} {path}");
        }
    }

    #[test]
    fn every_surface_is_routed_by_post() {
        for surface in Surface::ALL.into_iter().filter(|surface| *surface != Surface::StoredResponse) {
            let path = surface.route().trim_start_matches("POST ").replace("{model}", "m");
            assert_eq!(find_route(&Method::POST, &path), Route::Call(surface));
        }
    }
}
