//! Relays an upstream's answer to the caller, frame by frame, reading it as it passes.
//!
//! Backpressure is the caller's: nothing is read from the upstream until hyper asks for the next frame,
//! and hyper asks only while the caller keeps reading.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use llm::Framing;
use llm::neutral::Dialect;
use llm::rejection::Told;
use model::Rejection;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::answer::Stamp;
use crate::body::CutOff;
use crate::calling::{Called, Calling};
use crate::cancel::{self, Cancel};
use crate::dispatch::{Begun, Stopped};
use crate::drain::{Drain, Leave};
use crate::exchange::{Ending, Exchange};
use crate::failure;
use crate::stages::Stages;
use crate::withhold::withheld_bytes;

mod head;

pub(crate) use head::{begin, commit, pass, replay};
use head::{head_of, late_failure};

/// What Anthropic sends from time to time.
const PING: Bytes = Bytes::from_static(b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
/// A comment that every client of server-sent events ignores.
const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// What a parser of JSON skips between any two of its tokens.
const BLANK: Bytes = Bytes::from_static(b"\n");

/// An answer on its way.
pub struct Relay {
    /// Taken when the first content is here; until then there is no exchange.
    calling: Option<Box<Calling>>,
    /// Taken when it is settled.
    exchange: Option<Exchange>,
    /// Taken when it has ended, well or not.
    answer: Option<egress::Answer>,
    held: VecDeque<Bytes>,
    stream: bool,
    framing: Framing,
    between_events: bool,
    /// Why the body must be cut off instead of ended.
    cut: Option<String>,
    last_sent: Instant,
    silence: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
    /// While a repeatable answer is stored, its end is held back.
    storing: Option<JoinHandle<()>>,
    /// Whether the caller has left, and the rest is read for the bill.
    gone: bool,
    /// Reports the steps, where the caller asked for that.
    stages: Option<Rc<Stages>>,
    /// Of a request that may be cancelled from elsewhere.
    cancel: Option<Cancel>,
    /// Dresses the refusal of a request that is cancelled before its exchange is here.
    stamp: Option<Box<Stamp>>,
}

impl Relay {
    /// A stream of which nothing is here.
    fn silent(silence: Duration, framing: Framing) -> Self {
        Self {
            calling: None,
            exchange: None,
            answer: None,
            held: VecDeque::new(),
            stream: true,
            framing,
            between_events: true,
            cut: None,
            last_sent: Instant::now(),
            silence,
            alarm: None,
            storing: None,
            gone: false,
            stages: None,
            cancel: None,
            stamp: None,
        }
    }

    fn of(exchange: Exchange, answer: Option<egress::Answer>, held: Vec<Bytes>) -> Self {
        let silence = exchange.worker.shared.settings.client.keep_alive_comment;
        let mut relay = Self::silent(silence, exchange.framing);
        relay.stream = exchange.record.stream;
        relay.take_over(exchange, answer, held);
        relay
    }

    /// Goes on with an answer that has begun.
    fn take_over(&mut self, exchange: Exchange, answer: Option<egress::Answer>, held: Vec<Bytes>) {
        let failed = late_failure(&exchange).filter(|_| exchange.tells_errors_itself() && self.stream);
        self.exchange = Some(exchange);
        if let Some(rejection) = failed {
            // What has come so far has the upstream's own words in it.
            return self.break_off(&rejection);
        }
        self.answer = answer;
        held.into_iter().for_each(|bytes| self.hold(bytes));
        if self.answer.is_none() {
            self.settle_whole();
        }
    }

    /// Queues a part of the upstream's answer for the caller.
    fn hold(&mut self, mut bytes: Bytes) {
        if let Some(exchange) = self.exchange.as_mut() {
            bytes = exchange.guarded(bytes);
            bytes = exchange.echoed(bytes);
        }
        if let Some(stages) = &self.stages {
            bytes = stages.settled(bytes);
        }
        if let Some(keeping) = self.exchange.as_mut().and_then(|exchange| exchange.keeping.as_mut()) {
            keeping.push(&bytes);
        }
        self.held.push_back(bytes);
    }

    /// An answer that has begun after its caller left.
    pub(crate) fn unheard(mut exchange: Exchange, begun: Begun) -> Self {
        head_of(&mut exchange, &begun);
        let mut relay = Self::silent(Duration::MAX, exchange.framing);
        relay.gone = true;
        relay.stream = exchange.record.stream;
        relay.take_over(exchange, begun.answer, begun.held);
        relay
    }

    /// The next bytes for the caller.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CutOff>>> {
        loop {
            if self.storing.is_some() && self.held.len() <= 1 && self.poll_stored(cx).is_pending() {
                return self.keep_alive(cx);
            }
            if let Some(bytes) = self.held.pop_front() {
                return Poll::Ready(Some(Ok(self.sent(bytes))));
            }
            if self.cancel.as_mut().is_some_and(|cancel| cancel.poll(cx)) {
                self.cancelled();
                continue;
            }
            if let Some(calling) = self.calling.as_mut() {
                let polled = Pin::new(calling.as_mut()).poll(cx);
                self.take_reports();
                match polled {
                    Poll::Ready(called) => self.called(called),
                    Poll::Pending if self.held.is_empty() => return self.keep_alive(cx),
                    Poll::Pending => {}
                }
                continue;
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

    /// Queues what the steps of the call have reported.
    fn take_reports(&mut self) {
        if let Some(stages) = &self.stages {
            self.held.extend(std::iter::from_fn(|| stages.next()));
        }
    }

    /// Ends a request that is cancelled from elsewhere.
    fn cancelled(&mut self) {
        self.cancel = None;
        let rejection = cancel::rejection();
        match (self.calling.take(), &self.stamp) {
            (Some(calling), Some(stamp)) => {
                calling.abandon();
                self.held.push_back(stamp.stream_event(&rejection).into());
            }
            _ => self.break_off(&rejection),
        }
    }

    /// Whether the answer is stored, for a caller who may repeat its request.
    fn poll_stored(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stored = self.storing.as_mut().map_or(Poll::Ready(()), |storing| {
            // A task that panicked has stored nothing; there is nothing more to wait for.
            Pin::new(storing).poll(cx).map(|_| ())
        });
        if stored.is_ready() {
            self.storing = None;
        }
        stored
    }

    /// The call behind a committed head has come to its first content, or to none.
    fn called(&mut self, (mut exchange, result): Called) {
        self.calling = None;
        exchange.answering(StatusCode::OK.as_u16());
        match result {
            Ok(begun) => {
                // The caller has a head already; this one is for who repeats the request.
                head_of(&mut exchange, &begun);
                exchange.report("relay", |_| serde_json::Value::Null);
                self.take_reports();
                self.take_over(exchange, begun.answer, begun.held);
            }
            Err(stopped) => {
                self.exchange = Some(exchange);
                match stopped {
                    Stopped::Rejected(rejection) => self.break_off(&rejection),
                    Stopped::Passed(passed) => self.break_off(&passed.rejection),
                    Stopped::Kept(kept) => {
                        self.held.push_back(kept.body.clone());
                        self.settle(&Ending::Complete);
                    }
                    // Counts are no streams; should one ask to be one, this is all there is to say.
                    Stopped::Uncounted => self.break_off(&Rejection::new(model::Code::NotSupported)),
                }
            }
        }
    }

    /// All of the answer is here.
    fn settle_whole(&mut self) {
        match self.exchange.as_ref().and_then(late_failure) {
            Some(rejection) if self.stream => {
                self.settle(&Ending::Failed(&rejection, StatusCode::OK.as_u16()));
            }
            _ => self.settle(&Ending::Complete),
        }
    }

    fn sent(&mut self, bytes: Bytes) -> Bytes {
        if self.gone {
            return bytes;
        }
        if let Some(exchange) = self.exchange.as_mut() {
            exchange.record.bytes_out += bytes.len() as u64;
        }
        if self.stream {
            self.between_events = bytes.ends_with(b"\n\n") || bytes.ends_with(b"\n\r\n");
            if self.framing == Framing::Array {
                // A line feed cannot stand within a string, and is legal everywhere else.
                self.between_events = bytes.ends_with(b"\n");
            }
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
        let pushed = scanner.push(data);
        exchange.note_seals();
        let failed = late_failure(exchange).filter(|_| self.stream && exchange.tells_errors_itself());
        match (pushed, failed) {
            // The upstream's own words are in it.
            (Ok(_), Some(rejection)) => self.break_off_behind(&rejection, false),
            (Ok(bytes), None) => match exchange.cover() {
                Ok(()) if bytes.is_empty() => {}
                Ok(()) => self.hold(bytes),
                Err(rejection) => self.break_off_behind(&rejection, false),
            },
            (Err(rejection), _) => self.break_off(&rejection),
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
        let complete = scanner.is_complete();
        let failed = late_failure(exchange);
        if !tail.is_empty() {
            // Nobody knows what half an event would have been.
            let tail = if complete { tail } else { withheld_bytes(tail, exchange.credential()) };
            self.hold(tail);
        }
        match failed {
            Some(rejection) => self.settle(&Ending::Failed(&rejection, StatusCode::OK.as_u16())),
            None if complete => self.settle(&Ending::Complete),
            None => self.break_off(&failure::truncated()),
        }
    }

    /// Ends the answer with an error: in the stream where there is one, else by cutting the body off.
    fn break_off(&mut self, rejection: &Rejection) {
        self.break_off_behind(rejection, true);
    }

    /// The same; `sent` says whether the piece that was read last has been sent on.
    fn break_off_behind(&mut self, rejection: &Rejection, sent: bool) {
        let Some(exchange) = self.exchange.as_ref() else {
            return;
        };
        let scanner = exchange.scanner.as_ref();
        if self.stream && sent && scanner.is_some_and(llm::Scanner::is_complete) {
            // The caller has the whole answer; how the connection ended is not its concern.
            return self.settle(&Ending::Complete);
        }
        let told =
            scanner.is_some_and(|scanner| scanner.failure().is_some()) && !exchange.tells_errors_itself();
        if !self.stream {
            self.cut = Some(rejection.message.to_string());
        } else if !told {
            let (request_id, trace_id) = (exchange.record.request_id, exchange.record.trace_id);
            // What a caller of a stream that ends early has to pay.
            let usage = scanner.map(|_| exchange.usage_so_far());
            let told = Told {
                usage: usage.as_ref(),
                response: scanner.and_then(llm::Scanner::numbered),
                model: &exchange.record.model,
            };
            let ids = (&request_id, &trace_id);
            let shown = exchange.shown(rejection);
            let event = llm::rejection::stream_event(exchange.envelope, &shown, ids, told);
            match exchange.framing {
                Framing::Events => {
                    // A client must not read the error as the end of a half-sent event.
                    let between: &[u8] = if self.between_events { b"" } else { b"\n\n" };
                    self.held.push_back([between, &event].concat().into());
                }
                Framing::Array => match before_element(scanner, sent) {
                    Some(before) => self.held.push_back(last_element(before, &event)),
                    None => self.cut = Some(rejection.message.to_string()),
                },
            }
        }
        self.settle(&Ending::Failed(rejection, StatusCode::OK.as_u16()));
    }

    fn settle(&mut self, ending: &Ending<'_>) {
        self.answer = None;
        if let Some(mut exchange) = self.exchange.take() {
            if let (Ending::Complete, Some(keeping)) = (ending, exchange.keeping.take()) {
                self.storing = keeping.store(&exchange.worker.shared.answers);
            }
            if self.gone {
                let now_ms = exchange.now_ms();
                exchange.note_attempt(ending, Instant::now(), now_ms);
                return exchange.finish(&Ending::ClientGone);
            }
            exchange.record.bytes_out += self.held.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
            exchange.finish(ending);
        }
    }

    /// While nothing comes, says from time to time that the stream is alive; only between events.
    fn keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, CutOff>>> {
        if !self.stream || !self.between_events || self.gone {
            return Poll::Pending;
        }
        let due = self.last_sent + self.silence;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                alarm.as_mut().reset(Instant::now() + self.silence);
                // Registers the new alarm; it cannot be due yet.
                let _ = alarm.as_mut().poll(cx);
                let sign = if self.pings() { PING } else { keep_alive_sign(self.framing) };
                return Poll::Ready(Some(Ok(self.sent(sign))));
            }
            alarm.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl Relay {
    /// Whether a sign of life is the dialect's own event: where Bedrock, whose binary streams have none,
    /// answers a caller of Messages, who counts on them.
    fn pings(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| {
            let translation = exchange.record.translation.as_ref();
            exchange.envelope == llm::Envelope::Anthropic
                && exchange.record.bytes_out > 0
                && translation.is_some_and(|way| way.dialect == Dialect::BedrockConverse.name())
        })
    }
}

/// What says that a stream is alive, and is skipped by whoever reads it.
fn keep_alive_sign(framing: Framing) -> Bytes {
    match framing {
        Framing::Events => KEEP_ALIVE,
        Framing::Array => BLANK,
    }
}

/// What must stand before one more element of an answer that is an array; nothing of one may be sent yet.
fn before_element(scanner: Option<&llm::Scanner>, sent: bool) -> Option<&'static str> {
    scanner.map_or(Some("["), |scanner| scanner.before_element(sent))
}

/// The error within `event` as the last element of an array.
fn last_element(before: &str, event: &[u8]) -> Bytes {
    let error = event.strip_prefix(b"data: ").unwrap_or(event).trim_ascii_end();
    [before.as_bytes(), error, b"]\n"].concat().into()
}

impl Relay {
    /// Whether the caller was given all that its dialect calls an answer: some, Codex among them, leave with its last
    /// event and do not wait for the end of the body.
    fn has_given_all(&self) -> bool {
        let scanner = self.exchange.as_ref().and_then(|exchange| exchange.scanner.as_ref());
        let is_whole = scanner.is_some_and(|scanner| scanner.is_complete() && scanner.failure().is_none());
        self.stream && is_whole && self.held.is_empty() && !std::thread::panicking()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.gone || self.answer.is_none() {
            return;
        }
        if self.has_given_all() {
            return self.settle(&Ending::Complete);
        }
        if let Some(leave) = self.exchange.as_ref().and_then(Leave::of) {
            let mut rest = Self::silent(self.silence, self.framing);
            rest.stream = self.stream;
            rest.exchange = self.exchange.take();
            rest.answer = self.answer.take();
            rest.gone = true;
            leave.hand_over(Drain::Relaying(Box::new(rest)));
        }
    }
}
