//! What the internal channel has besides calls: every configured model, what would be chosen, the steps of
//! a call, and how the choices went (access contract, §9).

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use model::Rejection;
use model::clock::rfc3339;
use serde::Serialize;

use crate::body::Outgoing;
use crate::catalog::{Model, Offer};
use crate::endpoint::{identify, routing};
use crate::exchange::Exchange;
use crate::route::Extra;
use crate::{answer, cancel, linger, steps};

/// Answers a request to one of them.
pub(crate) async fn serve(
    mut exchange: Exchange,
    request: Request<Incoming>,
    extra: Extra,
) -> Response<Outgoing> {
    exchange.record.surface = "internal";
    exchange.record.route = extra.route();
    let known = identify::caller(&mut exchange, request.headers(), request.uri().query());
    if let Err(rejection) = known {
        return linger::refuse(exchange, &rejection, request);
    }
    let query = request.uri().query().unwrap_or("");
    let body = match extra {
        Extra::Models => Ok(models(&exchange, query)),
        Extra::StepRegistry => Ok(json(&steps::registry())),
        Extra::BanditReport => Ok(report(&exchange)),
        Extra::Cancel(id) => cancel::cancel(&exchange, &id)
            .map(|()| json(&serde_json::json!({"request_id": id, "cancelled": true}))),
        Extra::TestRouting => routing::test(&mut exchange, request).await,
    };
    match body {
        Ok(body) => answer::json(exchange, body),
        Err(rejection) => answer::refuse(exchange, &rejection),
    }
}

impl Extra {
    /// Method and path, as records and metrics name the route.
    fn route(&self) -> &'static str {
        match self {
            Self::Models => "GET /internal/v1/models",
            Self::Cancel(_) => "POST /internal/v1/chat/completions/{request_id}/cancel",
            Self::TestRouting => "POST /internal/v1/debug/test-routing",
            Self::StepRegistry => "GET /internal/v1/debug/step-registry",
            Self::BanditReport => "GET /internal/v1/bandit/report",
        }
    }
}

/// A list of answers of this channel.
#[derive(Serialize)]
struct List<T> {
    object: &'static str,
    data: Vec<T>,
}

/// An upstream instance and what it offers.
#[derive(Serialize)]
struct Upstream<'a> {
    id: &'a str,
    object: &'static str,
    upstream: &'a str,
    provider: &'a str,
    group_id: &'a str,
    enabled: bool,
    priority: u32,
    weight: u32,
    models: Vec<Offered<'a>>,
}

/// A model of an upstream instance.
#[derive(Serialize)]
struct Offered<'a> {
    id: &'a str,
    provider_model_id: String,
    upstream_model: &'a str,
    capabilities: Vec<&'a str>,
    context: Option<u64>,
    max_output: Option<u64>,
}

/// Every configured model, by upstream instance; with `capability=`, those that are called for it.
fn models(exchange: &Exchange, query: &str) -> Vec<u8> {
    let wanted = query.split('&').find_map(|pair| pair.strip_prefix("capability=")).filter(|w| !w.is_empty());
    // The catalogue says `embedding` where the endpoint is called `embeddings`.
    let wanted = wanted.map(|wanted| wanted.strip_suffix('s').unwrap_or(wanted));
    let mut upstreams: Vec<Upstream<'_>> = Vec::new();
    for (model, offer) in exchange.catalog.offers() {
        let offered = offered(model, offer);
        // Of a model that the catalogue does not know, nobody can say that it cannot.
        let fits = |wanted| offered.capabilities.is_empty() || offered.capabilities.contains(&wanted);
        if !wanted.is_none_or(fits) {
            continue;
        }
        let account = &offer.upstream.account;
        match upstreams.last_mut() {
            Some(upstream) if upstream.id == account.id.as_str() => upstream.models.push(offered),
            _ => upstreams.push(Upstream {
                id: account.id.as_str(),
                object: "upstream",
                upstream: &account.name,
                provider: &account.provider,
                group_id: &account.group_id,
                enabled: account.enabled,
                priority: account.priority,
                weight: account.weight,
                models: vec![offered],
            }),
        }
    }
    json(&List { object: "list", data: upstreams })
}

fn offered<'a>(model: &'a Arc<Model>, offer: &'a Offer) -> Offered<'a> {
    let entry = offer.price.filter(|entry| *entry.model != *"*");
    Offered {
        id: &model.name,
        provider_model_id: offer.id(),
        upstream_model: &offer.upstream_model,
        capabilities: entry.map(|entry| vec![&*entry.mode]).unwrap_or_default(),
        context: entry.and_then(|entry| entry.context),
        max_output: entry.and_then(|entry| entry.max_output),
    }
}

/// How the calls of one upstream for one model went.
#[derive(Serialize)]
struct Arm<'a> {
    upstream: &'a str,
    upstream_id: &'a str,
    provider: &'a str,
    group_id: &'a str,
    model: &'a str,
    upstream_model: &'a str,
    trials: u64,
    successes: u64,
    failures: u64,
    /// Of the calls that have ended; `null` before the first.
    success_rate: Option<f64>,
    mean_latency_ms: Option<u64>,
    last_selected: Option<String>,
}

/// For every upstream and model: how often it was called and how that went.
fn report(exchange: &Exchange) -> Vec<u8> {
    let trials = &exchange.worker.shared.trials;
    let offers = exchange.catalog.offers();
    let arms = offers.iter().map(|(model, offer)| {
        let account = &offer.upstream.account;
        let tally = trials.of(&account.id, &offer.upstream_model);
        let ended = tally.successes + tally.failures;
        Arm {
            upstream: &account.name,
            upstream_id: account.id.as_str(),
            provider: &account.provider,
            group_id: &account.group_id,
            model: &model.name,
            upstream_model: &offer.upstream_model,
            trials: tally.selected,
            successes: tally.successes,
            failures: tally.failures,
            success_rate: rate(tally.successes, ended),
            mean_latency_ms: tally.latency_ms.checked_div(tally.successes),
            last_selected: (tally.selected > 0).then(|| rfc3339(tally.last_selected)),
        }
    });
    json(&List { object: "list", data: arms.collect() })
}

/// A share, to four places.
fn rate(part: u64, whole: u64) -> Option<f64> {
    let parts = part.saturating_mul(10_000).checked_div(whole)?;
    Some(f64::from(u32::try_from(parts).ok()?) / 10_000.0)
}

pub(crate) fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("texts and numbers always serialise")
}

/// What may fail of an answer.
pub(crate) type Body = Result<Vec<u8>, Rejection>;
