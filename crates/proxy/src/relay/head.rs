//! How an answer to a caller begins: its head, and which of its bytes are here.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use llm::Framing;
use model::resource::terms::EchoModel;
use model::{Code, Rejection};

use super::{Relay, keep_alive_sign};
use crate::answer::{self, Stamp, X_YUMEN_CODE};
use crate::body::Outgoing;
use crate::calling::{Calling, Committed};
use crate::cancel::Cancel;
use crate::dispatch::{Begun, Passed};
use crate::exchange::{Ending, Exchange};
use crate::replay::KeptAnswer;
use crate::upstream;
use crate::withhold::withheld;

/// Tells an answer that was given before from one that an upstream has just given.
const REPLAYED: HeaderName = HeaderName::from_static("x-yumen-idempotent-replayed");

/// Begins the answer to the caller.
pub(crate) fn begin(mut exchange: Exchange, begun: Begun, cancel: Option<Cancel>) -> Response<Outgoing> {
    let stream = exchange.record.stream;
    let mut headers = head_of(&mut exchange, &begun);
    let status = begun.head.status;
    answer::stamp(&exchange, &mut headers);
    exchange.answering(status.as_u16());
    let body = match begun.answer {
        None if is_plain(&exchange) => Outgoing::ready(whole(exchange, begun.held, stream)),
        answer => {
            let mut relay = Relay::of(exchange, answer, begun.held);
            relay.cancel = cancel;
            Outgoing::Relayed(Box::new(relay))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Whether an answer that is all here goes out as it is: nobody keeps it, and no error in it is told anew.
fn is_plain(exchange: &Exchange) -> bool {
    exchange.keeping.is_none() && (!exchange.tells_errors_itself() || late_failure(exchange).is_none())
}

/// The upstream's headers as the caller gets them, and as they are kept where the answer is.
pub(super) fn head_of(exchange: &mut Exchange, begun: &Begun) -> HeaderMap {
    let mut headers = upstream::answer_headers(&begun.head.headers);
    exchange.mask(&mut headers);
    if exchange.channel.rules().echoes_model || exchange.group_serving().echo_model == EchoModel::Asked {
        let events = exchange.record.stream && exchange.framing == Framing::Events;
        exchange.echo = Some(Box::new(llm::Echo::new(&exchange.record.model, events)));
        headers.remove(header::CONTENT_LENGTH);
    }
    if exchange.record.stream {
        // The stream may gain a comment or lose the usage that was asked for on the caller's behalf.
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    if let Some(keeping) = exchange.keeping.as_mut() {
        keeping.begin(begun.head.status, &headers);
    }
    headers
}

/// Answers with what the first run of the same request was answered with.
pub(crate) fn replay(mut exchange: Exchange, kept: &KeptAnswer) -> Response<Outgoing> {
    let mut headers = kept.headers.clone();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    answer::stamp(&exchange, &mut headers);
    exchange.answering(kept.status.as_u16());
    exchange.record.bytes_out = kept.body.len() as u64;
    exchange.finish(&Ending::Complete);
    let mut response = Response::new(Outgoing::ready(kept.body.clone()));
    *response.status_mut() = kept.status;
    *response.headers_mut() = headers;
    response
}

/// Begins the answer to a caller who has waited for its first content long enough: the head goes out, and
/// the call goes on behind it.
pub(crate) fn commit(calling: Calling, stamp: Stamp, committed: Committed) -> Response<Outgoing> {
    let Committed { silence, framing, stages, cancel } = committed;
    let mut relay = Relay::silent(silence, framing);
    relay.calling = Some(Box::new(calling));
    if stages.is_none() {
        relay.held.push_back(keep_alive_sign(framing));
    }
    (relay.stages, relay.cancel) = (stages, cancel);
    let mut headers = HeaderMap::with_capacity(8);
    let kind = if framing == Framing::Array { "application/json" } else { "text/event-stream" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    stamp.write(&mut headers);
    relay.stamp = relay.cancel.is_some().then(|| Box::new(stamp));
    let mut response = Response::new(Outgoing::Relayed(Box::new(relay)));
    *response.headers_mut() = headers;
    response
}

/// An answer that is all here: settled before it is written.
fn whole(mut exchange: Exchange, mut held: Vec<Bytes>, stream: bool) -> Bytes {
    let bytes = match held.len() {
        1 => held.swap_remove(0),
        _ => held.concat().into(),
    };
    let bytes = exchange.guarded(bytes);
    let bytes = exchange.echoed(bytes);
    exchange.record.bytes_out = bytes.len() as u64;
    match late_failure(&exchange) {
        Some(rejection) if stream => exchange.finish(&Ending::Failed(&rejection, StatusCode::OK.as_u16())),
        _ => exchange.finish(&Ending::Complete),
    }
    bytes
}

/// Passes an upstream's refusal of the request itself on as it came.
pub(crate) fn pass(mut exchange: Exchange, passed: Passed) -> Response<Outgoing> {
    let mut headers = upstream::answer_headers(&passed.headers);
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(X_YUMEN_CODE, HeaderValue::from_static(passed.rejection.code.name()));
    answer::stamp(&exchange, &mut headers);
    let status = passed.status.as_u16();
    exchange.answering(status);
    exchange.record.bytes_out = passed.body.len() as u64;
    exchange.finish(&Ending::Failed(&passed.rejection, status));
    let mut response = Response::new(Outgoing::ready(passed.body));
    *response.status_mut() = passed.status;
    *response.headers_mut() = headers;
    response
}

/// What the upstream's own error event within the answer means for the record.
pub(super) fn late_failure(exchange: &Exchange) -> Option<Rejection> {
    let failed = exchange.scanner.as_ref()?.failure()?;
    let words = withheld(failed.message.clone(), exchange.credential());
    let mut rejection =
        Rejection::because(Code::UpstreamError, format!("The upstream failed while answering: {words}"));
    rejection.upstream_status = failed.status;
    rejection.upstream_code = failed.code.clone().map(|code| withheld(code, exchange.credential()));
    Some(rejection)
}
