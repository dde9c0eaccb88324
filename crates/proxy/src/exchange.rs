//! What one request carries from its acceptance to its settlement.
//!
//! The exchange is settled exactly once: by [`Exchange::finish`], or, when the caller's connection is
//! gone and everything is dropped, by `Drop`. No path through the data plane can leave it open.

use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;
use ledger::meter::AttemptCharge;
use llm::{Call, Echo, Envelope, Framing, Scanner, Surface};
use model::record::{Attempt, Candidate, CandidateReason, Check, RequestRecord};
use model::resource::terms::Serving as GroupServing;
use model::{Rejection, RequestId, ResourceId, TraceId, Usage};
use policy::identify::ReplySigner;
use state::capacity::Admitted;
use state::in_flight::Slot;
use state::limits::{Dimension, WindowState};
use tokio::time::Instant;

use crate::admission::Permit;
use crate::catalog::{Catalog, Key, Model, Offer};
use crate::channel::Channel;
use crate::charge::Charge;
use crate::dispatch::Ticket;
use crate::places::Place;
use crate::program;
use crate::replay::Keeping;
use crate::stages::Stages;
use crate::worker::Worker;

/// At most this many candidates, and as many attempts, are written into a record.
pub(crate) const RECORDED_CANDIDATES: usize = 32;

/// Checks of a request whose key has the usual limits: its list never grows then.
const USUAL_CHECKS: usize = 8;

/// One request. Dropping it settles it: the caller has left.
pub(crate) struct Exchange(Option<Box<Belongings>>);

/// What one request carries.
pub(crate) struct Belongings {
    /// The worker that serves it.
    pub worker: Rc<Worker>,
    /// The configuration that decides, the same from start to end.
    pub catalog: Arc<Catalog>,
    /// The way by which it came in.
    pub channel: Channel,
    /// How errors are dressed for this caller.
    pub envelope: Envelope,
    /// The family of accounts that its path asks for.
    pub family: Option<Arc<str>>,
    /// The endpoint, of calls to models.
    pub surface: Option<Surface>,
    /// When it was accepted.
    pub started: Instant,
    /// What will be kept of it.
    pub record: Box<RequestRecord>,
    /// The caller's key.
    pub key: Option<Arc<Key>>,
    /// The model asked for.
    pub model: Option<Arc<Model>>,
    /// What was taken from the limits; given back or corrected at the end.
    pub permit: Option<Permit>,
    /// The limit that refused it: what it counts, and its window.
    pub refused_by: Option<(Dimension, WindowState)>,
    /// The room it takes among all requests.
    pub room: Option<Admitted>,
    /// The part of that room which media take that were fetched for the attempt in progress, in bytes.
    pub fetched: u64,
    /// About how many tokens it asks with.
    pub prompt: u64,
    /// What it is expected to use.
    pub expected: Usage,
    /// What is held for it, and how much of that is used.
    pub charge: Option<Charge>,
    /// The longest answer to ask an upstream for, in tokens, in place of what the caller asks for.
    pub clamp: Option<u64>,
    /// How the caller's budget stands, where its program shows it.
    pub budget: Option<Box<crate::codex::Budget>>,
    /// How the attempt in progress is translated, until its answer begins.
    pub translating: Option<Box<crate::translate::Translating>>,
    /// Reads the answer as it passes.
    pub scanner: Option<Scanner>,
    /// How its caller wants the answer signed.
    pub reply_signer: Option<Box<ReplySigner>>,
    /// What is to be kept of its answer, for a caller who may repeat it.
    pub keeping: Option<Box<Keeping>>,
    /// The only account that can serve it: what it goes on from is kept there.
    pub pinned: Option<ResourceId>,
    /// How the pieces of a streamed answer are told apart.
    pub framing: Framing,
    /// Whether the provider is told to keep nothing.
    pub unkept: bool,
    /// The account in use.
    pub serving: Option<Serving>,
    /// What attempts cost us that may have been worked on and were followed by another.
    pub bought: Vec<AttemptCharge>,
    /// Whether an upstream may have done work for this request.
    pub upstream_may_have_worked: bool,
    /// Whether the count that it asks for is estimated here.
    pub is_estimate: bool,
    /// Reports the steps in the stream, where that is asked for.
    pub stages: Option<Rc<Stages>>,
    /// Writes the model's name as it was asked for.
    pub echo: Option<Box<Echo>>,
    /// Time spent waiting for upstreams.
    pub waited: std::time::Duration,
}

