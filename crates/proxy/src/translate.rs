//! Serves a caller by an account of another dialect: which way there is, the request as the account is to
//! receive it, and what reads its answer.
//!
//! Where the dialects match nothing here runs.

mod media;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::response::Parts;
use llm::codec::{Addressed, Asked, SealKeeper, Seals, Source, Target, Translation, codec, restore};
use llm::neutral::{Dialect, Loss, Losses, Request, Severity};
use llm::{Call, Quirks, Scanner, Surface};
use model::record::{self, Lost};
use model::resource::terms::TranslationPolicy;
use model::{Code, Rejection};

use crate::attempt::misconfigured;
use crate::catalog::Offer;
use crate::endpoint::sealed;
use crate::exchange::{Belongings, Exchange};
use crate::request::Outbound;
use crate::{Shared, upstream};

/// The longest answer that is asked for where a dialect demands a number and nobody knows the model's own:
/// what every model of the last years can give.
const USUAL_MAX_OUTPUT: u64 = 8192;
/// The longest list of losses in a header, in bytes.
const SUMMARY_BYTES: usize = 1024;

/// Losses that one record names: as many as a request and its answer have at most.
const MOST_LOST: usize = 128;

/// From a caller's dialect to an account's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    caller: Dialect,
    provider: Dialect,
    surface: Surface,
}

/// The way from callers of `surface` to the account of `offer`, if it needs one and there is one. The
/// account's first dialect is preferred.
pub(crate) fn way(offer: &Offer, surface: Surface, stream: bool) -> Option<Way> {
    let caller = surface.dialect()?;
    let families = &offer.upstream.preset.families;
    families.iter().flat_map(|family| family.dialects()).find_map(|provider| {
        let surface = Surface::of_dialect(*provider, stream)?;
        offer.uri(surface)?;
        llm::codec::translates(caller, *provider).then_some(Way { caller, provider: *provider, surface })
    })
}

/// The way to an account of the caller's own dialect, for a body that is in another one.
fn relayed(offer: &Offer, call: &Call) -> Option<Way> {
    call.written?;
    let own = call.surface.dialect()?;
    offer.uri(call.surface)?;
    Some(Way { caller: own, provider: own, surface: call.surface })
}

/// An attempt that is translated, until its answer begins.
pub(crate) struct Translating {
    way: Way,
    asked: Asked,
}

/// The caller's request as the account of `offer` is to receive it.
///
/// # Errors
/// `INVALID_REQUEST` where it cannot be read, `UNSUPPORTED_FEATURE` naming the fields where the account's
/// dialect has no honest way to say it.
pub(crate) async fn write(
    exchange: &mut Exchange,
    offer: &Offer,
    outbound: &Outbound<'_>,
) -> Result<Box<upstream::Request>, Rejection> {
    let call = outbound.call;
    let way = relayed(offer, call)
        .or_else(|| way(offer, call.surface, call.stream))
        .ok_or_else(|| misconfigured("no endpoint for this surface, nor one to translate for"))?;
    let mut request = read(way, call, outbound.body)?;
    let mut asked = Asked::of(&request);
    asked.as_array = call.framing == llm::Framing::Array;
    asked.created = exchange.now_ms() / 1000;
    asked.id = exchange.record.request_id.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    asked.input_estimate = exchange.expected.total_input();
    let (target, mut losses) = (target(exchange, offer), Losses::default());
    let program = crate::program::of(exchange.record.program.as_deref());
    llm::codec::server_tools(&mut request, (way.provider, &target), program, &mut losses)?;
    llm::codec::fit(&mut request, way.provider, &target, &mut asked, &mut losses);
    let shared = Arc::clone(&exchange.worker.shared);
    let (tenant, now_ms) = (Arc::clone(&exchange.record.tenant_id), exchange.now_ms());
    restore::reattach(&mut request, |call_id| shared.seals.find(&tenant, call_id, now_ms));
    sealed::leave_out(exchange, offer, &mut request);
    media::fetch(exchange, &mut request, way.provider).await?;
    let to = codec(way.provider).ok_or_else(|| misconfigured("the account's dialect cannot be written"))?;
    let body = to.encode_request(&request, &target, &mut losses)?;
    note(exchange, way, &losses);
    check_policy(exchange, &losses)?;
    exchange.translating = Some(Box::new(Translating { way, asked }));
    upstream::translated(offer, way.surface, Bytes::from(body))
}

/// The caller's request for an account of its own dialect, without the seals that others made: an earlier
/// turn of the conversation was answered by another provider.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_own(
    exchange: &mut Exchange,
    offer: &Offer,
    outbound: &Outbound<'_>,
) -> Result<Box<upstream::Request>, Rejection> {
    let surface = outbound.call.surface;
    let own = surface.dialect().ok_or_else(|| misconfigured("no dialect of chat"))?;
    let way = Way { caller: own, provider: own, surface };
    let mut request = read(way, outbound.call, outbound.body)?;
    llm::codec::say_defaults(&mut request);
    let mut losses = Losses::default();
    let to = codec(own).ok_or_else(|| misconfigured("the account's dialect cannot be written"))?;
    let body = to.encode_request(&request, &target(exchange, offer), &mut losses)?;
    note(exchange, way, &losses);
    upstream::request(offer, outbound, Bytes::from(body))
}

fn target<'a>(exchange: &Exchange, offer: &'a Offer) -> Target<'a> {
    Target {
        provider: &offer.upstream.preset.id,
        model: &offer.upstream_model,
        quirks: &offer.upstream.preset.quirks,
        clamp: exchange.clamp,
        max_output: offer.price.and_then(|price| price.max_output).unwrap_or(USUAL_MAX_OUTPUT),
    }
}

