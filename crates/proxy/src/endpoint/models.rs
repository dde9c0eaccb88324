//! `GET /v1/models` and `GET /v1/models/{id}`: what the caller's key may use, in the caller's dialect.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Response, Uri};
use hyper::body::Incoming;
use llm::models::{ModelCard, Shape};
use model::{Code, Rejection};

use crate::answer;
use crate::body::Outgoing;
use crate::catalog::{Key, Model};
use crate::channel::Channel;
use crate::endpoint::identify;
use crate::exchange::Exchange;
use crate::reply::Reply;
use crate::route::Route;

/// The dialect in which the list is asked for.
pub(crate) fn shape(uri: &Uri, headers: &HeaderMap) -> Shape {
    Shape::asked(uri.path(), uri.query(), headers)
}

/// The dialect in which the list is written: whatever is asked for where that is spoken.
fn shape_on(exchange: &Exchange, head: &Parts) -> Shape {
    if exchange.channel == Channel::Open { shape(&head.uri, &head.headers) } else { Shape::OpenAi }
}

/// Answers a request for the list or for one model.
pub(crate) async fn answer(
    mut exchange: Exchange,
    head: &Parts,
    unread: &Incoming,
    route: &Route,
) -> Response<Outgoing> {
    exchange.record.surface = "models";
    exchange.record.route = match (exchange.channel, route) {
        (Channel::External, Route::Model(_)) => "GET /external/v1/models/{id}",
        (Channel::External, _) => "GET /external/v1/models",
        (Channel::Internal, Route::Model(_)) => "GET /internal/v1/models/{id}",
        (_, Route::Model(_)) => "GET /v1/models/{id}",
        _ => "GET /v1/models",
    };
    let body = identify::without_body(&mut exchange, head, unread)
        .and_then(|key| body(&exchange, &key, shape_on(&exchange, head), route));
    let reply = Reply::wanted(&mut exchange);
    let response = match body {
        Ok(body) => answer::json(exchange, body),
        Err(rejection) => answer::refuse(exchange, &rejection),
    };
    match reply {
        None => response,
        Some(reply) => Box::pin(reply.sign(response)).await,
    }
}

fn body(exchange: &Exchange, key: &Key, shape: Shape, route: &Route) -> Result<Vec<u8>, Rejection> {
    let models: Vec<Arc<Model>> = match &exchange.family {
        Some(family) => exchange.catalog.models_in_family(family, &key.key),
        None => exchange.catalog.models_of(&key.key).into_iter().cloned().collect(),
    };
    let Route::Model(wanted) = route else {
        let cards: Vec<ModelCard> = models.iter().map(|model| card(exchange, model)).collect();
        return Ok(shape.list(&cards));
    };
    // Gemini's clients name a model with its collection.
    let bare = wanted.strip_prefix("models/").filter(|_| shape == Shape::Gemini).unwrap_or(wanted);
    let found = models.iter().find(|model| *model.name == *bare);
    let card = found.map(|model| card(exchange, model)).ok_or_else(|| {
        let message =
            format!("The model `{}` is not available to this key.", policy::authorize::shown(wanted));
        Rejection::because(Code::ModelNotFound, message).at("model")
    })?;
    Ok(shape.one(&card))
}

fn card(exchange: &Exchange, model: &Arc<Model>) -> ModelCard {
    let first = model.offers.first().filter(|_| !exchange.channel.rules().masks_upstream);
    let owner = first.map_or("yumen", |offer| offer.upstream.preset.id.as_ref());
    let known: Vec<_> = model.offers.iter().filter_map(|offer| offer.price).collect();
    ModelCard {
        id: model.name.to_string(),
        created_ms: model.created_ms,
        owned_by: owner.to_owned(),
        // Whichever account serves: what the smallest of them takes.
        context: known.iter().filter_map(|entry| entry.context).min(),
        max_output: known.iter().filter_map(|entry| entry.max_output).min(),
        embeds: !known.is_empty() && known.iter().all(|entry| &*entry.mode == "embedding"),
    }
}
