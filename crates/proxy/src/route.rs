//! Which endpoint a request is for.

use http::Method;
use llm::Surface;

/// First path segments that belong to the control plane (access contract, §1).
const CONTROL_SEGMENTS: [&str; 4] = ["api", "admin", "console", "metrics"];
/// Whole paths that the control plane answers.
const CONTROL_PATHS: [&str; 3] = ["/health", "/health/ready", "/actuator/readiness"];

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `HEAD /` and `HEAD /api/hello`: command-line clients look whether anybody is there.
    Probe,
    /// `GET /healthz`.
    Alive,
    /// A call to a model.
    Call(Surface),
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
        return take(method, Method::POST, "POST", Route::Call(surface));
    }
    match path {
        "/healthz" if method == Method::HEAD => return Route::Probe,
        "/healthz" => return take(method, Method::GET, "GET, HEAD", Route::Alive),
        "/v1/models" | "/models" | "/anthropic/v1/models" => {
            return take(method, Method::GET, "GET", Route::Models);
        }
        "/v1/usage" => return take(method, Method::GET, "GET", Route::Usage),
        _ => {}
    }
    for prefix in ["/v1/models/", "/models/", "/anthropic/v1/models/"] {
        if let Some(name) = path.strip_prefix(prefix).filter(|name| !name.is_empty()) {
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

/// A path segment with its percent escapes resolved; model names carry `/` and `:` that SDKs escape.
fn percent_decoded(text: &str) -> String {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = match tail {
            [high, low, ..] if first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
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
        for surface in Surface::ALL {
            let path = surface.route().trim_start_matches("POST ");
            assert_eq!(find_route(&Method::POST, path), Route::Call(surface));
        }
    }
}
