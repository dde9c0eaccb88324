//! One call to one account, judged: an answer has begun, or what went wrong.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::BodyExt;
use llm::{Edits, Scanner};
use model::record::Attempt;
use model::{Code, Rejection};
use serde_json::json;
use state::blocks::Punishment;
use telemetry::failpoint;
use tokio::time::Instant;

use crate::catalog::{Model, Offer};
use crate::dispatch::{Begun, Chosen, Passed, Stopped};
use crate::exchange::{Exchange, Serving};
use crate::failure::{self, Class, Failure};
use crate::request::Outbound;
use crate::withhold::{withheld, withhold};
use crate::{translate, upstream};

/// An error answer is read up to here; what is longer is no error answer.
const ERROR_BODY_BYTES: usize = 64 << 10;
/// What is held back before an answer is committed: enough for any stream's prelude, and for most whole
/// answers, so that one which breaks off can still be answered with a status of its own.
const HELD_BYTES: usize = 64 << 10;

/// How an attempt ended.
pub(crate) enum Outcome {
    /// There is an answer.
    Begun(Begun),
    /// The request must not be sent again.
    Stop(Stopped),
    /// Another account may be tried.
    Switch(Failure),
}

/// Calls the chosen account.
pub(crate) async fn run(
    exchange: &mut Exchange,
    model: &Model,
    outbound: &Outbound<'_>,
    chosen: Chosen,
) -> Outcome {
    let offer = &model.offers[chosen.offer];
    exchange.note_bought();
    open(exchange, offer, chosen);
    let written = match offer.uri(outbound.call.surface) {
        // Written as if for another dialect, even where it is the caller's: the body is in one of its own.
        Some(_) if outbound.call.written.is_some() => {
            Box::pin(translate::write(exchange, offer, outbound)).await
        }
        Some(_) if llm::codec::has_foreign_seal(outbound.call.surface, outbound.body) => {
            translate::write_own(exchange, offer, outbound)
        }
        Some(_) => write(exchange, offer, outbound),
        // Boxed: it is the longer way, and would otherwise widen every call.
        None => Box::pin(translate::write(exchange, offer, outbound)).await,
    };
    let request = match written {
        Ok(request) => request,
        Err(rejection) => return judged(exchange, offer, failure::refused(rejection)),
    };
    if let Err(rejection) = journal(exchange, offer).await {
        // No other account can be called either, and this one is not at fault.
        exchange.end_attempt(Class::Refused.name(), rejection.cause.clone(), Instant::now());
        return Outcome::Stop(Stopped::Rejected(rejection));
    }
    exchange.report("call", |exchange| {
        json!({"upstream": *offer.upstream.name, "upstream_model": *offer.upstream_model,
            "attempt": exchange.record.attempts.len()})
    });
    failpoint::pass("before_upstream");
    let pool = std::rc::Rc::clone(&exchange.worker.pool);
    let timers = exchange.worker.shared.settings.upstream;
    // Should the caller leave from here on, the upstream may have begun to work.
    exchange.upstream_may_have_worked = true;
    if let Some(leave) = outbound.leave {
        leave.note_sent(true);
    }
    let answered = pool.send(&offer.upstream.target, request, &timers).await;
    let now = Instant::now();
    let since = exchange.serving.as_ref().map_or(now, |serving| serving.since);
    let waited = now.duration_since(since);
    exchange.waited += waited;
    match answered {
        Err(error) => judged(exchange, offer, failure::of_send(&error)),
        Ok(response) => {
            failpoint::pass("after_first_byte");
            note_head(exchange, &response, waited);
            if response.status().is_success() {
                return begin(exchange, offer, outbound, response, now).await;
            }
            refused(exchange, offer, outbound.call.surface, response).await
        }
    }
}

/// Keeps, as durably as is asked for, that this account is about to be called.
async fn journal(exchange: &mut Exchange, offer: &Offer) -> Result<(), Rejection> {
    let written = exchange.begin_attempt(&offer.upstream.name)?;
    if written.is_done() { Ok(()) } else { written.wait().await }
}

fn open(exchange: &mut Exchange, offer: &Offer, chosen: Chosen) {
    exchange.record.upstream = Some(Arc::clone(&offer.upstream.name));
    exchange.record.upstream_model = Some(Arc::clone(&offer.upstream_model));
    // An attempt before this one may have been translated.
    exchange.translating = None;
    exchange.record.translation = None;
    // Most requests need no second one.
    exchange.record.attempts.reserve_exact(1);
    exchange.record.attempts.push(Attempt {
        account: Arc::clone(&offer.upstream.name),
        status: None,
        class: "cancelled",
        error: None,
        upstream_request_id: None,
        reused: false,
        first_byte_ms: None,
        total_ms: 0,
    });
    let trials = &exchange.worker.shared.trials;
    trials.selected(&offer.upstream.account.id, &offer.upstream_model, exchange.now_ms());
    exchange.serving = Some(Serving {
        offer: chosen.offer,
        _place: chosen.slot.map(|slot| exchange.worker.places.keep(slot)),
        ticket: Some(chosen.ticket),
        since: Instant::now(),
        first_token_ms: None,
    });
}