fn read(way: Way, call: &Call, body: &Bytes) -> Result<Request, Rejection> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Rejection::because(Code::InvalidRequest, "The body is not UTF-8.").caused_by(error)
    })?;
    if let Some(written) = call.written {
        return llm::read_mixed(call, written, text);
    }
    let from = codec(way.caller).ok_or_else(|| misconfigured("the caller's dialect cannot be read"))?;
    from.decode_request(text, &Addressed { model: &call.model, stream: call.stream })
}

fn note(exchange: &mut Exchange, way: Way, losses: &Losses) {
    exchange.record.translation = Some(Box::new(record::Translation {
        dialect: way.provider.name(),
        losses: losses.list().iter().map(|loss| lost(loss, "")).collect(),
        native_finish_reason: None,
    }));
}

fn lost(loss: &Loss, before: &str) -> Lost {
    Lost {
        path: format!("{before}{}", loss.path).into(),
        reason: loss.reason,
        matters: loss.severity == Severity::Meaning,
    }
}

impl Belongings {
    /// Notes in the record what the answer has lost so far on its way into the caller's dialect, below
    /// `response`. Until the head is sent the header tells it too.
    pub(crate) fn note_answer_losses(&mut self) {
        let Some(scanner) = self.scanner.as_mut() else { return };
        let losses = scanner.take_losses();
        if let Some(translation) = &mut self.record.translation {
            let room = MOST_LOST.saturating_sub(translation.losses.len());
            translation.losses.extend(losses.list().iter().take(room).map(|loss| lost(loss, "response.")));
            if let Some(native) = scanner.native_finish_reason() {
                translation.native_finish_reason = Some(native.into());
            }
        }
    }
}

/// A strict key is not served an answer that may be another one than it asked for.
fn check_policy(exchange: &Exchange, losses: &Losses) -> Result<(), Rejection> {
    let strict =
        exchange.key.as_ref().is_some_and(|key| key.key.terms.translation == TranslationPolicy::Strict);
    let fields: Vec<&str> = losses.refused().collect();
    match (strict, fields.first()) {
        (true, Some(first)) => {
            let message = format!(
                "The account for this model speaks another dialect, which cannot say: {}.",
                fields.join(", ")
            );
            Err(Rejection::because(Code::UnsupportedFeature, message).at(*first))
        }
        _ => Ok(()),
    }
}

impl Translating {
    /// What the account says of a failure, as the caller is told.
    pub fn words(&self, failed: &llm::UpstreamFailure) -> String {
        llm::foreign_words(failed, self.way.provider, self.way.caller)
    }

    /// What reads the answer, and the head of the answer as the caller is to see it.
    pub fn scanner(
        self: Box<Self>,
        exchange: &Exchange,
        head: &mut Parts,
        quirks: &Quirks,
        call: &Call,
    ) -> Scanner {
        dress(head, call);
        let Self { way, asked } = *self;
        let source = Source { quirks, choices: call.choices };
        let translation = if call.stream {
            Translation::of_stream(way.provider, way.caller, &source, asked)
        } else {
            Translation::of_whole(way.provider, way.caller, &source, asked)
        };
        let keeper = Keeper {
            shared: Arc::clone(&exchange.worker.shared),
            tenant: Arc::clone(&exchange.record.tenant_id),
        };
        let translation = translation.expect("both codecs have just written the request");
        Scanner::translated(translation.with_keeper(Arc::new(keeper)))
    }
}

/// The head says what the body is now; what the account's dialect says in headers means nothing here.
fn dress(head: &mut Parts, call: &Call) {
    let kept = |name: &str| matches!(name, "retry-after" | "x-request-id" | "request-id");
    let gone: Vec<_> = head.headers.keys().filter(|name| !kept(name.as_str())).cloned().collect();
    for name in gone {
        head.headers.remove(name);
    }
    let kind = match (call.stream, call.framing) {
        (true, llm::Framing::Events) => "text/event-stream; charset=utf-8",
        _ => "application/json",
    };
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
}

/// Keeps seals for one tenant.
struct Keeper {
    shared: Arc<Shared>,
    tenant: Arc<str>,
}

impl SealKeeper for Keeper {
    fn keep(&self, call_id: &str, seals: Seals) {
        let bytes = seals.bytes();
        self.shared.seals.keep(&self.tenant, call_id, (seals, bytes), self.shared.clock.now_ms());
    }
}

/// What the header says of a translation.
pub(crate) fn summary(translation: &record::Translation) -> HeaderValue {
    if translation.losses.is_empty() {
        return HeaderValue::from_static("exact");
    }
    let mut text = String::from("lossy; dropped=");
    for (at, lost) in translation.losses.iter().enumerate() {
        if text.len() + lost.path.len() > SUMMARY_BYTES {
            text.push_str(",...");
            break;
        }
        if at > 0 {
            text.push(',');
        }
        // A path may name a member that a caller made up.
        text.extend(lost.path.chars().map(|c| if c.is_ascii_graphic() && c != ',' { c } else { '?' }));
    }
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("lossy"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_what_was_dropped() {
        let lost = |path: &str| Lost { path: path.into(), reason: "x", matters: true };
        let of =
            |losses| summary(&record::Translation { dialect: "gemini", losses, native_finish_reason: None });
        assert_eq!(of(vec![]), "exact");
        assert_eq!(
            of(vec![lost("logit_bias"), lost("tools[0].a,b\n")]),
            "lossy; dropped=logit_bias,tools[0].a?b?"
        );
        let many = of((0..200).map(|at| lost(&format!("messages[{at}].name"))).collect());
        assert!(many.len() < SUMMARY_BYTES + 8 && many.to_str().unwrap().ends_with(",..."));
    }
}
