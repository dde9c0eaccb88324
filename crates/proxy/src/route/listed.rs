//! Every method and path that the data plane itself answers, under every name it has, for whoever walks them all.
//!
//! Nothing is listed by hand but how paths may begin and end: whatever the routing takes is in the list.

use http::Method;
use llm::Surface;

use super::{Extra, MODEL_LISTS, QUOTA_CHECK, Route, find_route};
use crate::channel::Channel;

/// What stands between a channel's prefix and an endpoint's tail.
const VERSIONS: [&str; 6] = ["", "/v1", "/v1beta", "/anthropic/v1", "/codex/v1", "/cursor/v1"];

const METHODS: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];

/// Method and path of every endpoint of the data plane on every channel, each path with stand-ins for what
/// varies (`m` for a model, `resp_1` for a stored response, `req-1` for a request). What the control plane
/// answers is not in it.
#[must_use]
pub fn listed_routes() -> Vec<(Method, String)> {
    let mut listed = Vec::new();
    for prefix in Channel::prefixes() {
        for version in VERSIONS {
            for tail in tails() {
                let path = format!("{prefix}{version}{tail}");
                let taken = METHODS.into_iter().filter(|method| is_own(&find_route(method, &path).1));
                listed.extend(taken.map(|method| (method, path.clone())));
            }
        }
    }
    listed.sort_by(|one, two| (&one.1, one.0.as_str()).cmp(&(&two.1, two.0.as_str())));
    listed.dedup();
    listed
}

/// Whether the data plane answers it, and somebody may or may not get in.
fn is_own(route: &Route) -> bool {
    match route {
        Route::Alive
        | Route::Probe
        | Route::Call(_)
        | Route::Upgrade
        | Route::Models
        | Route::Model(_)
        | Route::Usage
        | Route::QuotaCheck
        | Route::Extra(_) => true,
        Route::Control | Route::WrongMethod(_) | Route::Unknown => false,
    }
}

/// How the paths of all endpoints end.
fn tails() -> Vec<String> {
    let mut tails: Vec<String> = Surface::ALL.into_iter().flat_map(tails_of).collect();
    tails.extend(extras().iter().map(|extra| tail_of(extra).to_owned()));
    for list in MODEL_LISTS {
        let tail = list.rsplit_once('/').map_or(list, |(_, name)| name);
        tails.extend([format!("/{tail}"), format!("/{tail}/m")]);
    }
    let whole = ["/", "/healthz", "/api/hello", "/v1/usage", QUOTA_CHECK];
    tails.extend(whole.map(str::to_owned));
    tails
}

fn tails_of(surface: Surface) -> Vec<String> {
    match surface {
        Surface::StoredResponse => {
            ["", "/cancel", "/input_items"].map(|end| format!("/responses/resp_1{end}")).into()
        }
        _ if surface.family() == llm::Family::Gemini => vec![format!("/models/m{}", surface.tail())],
        _ => vec![surface.tail().to_owned()],
    }
}

fn extras() -> [Extra; 5] {
    [
        Extra::Models,
        Extra::Cancel("req-1".to_owned()),
        Extra::TestRouting,
        Extra::StepRegistry,
        Extra::BanditReport,
    ]
}

/// The end of an extra's path. A new one is not compiled without its own.
fn tail_of(extra: &Extra) -> &'static str {
    match extra {
        Extra::Models => "/models",
        Extra::Cancel(_) => "/chat/completions/req-1/cancel",
        Extra::TestRouting => "/debug/test-routing",
        Extra::StepRegistry => "/debug/step-registry",
        Extra::BanditReport => "/bandit/report",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_listed_on_every_channel_that_has_it() {
        let listed = listed_routes();
        let routes: Vec<(Channel, Route)> =
            listed.iter().map(|(method, path)| find_route(method, path)).collect();
        for surface in Surface::ALL {
            assert!(routes.contains(&(Channel::Open, Route::Call(surface))), "{surface:?}");
        }
        for surface in Surface::ALL.into_iter().filter(|surface| surface.family() == llm::Family::OpenAi) {
            for channel in [Channel::External, Channel::Internal] {
                assert!(routes.contains(&(channel, Route::Call(surface))), "{surface:?}");
            }
        }
        for extra in extras() {
            assert!(routes.contains(&(Channel::Internal, Route::Extra(extra.clone()))), "{extra:?}");
        }
        let whole =
            [Route::Alive, Route::Probe, Route::Upgrade, Route::Models, Route::Usage, Route::QuotaCheck];
        for route in whole {
            assert!(routes.contains(&(Channel::Open, route.clone())), "{route:?}");
        }
        for list in MODEL_LISTS {
            assert!(listed.contains(&(Method::GET, list.to_owned())), "{list}");
        }
    }
}