/// The caller's request as this account is to receive it.
fn write(
    exchange: &Exchange,
    offer: &Offer,
    outbound: &Outbound<'_>,
) -> Result<Box<upstream::Request>, Rejection> {
    let call = outbound.call;
    let mapped = *offer.upstream_model != *call.model;
    let edits = Edits {
        model: mapped.then(|| Box::from(&*offer.upstream_model)),
        ask_usage: asks_usage(offer, outbound),
        max_output: exchange.clamp.map(|most| (most, max_name(offer, call.surface))),
    };
    upstream::request(offer, outbound, llm::splice(call, outbound.body, &edits))
}

/// What the longest answer is called by those who refuse its older name, and by everybody else.
fn max_name(offer: &Offer, surface: llm::Surface) -> &'static str {
    if surface.is_responses() {
        return "max_output_tokens";
    }
    let newer = matches!(offer.upstream.preset.id.as_ref(), "openai" | "azure");
    if newer && surface == llm::Surface::ChatCompletions { "max_completion_tokens" } else { "max_tokens" }
}

/// Whether the gateway asks for the usage that the caller did not ask for.
fn asks_usage(offer: &Offer, outbound: &Outbound<'_>) -> bool {
    let call = outbound.call;
    call.stream
        && !call.include_usage
        && offer.upstream.preset.quirks.takes_include_usage
        && matches!(call.surface, llm::Surface::ChatCompletions | llm::Surface::Completions)
}

fn note_head(exchange: &mut Exchange, response: &Response<egress::Answer>, waited: Duration) {
    let reused = response.body().reused();
    let status = response.status().as_u16();
    let id = upstream::request_id(response.headers()).map(Box::from);
    if let Some(attempt) = exchange.attempt() {
        attempt.status = Some(status);
        attempt.reused = reused;
        attempt.upstream_request_id = id;
        attempt.first_byte_ms = u32::try_from(waited.as_millis()).ok();
    }
}

/// Holds the answer back until it is known that there is one: a stream until its first content, any
/// other answer until it is whole; at most 64 KiB.
async fn begin(
    exchange: &mut Exchange,
    offer: &Offer,
    outbound: &Outbound<'_>,
    response: Response<egress::Answer>,
    came: Instant,
) -> Outcome {
    let (mut head, answer) = response.into_parts();
    let call = outbound.call;
    let mut answer = match upstream::decoded(&mut head.headers, answer, call.stream) {
        Ok(answer) => answer,
        Err(rejection) => return judged(exchange, offer, failure::ambiguous(rejection)),
    };
    let quirks = &offer.upstream.preset.quirks;
    let mut scanner = match exchange.translating.take() {
        Some(translating) => translating.scanner(exchange, &mut head, quirks, call),
        None if call.stream => Scanner::of_stream(call, quirks, asks_usage(offer, outbound)),
        None => Scanner::unary(call.surface, quirks),
    };
    let held = hold(&mut answer, &mut scanner, call.stream).await;
    let holding = came.elapsed();
    exchange.waited += holding;
    if let Some(serving) = exchange.serving.as_mut().filter(|_| call.stream) {
        let took = came.duration_since(serving.since) + holding;
        serving.first_token_ms = u32::try_from(took.as_millis()).ok();
    }
    let failed = scanner.failure().filter(|_| !scanner.content_begun() || !call.stream).cloned();
    exchange.scanner = Some(scanner);
    exchange.note_answer_losses();
    // Before its caller can go on from it.
    exchange.note_kept();
    exchange.note_seals();
    if let Some(mut failed) = failed {
        failed.message = withheld(failed.message, offer.upstream.account.credential.as_ref());
        exchange.scanner = None;
        let failure =
            failure::of_answer(failed.status.unwrap_or(502), &failed, exchange.now_ms()).before_content();
        return judged(exchange, offer, failure);
    }
    // Much of a stream can be here at once. What its caller cannot pay for is refused while it still can be.
    if let (Ok(_), Err(rejection)) = (&held, exchange.cover()) {
        return Outcome::Stop(Stopped::Rejected(rejection));
    }
    match held {
        Ok((held, ended)) => Outcome::Begun(Begun { head, held, answer: (!ended).then_some(answer) }),
        Err(failure) => judged(exchange, offer, failure),
    }
}

