//! `GET /v1/models` and `GET /v1/models/{id}`: what the caller's key may use, in the caller's dialect.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use llm::Envelope;
use llm::models::{self, ModelCard};
use model::{Code, Rejection};

use crate::answer;
use crate::body::Outgoing;
use crate::catalog::Model;
use crate::endpoint::identify;
use crate::exchange::Exchange;
use crate::route::Route;

/// Answers a request for the list or for one model.
pub(crate) fn answer(
    mut exchange: Exchange,
    request: &Request<Incoming>,
    route: &Route,
) -> Response<Outgoing> {
    exchange.record.surface = "models";
    exchange.record.route = match route {
        Route::Model(_) => "GET /v1/models/{id}",
        _ => "GET /v1/models",
    };
    match body(&mut exchange, request, route) {
        Ok(body) => answer::json(exchange, body),
        Err(rejection) => answer::refuse(exchange, &rejection),
    }
}

fn body(exchange: &mut Exchange, request: &Request<Incoming>, route: &Route) -> Result<Vec<u8>, Rejection> {
    let key = identify::key_of(exchange, request.headers(), request.uri().query())?;
    let models = exchange.catalog.models_of(&key.key);
    let anthropic = exchange.envelope == Envelope::Anthropic;
    let Route::Model(wanted) = route else {
        let cards: Vec<ModelCard> = models.into_iter().map(card).collect();
        return Ok(if anthropic { models::anthropic_list(&cards) } else { models::openai_list(&cards) });
    };
    let card = models.into_iter().find(|model| *model.name == **wanted).map(card).ok_or_else(|| {
        let message =
            format!("The model `{}` is not available to this key.", policy::authorize::shown(wanted));
        Rejection::because(Code::ModelNotFound, message).at("model")
    })?;
    Ok(if anthropic { models::anthropic_one(&card) } else { models::openai_one(&card) })
}

fn card(model: &Arc<Model>) -> ModelCard {
    let owner = model.offers.first().map_or("yumen", |offer| offer.upstream.preset.id.as_ref());
    ModelCard { id: model.name.to_string(), created_ms: model.created_ms, owned_by: owner.to_owned() }
}
