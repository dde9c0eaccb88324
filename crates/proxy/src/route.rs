//! Which endpoint a request is for.

use http::Method;
use llm::{Surface, percent_decoded};

use crate::channel::Channel;

mod listed;

pub use listed::listed_routes;

/// Whole paths that the control plane answers, besides those of the admin channel.
const CONTROL_PATHS: [&str; 3] = ["/health", "/health/ready", "/actuator/readiness"];
/// Where a key's holder looks what is left of its quota.
pub(crate) const QUOTA_CHECK: &str = "/v1/quota/check";

/// Where the models of a key are listed, and each of them below it.
const MODEL_LISTS: [&str; 6] = [
    "/v1/models",
    "/models",
    "/v1beta/models",
    "/anthropic/v1/models",
    "/codex/v1/models",
    "/cursor/v1/models",
];

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
    /// `GET /v1/quota/check`, for the key's owner.
    QuotaCheck,
    /// What only the internal channel has.
    Extra(Extra),
    /// A path of the control plane.
    Control,
    /// A path that exists, with the methods it takes.
    WrongMethod(&'static str),
    /// Nothing is there.
    Unknown,
}

/// What the internal channel has besides calls (access contract, §9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// `GET /models`: every configured model, by upstream.
    Models,
    /// `POST /chat/completions/{request_id}/cancel`.
    Cancel(String),
    /// `POST /debug/test-routing`.
    TestRouting,
    /// `GET /debug/step-registry`.
    StepRegistry,
    /// `GET /bandit/report`.
    BanditReport,
}

/// Finds the channel and the route of a method and path. A query is not part of the path.
pub(crate) fn find_route(method: &Method, path: &str) -> (Channel, Route) {
    let (channel, rest) = Channel::of_path(path);
    let route = match channel {
        Channel::Admin if method == Method::HEAD && path == "/api/hello" => Route::Probe,
        Channel::Admin => Route::Control,
        Channel::Open => open_route(method, rest),
        Channel::External => common_route(channel, method, rest).unwrap_or(Route::Unknown),
        Channel::Internal => internal_route(method, rest),
    };
    (channel, route)
}

fn open_route(method: &Method, path: &str) -> Route {
    if method == Method::HEAD && path == "/" {
        return Route::Probe;
    }
    match path {
        "/healthz" if method == Method::HEAD => return Route::Probe,
        "/healthz" => return take(method, Method::GET, "GET, HEAD", Route::Alive),
        "/v1/usage" => return take(method, Method::GET, "GET", Route::Usage),
        QUOTA_CHECK => return take(method, Method::GET, "GET", Route::QuotaCheck),
        _ => {}
    }
    if CONTROL_PATHS.contains(&path) {
        return Route::Control;
    }
    common_route(Channel::Open, method, path).unwrap_or(Route::Unknown)
}

/// What every channel to models has.
fn common_route(channel: Channel, method: &Method, path: &str) -> Option<Route> {
    if let Some(surface) = channel.surface(path) {
        let allow = surface.methods(path);
        let takes = allow.split(", ").any(|name| name == method.as_str());
        // The same endpoint over WebSocket, which clients try first.
        if surface == Surface::Responses && method == Method::GET {
            return Some(Route::Upgrade);
        }
        return Some(if takes { Route::Call(surface) } else { Route::WrongMethod(allow) });
    }
    let lists = if channel == Channel::Open { &MODEL_LISTS[..] } else { &MODEL_LISTS[..2] };
    let rest = lists
        .iter()
        .find_map(|list| path.strip_prefix(list).filter(|rest| rest.is_empty() || rest.starts_with('/')))?;
    let route = match rest.strip_prefix('/') {
        None => Route::Models,
        Some("") => return None,
        Some(name) => Route::Model(percent_decoded(name)),
    };
    Some(take(method, Method::GET, "GET", route))
}

