//! Relays an upstream's answer to the caller, frame by frame, reading it as it passes.
//!
//! Backpressure is the caller's: nothing is read from the upstream until hyper asks for the next frame,
//! and hyper asks only while the caller keeps reading.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body::Body;
use model::{Code, Rejection};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::answer::{self, X_YUMEN_CODE};
use crate::body::{CutOff, Outgoing};
use crate::dispatch::{Begun, Passed};
use crate::exchange::{Ending, Exchange};
use crate::{failure, upstream};

/// A comment that every client of server-sent events ignores.
const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// An answer on its way.
pub struct Relay {
    /// Taken when it is settled.
    exchange: Option<Exchange>,
    /// Taken when it has ended, well or not.
    answer: Option<egress::Answer>,
    held: VecDeque<Bytes>,
    stream: bool,
    between_events: bool,
    /// Why the body must be cut off instead of ended.
    cut: Option<String>,
    last_sent: Instant,
    silence: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
}

/// Begins the answer to the caller.
pub(crate) fn begin(mut exchange: Exchange, begun: Begun) -> Response<Outgoing> {
    let mut headers = upstream::answer_headers(&begun.head.headers);
    answer::stamp(&exchange, &mut headers);
    let status = begun.head.status;
    exchange.answering(status.as_u16());
    let stream = exchange.record.stream;
    if stream {
        // The stream may gain a comment or lose the usage that was asked for on the caller's behalf.
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    let body = match begun.answer {
        None => Outgoing::ready(whole(exchange, begun.held, stream)),
        Some(answer) => Outgoing::Relayed(Box::new(Relay::new(exchange, answer, begun.held, stream))),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// An answer that is all here: settled before it is written.
fn whole(mut exchange: Exchange, mut held: Vec<Bytes>, stream: bool) -> Bytes {
    let bytes = match held.len() {
        1 => held.swap_remove(0),
        _ => held.concat().into(),
    };
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
fn late_failure(exchange: &Exchange) -> Option<Rejection> {
    let failed = exchange.scanner.as_ref()?.failure()?;
    let message = format!("The upstream failed while answering: {}", failed.message);
    let mut rejection = Rejection::because(Code::UpstreamError, message);
    rejection.upstream_status = failed.status;
    rejection.upstream_code.clone_from(&failed.code);
    Some(rejection)
}

impl Relay {
    fn new(exchange: Exchange, answer: egress::Answer, held: Vec<Bytes>, stream: bool) -> Self {
        Self {
            silence: exchange.worker.shared.settings.client.keep_alive_comment,
            exchange: Some(exchange),
            answer: Some(answer),
            held: held.into(),
            stream,
            between_events: true,
            cut: None,
            last_sent: Instant::now(),
            alarm: None,
        }
    }

    /// The next bytes for the caller.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CutOff>>> {
        loop {
            if let Some(bytes) = self.held.pop_front() {
                return Poll::Ready(Some(Ok(self.sent(bytes))));
            }
            let Some(answer) = self.answer.as_mut() else {
                return Poll::Ready(self.cut.take().map(|why| Err(CutOff(why))));
            };
            match Pin::new(answer).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.read(data);
                    }
                    // hyper does not ask again once it has written a declared length: settle now.
                    if self.answer.as_ref().is_some_and(Body::is_end_stream) {
                        self.end();
                    }
                }
                Poll::Ready(Some(Err(error))) => self.break_off(&failure::broken_off(&error)),
                Poll::Ready(None) => self.end(),
                Poll::Pending => return self.keep_alive(cx),
            }
        }
    }

    fn sent(&mut self, bytes: Bytes) -> Bytes {
        if let Some(exchange) = self.exchange.as_mut() {
            exchange.record.bytes_out += bytes.len() as u64;
        }
        if self.stream {
            self.between_events = bytes.ends_with(b"\n\n") || bytes.ends_with(b"\n\r\n");
            self.last_sent = Instant::now();
        }
        bytes
    }

    /// Reads a frame and lets it pass, once it is paid for.
    fn read(&mut self, data: Bytes) {
        let Some(exchange) = self.exchange.as_mut() else {
            return;
        };
        let Some(scanner) = exchange.scanner.as_mut() else {
            return;
        };
        match scanner.push(data) {
            Ok(bytes) => match exchange.cover() {
                Ok(()) if bytes.is_empty() => {}
                Ok(()) => self.held.push_back(bytes),
                Err(rejection) => self.break_off(&rejection),
            },
            Err(rejection) => self.break_off(&rejection),
        }
    }

    /// The upstream ended its answer cleanly; whether it is complete is another matter.
    fn end(&mut self) {
        let Some(exchange) = self.exchange.as_mut() else {
            return;
        };
        let Some(scanner) = exchange.scanner.as_mut() else {
            return;
        };
        let tail = scanner.flush();
        if !tail.is_empty() {
            self.held.push_back(tail);
        }
        if let Some(rejection) = late_failure(exchange) {
            return self.settle(&Ending::Failed(&rejection, StatusCode::OK.as_u16()));
        }
        if exchange.scanner.as_ref().is_some_and(llm::Scanner::is_complete) {
            return self.settle(&Ending::Complete);
        }
        self.break_off(&failure::truncated());
    }

    /// Ends the answer with an error: in the stream where there is one, else by cutting the body off.
    fn break_off(&mut self, rejection: &Rejection) {
        let Some(exchange) = self.exchange.as_ref() else {
            return;
        };
        let scanner = exchange.scanner.as_ref();
        if self.stream && scanner.is_some_and(llm::Scanner::is_complete) {
            // The caller has the whole answer; how the connection ended is not its concern.
            return self.settle(&Ending::Complete);
        }
        let told = scanner.is_some_and(|scanner| scanner.failure().is_some());
        if !self.stream {
            self.cut = Some(rejection.message.to_string());
        } else if !told {
            let (request_id, trace_id) = (exchange.record.request_id, exchange.record.trace_id);
            let mut event = Vec::new();
            if !self.between_events {
                // A client must not read the error as the end of a half-sent event.
                event.extend_from_slice(b"\n\n");
            }
            event.extend(llm::rejection::stream_event(exchange.envelope, rejection, &request_id, &trace_id));
            self.held.push_back(event.into());
        }
        self.settle(&Ending::Failed(rejection, StatusCode::OK.as_u16()));
    }

    fn settle(&mut self, ending: &Ending<'_>) {
        self.answer = None;
        if let Some(mut exchange) = self.exchange.take() {
            exchange.record.bytes_out += self.held.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
            exchange.finish(ending);
        }
    }

    /// While nothing comes, says from time to time that the stream is alive; only between events.
    fn keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CutOff>>> {
        if !self.stream || !self.between_events {
            return Poll::Pending;
        }
        let due = self.last_sent + self.silence;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                alarm.as_mut().reset(Instant::now() + self.silence);
                // Registers the new alarm; it cannot be due yet.
                let _ = alarm.as_mut().poll(cx);
                return Poll::Ready(Some(Ok(self.sent(KEEP_ALIVE))));
            }
            alarm.as_mut().reset(due);
        }
        Poll::Pending
    }
}