/// The account that serves the request, and the place taken at it.
pub(crate) struct Serving {
    /// Which model of which account, by its place in [`Model::offers`].
    pub offer: usize,
    /// The place taken; given back when dropped.
    pub _place: Option<Place<Slot>>,
    /// The permission of its circuit, until the outcome is reported.
    pub ticket: Option<Ticket>,
    /// When the attempt began.
    pub since: Instant,
    /// How long it took to the first content of a stream, in milliseconds.
    pub first_token_ms: Option<u32>,
}

/// How an exchange ends.
pub(crate) enum Ending<'a> {
    /// The answer was relayed whole.
    Complete,
    /// A refusal or failure, with the status that the caller saw.
    Failed(&'a Rejection, u16),
    /// The caller left first.
    ClientGone,
}

impl Exchange {
    /// Opens an exchange for a request accepted now.
    pub fn open(worker: &Rc<Worker>, headers: &HeaderMap, path: &str, client: IpAddr) -> Self {
        let (channel, rest) = Channel::of_path(path);
        let now_ms = worker.shared.clock.now_ms();
        let request_id = worker.mint(now_ms);
        let catalog = worker.shared.catalog.load_full();
        worker.gauges.in_flight.inc();
        Self(Some(Box::new(Belongings {
            record: Box::new(RequestRecord {
                program: program::facts(headers),
                ..blank_record(request_id, trace_id(headers, request_id), now_ms, client, &catalog)
            }),
            worker: Rc::clone(worker),
            catalog,
            channel,
            envelope: channel.envelope(rest, headers),
            family: None,
            surface: None,
            started: Instant::now(),
            key: None,
            model: None,
            permit: None,
            refused_by: None,
            room: None,
            fetched: 0,
            prompt: 0,
            expected: Usage::default(),
            charge: None,
            clamp: None,
            budget: None,
            translating: None,
            scanner: None,
            reply_signer: None,
            keeping: None,
            pinned: None,
            framing: Framing::Events,
            unkept: false,
            serving: None,
            bought: Vec::new(),
            upstream_may_have_worked: false,
            is_estimate: false,
            stages: None,
            echo: None,
            waited: std::time::Duration::ZERO,
        })))
    }

    /// Settles the exchange.
    pub fn finish(mut self, ending: &Ending<'_>) {
        if let Some(belongings) = self.0.take() {
            belongings.settle(ending);
        }
    }

    /// Ends an exchange that keeps no record: administration has an audit trail of its own.
    pub fn leave_unrecorded(mut self) {
        if let Some(belongings) = self.0.take() {
            belongings.worker.gauges.in_flight.dec();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(belongings) = self.0.take() {
            belongings.settle(&Ending::ClientGone);
        }
    }
}

impl Deref for Exchange {
    type Target = Belongings;

    fn deref(&self) -> &Belongings {
        self.0.as_deref().expect("belongings leave only when the exchange is consumed")
    }
}

impl DerefMut for Exchange {
    fn deref_mut(&mut self) -> &mut Belongings {
        self.0.as_deref_mut().expect("belongings leave only when the exchange is consumed")
    }
}

impl Belongings {
    /// The request's id.
    pub fn request_id(&self) -> RequestId {
        self.record.request_id
    }

    /// The time now, in milliseconds since the epoch.
    pub fn now_ms(&self) -> u64 {
        self.worker.shared.clock.now_ms()
    }

    /// Names the route that was matched.
    pub fn routed(&mut self, surface: Surface) {
        self.surface = Some(surface);
        self.record.route = self.channel.route(surface);
        self.record.surface = surface.name();
    }

    /// Notes the numbers that a check looked at.
    pub fn checked(&mut self, name: &'static str, passed: bool, limit: Option<u64>, used: Option<u64>) {
        self.record.checks.push(Check { name, passed, limit, used });
    }

    /// Notes a candidate of the first choice.
    pub fn considered(&mut self, account: &Arc<str>, reason: CandidateReason) {
        if self.record.candidates.len() < RECORDED_CANDIDATES {
            let eligible = reason.is_eligible();
            self.record.candidates.push(Candidate { account: Arc::clone(account), eligible, reason });
        }
    }