fn internal_route(method: &Method, path: &str) -> Route {
    let tail = path.strip_prefix("/v1").unwrap_or(path);
    let cancelled = || tail.strip_prefix("/chat/completions/")?.strip_suffix("/cancel");
    let (expected, allow, extra) = match tail {
        "/models" => (Method::GET, "GET", Extra::Models),
        "/debug/test-routing" => (Method::POST, "POST", Extra::TestRouting),
        "/debug/step-registry" => (Method::GET, "GET", Extra::StepRegistry),
        "/bandit/report" => (Method::GET, "GET", Extra::BanditReport),
        _ => match cancelled().filter(|id| !id.is_empty() && !id.contains('/')) {
            Some(id) => (Method::POST, "POST", Extra::Cancel(id.to_owned())),
            None => return common_route(Channel::Internal, method, path).unwrap_or(Route::Unknown),
        },
    };
    take(method, expected, allow, Route::Extra(extra))
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
            ("GET", "/cursor/v1/models", Route::Models),
            ("GET", "/cursor/v1/models/a", Route::Model("a".into())),
            ("POST", "/cursor/v1/chat/completions", Route::Call(Surface::ChatCompletions)),
            ("GET", "/cursor/v1/chat/completions", Route::WrongMethod("POST")),
            ("POST", "/cursor/v1/messages", Route::Unknown),
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
            ("GET", "/v1/quota/check", Route::QuotaCheck),
            ("GET", "/anthropic/v1/models/a", Route::Model("a".into())),
            ("GET", "/models/a", Route::Model("a".into())),
            ("GET", "/v1/chat/completions", Route::WrongMethod("POST")),
            ("GET", "/api/v1/admin/requests", Route::Control),
            ("GET", "/health/ready", Route::Control),
            ("GET", "/metrics", Route::Control),
            ("GET", "/", Route::Unknown),
            ("GET", "/apix", Route::Unknown),
            ("GET", "/v1/nothing", Route::Unknown),
        ] {
            let method: Method = method.parse().expect("a method");
            assert_eq!(find_route(&method, path).1, route, "{method} {path}");
        }
    }

    #[test]
    fn every_surface_is_routed_by_post() {
        for surface in Surface::ALL.into_iter().filter(|surface| *surface != Surface::StoredResponse) {
            let path = surface.route().trim_start_matches("POST ").replace("{model}", "m");
            assert_eq!(find_route(&Method::POST, &path), (Channel::Open, Route::Call(surface)));
        }
    }

    #[test]
    fn the_other_channels_speak_openai_only() {
        for surface in Surface::ALL.into_iter().filter(|surface| *surface != Surface::StoredResponse) {
            let path = surface.route().trim_start_matches("POST ").replace("{model}", "m");
            let spoken = surface.family() == llm::Family::OpenAi;
            let tail = path.trim_start_matches("/v1beta").trim_start_matches("/v1");
            for (prefix, channel) in [
                ("/external/v1", Channel::External),
                ("/internal/v1", Channel::Internal),
                ("/api/v1/internal", Channel::Internal),
            ] {
                let found = find_route(&Method::POST, &format!("{prefix}{tail}"));
                assert_eq!(found == (channel, Route::Call(surface)), spoken, "{prefix}{tail}: {found:?}");
            }
        }
    }

    #[test]
    fn the_internal_channel_has_extras_under_both_names() {
        for (method, tail, route) in [
            ("GET", "/models", Route::Extra(Extra::Models)),
            ("GET", "/models/a%2Fb", Route::Model("a/b".into())),
            ("POST", "/chat/completions/req-1/cancel", Route::Extra(Extra::Cancel("req-1".into()))),
            ("GET", "/chat/completions/req-1/cancel", Route::WrongMethod("POST")),
            ("POST", "/chat/completions//cancel", Route::Unknown),
            ("POST", "/debug/test-routing", Route::Extra(Extra::TestRouting)),
            ("GET", "/debug/step-registry", Route::Extra(Extra::StepRegistry)),
            ("GET", "/bandit/report", Route::Extra(Extra::BanditReport)),
            ("GET", "/usage", Route::Unknown),
        ] {
            let method: Method = method.parse().expect("a method");
            for prefix in ["/internal/v1", "/api/v1/internal"] {
                let path = format!("{prefix}{tail}");
                assert_eq!(find_route(&method, &path), (Channel::Internal, route.clone()), "{method} {path}");
            }
            let external = find_route(&method, &format!("/external/v1{tail}")).1;
            assert!(!matches!(external, Route::Extra(_)), "{tail}");
        }
    }
}