/// What was held back, and whether it is the whole answer.
async fn hold(
    answer: &mut egress::Answer,
    scanner: &mut Scanner,
    stream: bool,
) -> Result<(Vec<Bytes>, bool), Failure> {
    let mut held = Vec::new();
    let mut bytes = 0;
    loop {
        match answer.frame().await {
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                let data = scanner.push(data).map_err(failure::ambiguous)?;
                bytes += data.len();
                if !data.is_empty() {
                    held.push(data);
                }
            }
            Some(Err(error)) => return Err(failure::of_break(&error)),
            None => {
                let tail = scanner.flush();
                if !tail.is_empty() {
                    held.push(tail);
                }
                if scanner.is_complete() || scanner.failure().is_some() {
                    return Ok((held, true));
                }
                return Err(failure::ambiguous(failure::truncated()));
            }
        }
        if scanner.failure().is_some() && stream {
            return Ok((held, false));
        }
        if (stream && scanner.content_begun()) || bytes > HELD_BYTES {
            return Ok((held, false));
        }
    }
}

/// Reads a complete error answer and judges it.
async fn refused(
    exchange: &mut Exchange,
    offer: &Offer,
    surface: llm::Surface,
    response: Response<egress::Answer>,
) -> Outcome {
    let (mut head, answer) = response.into_parts();
    let mut body = BytesMut::new();
    // The status is known; what is missing of the words, or cannot be read, is not worth another failure.
    if let Ok(answer) = upstream::decoded(&mut head.headers, answer, false) {
        body = read_words(answer).await;
    }
    withhold(&mut body, offer.upstream.account.credential.as_ref());
    let status = head.status.as_u16();
    let failed = llm::classify(surface, status, &head.headers, &body);
    if surface.counts() && !failed.is_model_missing() && failure::CANNOT_COUNT.contains(&status) {
        return judged(exchange, offer, failure::cannot_count(status));
    }
    let mut failure = failure::of_answer(status, &failed, exchange.now_ms());
    if failure.class != Class::Caller {
        return judged(exchange, offer, failure);
    }
    close(exchange, offer, &mut failure);
    if let Some(translating) = &exchange.translating {
        // Its words, dressed for the caller: the body is in a dialect that the caller does not read.
        failure.rejection.message = translating.words(&failed).into();
        return Outcome::Stop(Stopped::Rejected(failure.rejection));
    }
    Outcome::Stop(Stopped::Passed(Passed {
        status: head.status,
        headers: head.headers,
        body: body.freeze(),
        rejection: failure.rejection,
    }))
}

/// The words of an error answer, as far as they come.
async fn read_words(mut answer: egress::Answer) -> BytesMut {
    let mut words = BytesMut::new();
    while let Some(Ok(frame)) = answer.frame().await {
        words.extend_from_slice(&frame.into_data().unwrap_or_default());
        if words.len() > ERROR_BODY_BYTES {
            words.truncate(ERROR_BODY_BYTES);
            break;
        }
    }
    words
}

/// Closes a failed attempt and says what comes next.
fn judged(exchange: &mut Exchange, offer: &Offer, mut failure: Failure) -> Outcome {
    close(exchange, offer, &mut failure);
    match failure.class {
        Class::Refused => Outcome::Switch(failure),
        Class::Ambiguous if exchange.group_serving().retry_executed => Outcome::Switch(failure),
        Class::Ambiguous | Class::Caller => Outcome::Stop(Stopped::Rejected(failure.rejection)),
    }
}

fn close(exchange: &mut Exchange, offer: &Offer, failure: &mut Failure) {
    let now_ms = exchange.now_ms();
    let account = &offer.upstream.account.id;
    if let Some(punishment) = failure.punishment {
        let blocks = &exchange.worker.shared.blocks;
        let until_ms = match punishment {
            Punishment::ModelMissing => blocks.punish_model(account, &offer.upstream_model, now_ms),
            other => blocks.punish(account, other, failure.rejection.retry_after, now_ms),
        };
        // In this order: a change that comes in between ends the block, or is seen here.
        let current = exchange.worker.shared.catalog.load();
        if punishment == Punishment::CredentialRefused && !current.still_calls_as(&offer.upstream.account) {
            blocks.reset(account);
        }
        if failure.rejection.retry_after.is_none() && until_ms > now_ms && until_ms < u64::MAX {
            // Should this be the last account: there is no use in coming back sooner.
            failure.rejection.retry_after = Some((until_ms - now_ms).div_ceil(1_000));
        }
    }
    if let Some(ticket) = exchange.serving.as_mut().and_then(|serving| serving.ticket.take()) {
        match failure.class {
            // The request was at fault; the upstream answered as it should.
            Class::Caller => ticket.report(true, now_ms),
            _ if failure.trips_circuit => ticket.report(false, now_ms),
            _ => drop(ticket),
        }
    }
    let rejection = &failure.rejection;
    let cause = rejection.cause.clone().unwrap_or_else(|| rejection.message.to_string());
    exchange.end_attempt(failure.class.name(), Some(cause), Instant::now());
}

/// The rejection for an account that cannot be called as it is configured.
pub(crate) fn misconfigured(what: &str) -> Rejection {
    Rejection::because(Code::UpstreamError, "The upstream account is not configured correctly.")
        .caused_by(what)
}
