//! Token counts for models whose accounts cannot count: estimated here, and marked so.
//!
//! A client that finds no count estimates one itself or, signed in, has one made at its own cost; both are
//! worse than ours.

use http::Response;
use http::header::{HeaderName, HeaderValue};
use llm::Surface;
use serde_json::json;

use crate::answer;
use crate::body::Outgoing;
use crate::exchange::Exchange;

/// Says that figures of the answer are not the provider's.
const X_YUMEN_USAGE: HeaderName = HeaderName::from_static("x-yumen-usage");

/// Whether the model's accounts serve the call's caller and none of them counts tokens in its dialect.
pub(crate) fn is_ours(exchange: &Exchange, surface: Surface) -> bool {
    let counts =
        matches!(surface, Surface::CountTokens | Surface::GeminiCountTokens | Surface::ResponsesInputTokens);
    counts
        && exchange.model.as_ref().is_some_and(|model| {
            !model.offers.is_empty() && model.offers.iter().all(|offer| offer.uri(surface).is_none())
        })
}

/// The count, as far as it can be told from the size of the request.
pub(crate) fn estimate(exchange: Exchange, surface: Surface) -> Response<Outgoing> {
    // Roughly four bytes of a request are a token, be they text, names or braces.
    let tokens = llm::estimate_tokens(exchange.record.bytes_in);
    let body = match surface {
        Surface::GeminiCountTokens => json!({"totalTokens": tokens}),
        Surface::ResponsesInputTokens => json!({"object": "response.input_tokens", "input_tokens": tokens}),
        _ => json!({"input_tokens": tokens}),
    };
    let mut response = answer::json(exchange, body.to_string().into_bytes());
    response.headers_mut().insert(X_YUMEN_USAGE, HeaderValue::from_static("estimated"));
    response
}