    /// The offer in use.
    pub fn offer(&self) -> Option<&Offer> {
        self.model.as_ref()?.offers.get(self.serving.as_ref()?.offer)
    }

    /// The attempt in progress.
    pub fn attempt(&mut self) -> Option<&mut Attempt> {
        self.record.attempts.last_mut()
    }

    /// Notes that the first byte of the answer goes out now.
    pub fn answering(&mut self, status: u16) {
        self.count();
        self.record.status = status;
        let elapsed = self.started.elapsed();
        self.record.first_byte_ms = Some(u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX));
        let own = elapsed.saturating_sub(self.waited);
        self.record.own_us = u32::try_from(own.as_micros()).unwrap_or(u32::MAX);
    }

    /// Gives the room for its body back: nobody will be sent it any more.
    pub fn forget_body(&mut self) {
        if let Some(room) = self.room.as_mut() {
            room.forget_body();
        }
    }

    /// How the group of the caller's key has its requests served.
    pub fn group_serving(&self) -> GroupServing {
        self.key.as_ref().map(|key| key.owners.serving).unwrap_or_default()
    }

    /// The offer that was called last.
    pub fn last_offer(&self) -> Option<&Offer> {
        let model = self.model.as_ref()?;
        let account = self.record.upstream.as_ref()?;
        model.offers.iter().find(|offer| offer.upstream.name == *account)
    }

    /// Ends the attempt in progress: its class, its time, and the place at the account given back.
    pub fn end_attempt(&mut self, class: &'static str, error: Option<String>, ended: Instant) {
        let Some(serving) = self.serving.take() else {
            return;
        };
        let total_ms = u32::try_from(ended.duration_since(serving.since).as_millis()).unwrap_or(u32::MAX);
        self.count_trial(&serving, class, total_ms);
        if let Some(attempt) = self.record.attempts.last_mut() {
            attempt.class = class;
            attempt.total_ms = total_ms;
            attempt.error = error.map(String::into_boxed_str);
        }
    }

    /// Counts how the call went for its account. What the caller broke off or did wrong says nothing of it.
    fn count_trial(&self, serving: &Serving, class: &str, total_ms: u32) {
        let Some(offer) = self.model.as_ref().and_then(|model| model.offers.get(serving.offer)) else {
            return;
        };
        let (trials, account) = (&self.worker.shared.trials, &offer.upstream.account.id);
        match class {
            "ok" => {
                trials.succeeded(account, &offer.upstream_model, total_ms.into(), serving.first_token_ms);
            }
            "refused" | "ambiguous" | "begun" => trials.failed(account, &offer.upstream_model),
            _ => {}
        }
    }

    /// Remembers what peeking found out, for the record.
    pub fn called(&mut self, call: &Call, body: &[u8]) {
        self.record.stream = call.stream;
        self.framing = call.framing;
        self.unkept = call.kept.as_ref().is_some_and(|kept| kept.unkept);
        self.record.bytes_in = body.len() as u64;
        self.prompt = llm::estimate_prompt(call.surface.family(), body);
    }
}

fn trace_id(headers: &HeaderMap, request_id: RequestId) -> TraceId {
    headers
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .and_then(TraceId::from_traceparent)
        .unwrap_or_else(|| request_id.into())
}

fn blank_record(
    request_id: RequestId,
    trace_id: TraceId,
    at: u64,
    client: IpAddr,
    catalog: &Catalog,
) -> RequestRecord {
    RequestRecord {
        request_id,
        trace_id,
        at,
        route: "",
        surface: "",
        key_id: None,
        user_id: None,
        tenant_id: Arc::clone(&catalog.no_tenant),
        client_ip: Some(client),
        model: Arc::clone(&catalog.no_model),
        upstream_model: None,
        upstream: None,
        stream: false,
        status: 0,
        code: None,
        cause: None,
        checks: Vec::with_capacity(USUAL_CHECKS),
        candidates: Vec::new(),
        attempts: Vec::new(),
        usage: Usage::default(),
        cost: None,
        bytes_in: 0,
        bytes_out: 0,
        first_byte_ms: None,
        latency_ms: 0,
        own_us: 0,
        revision: catalog.revision,
        program: None,
        translation: None,
        signature: None,
        stated_usage: None,
    }
}
