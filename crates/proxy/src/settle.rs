//! The end of an exchange: what was used, what it costs, and everything given back.

use std::sync::Arc;

use ledger::meter::{AttemptCharge, Settlement};
use llm::Surface;
use model::{Blame, Code, NanoUsd, Usage, UsageSource};
use telemetry::failpoint;
use tokio::time::Instant;

use crate::charge::Charge;
use crate::exchange::{Belongings, Ending};
use crate::failure::Class;
use crate::price::cost_to_us;
use crate::withhold::withheld;

impl Belongings {
    /// Settles everything and hands the record over.
    pub(crate) fn settle(mut self: Box<Self>, ending: &Ending<'_>) {
        // The end is one moment: both clocks are read once for all that it does.
        let (ended, now_ms) = (Instant::now(), self.now_ms());
        self.note_ending(ending, ended, now_ms);
        self.record.usage = self.usage();
        self.note_stated_usage();
        self.note_kept();
        self.note_answer_losses();
        self.record.cost = self.cost();
        self.note_output(ending);
        self.settle_charge(now_ms);
        self.settle_permit(now_ms);
        let elapsed = ended.duration_since(self.started);
        self.record.latency_ms = u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX);
        if self.record.first_byte_ms.is_none() {
            let own = elapsed.saturating_sub(self.waited);
            self.record.own_us = u32::try_from(own.as_micros()).unwrap_or(u32::MAX);
        }
        self.worker.gauges.in_flight.dec();
        let Self { record, worker, .. } = *self;
        worker.records.send(record);
    }

    /// Keeps the usage in the provider's words, for whoever checks the counters that were made of it.
    fn note_stated_usage(&mut self) {
        let Some(stated) = self.scanner.as_ref().and_then(llm::Scanner::stated_usage) else { return };
        let credential = self.last_offer().and_then(|offer| offer.upstream.account.credential.as_ref());
        self.record.stated_usage = Some(withheld(stated.into(), credential).into());
    }

    fn note_ending(&mut self, ending: &Ending<'_>, ended: Instant, now_ms: u64) {
        self.note_attempt(ending, ended, now_ms);
        match ending {
            Ending::Complete => {}
            Ending::Failed(rejection, status) => {
                self.record.status = *status;
                self.record.code = Some(rejection.code);
                let cause = rejection.cause.clone().unwrap_or_else(|| rejection.message.to_string());
                self.record.cause = Some(cause.into_boxed_str());
            }
            Ending::ClientGone if std::thread::panicking() => {
                self.record.status = Code::InternalError.http();
                self.record.code = Some(Code::InternalError);
            }
            Ending::ClientGone => {
                self.record.status = Code::ClientClosed.http();
                self.record.code = Some(Code::ClientClosed);
            }
        }
    }

    /// Ends an attempt that is still open: it answered, or broke off after content, or was cancelled.
    pub(crate) fn note_attempt(&mut self, ending: &Ending<'_>, ended: Instant, now_ms: u64) {
        let ticket = self.serving.as_mut().and_then(|serving| serving.ticket.take());
        match ending {
            Ending::Complete => {
                if let Some(ticket) = ticket {
                    ticket.report(true, now_ms);
                }
                if let Some(offer) = self.offer() {
                    self.worker.shared.blocks.succeeded(&offer.upstream.account.id);
                }
                self.end_attempt("ok", None, ended);
            }
            Ending::Failed(rejection, _) => {
                if let Some(ticket) = ticket {
                    // A stream whose payer has nothing left is no fault of the upstream.
                    ticket.report(rejection.blame != Blame::Upstream, now_ms);
                }
                self.end_attempt("begun", Some(rejection.message.to_string()), ended);
            }
            Ending::ClientGone => self.end_attempt("cancelled", None, ended),
        }
    }

    /// What was used: as the upstream stated it, else estimated; nothing where no upstream worked.
    fn usage(&self) -> Usage {
        if self.is_estimate {
            // Nothing is used; what was told is marked.
            return Usage { source: UsageSource::Estimated, ..Usage::default() };
        }
        if self.surface.is_some_and(Surface::is_free) || !self.upstream_worked() {
            return Usage::default();
        }
        self.usage_so_far()
    }

    /// Whether an upstream may have done work that the caller pays for. Every attempt but the last one was
    /// refused, or is kept as bought.
    fn upstream_worked(&self) -> bool {
        let refused = [Class::Refused.name(), Class::Caller.name()];
        self.upstream_may_have_worked
            && self.record.attempts.last().is_some_and(|attempt| !refused.contains(&attempt.class))
    }

    fn cost(&self) -> Option<NanoUsd> {
        match self.record.usage.source {
            _ if self.is_estimate => Some(NanoUsd::ZERO),
            UsageSource::None => Some(NanoUsd::ZERO),
            UsageSource::Measured | UsageSource::Estimated => self.cost_of(&self.record.usage),
        }
    }

    /// Remembers how long a whole answer was, for what is held of the next ones.
    fn note_output(&self, ending: &Ending<'_>) {
        if let (Ending::Complete, Some(key), Some(model)) = (ending, &self.key, &self.model)
            && self.surface.is_some_and(Surface::may_stream)
            && key.counts_tokens()
            && self.record.usage.source != UsageSource::None
        {
            self.worker.shared.outputs.note(&key.key.id, &model.name, self.record.usage.output);
        }
    }

    fn settle_charge(&mut self, at: u64) {
        let Some(hold) = self.charge.take().map(Charge::close) else { return };
        let usage = self.record.usage;
        if usage.source == UsageSource::None && self.bought.is_empty() {
            failpoint::pass("before_void");
            return self.worker.shared.meter.void(
                hold,
                self.record.code.map_or("no upstream worked", Code::name),
                at,
            );
        }
        failpoint::pass("before_settle");
        let attempts = self.attempts(usage);
        let meter = &self.worker.shared.meter;
        meter.settle(hold, Settlement { usage, cost: self.record.cost, at, attempts });
        failpoint::pass("after_settle");
    }

    /// Keeps what an attempt cost us that may have been worked on, before another account is called for
    /// the same request: the caller pays for the last one only.
    pub(crate) fn note_bought(&mut self) {
        if self.record.attempts.last().is_some_and(|attempt| attempt.class == Class::Ambiguous.name()) {
            let usage = self.usage_so_far();
            let bought = self.last_attempt(usage);
            self.bought.extend(bought);
            // What was read of its answer is not part of the next one.
            self.scanner = None;
        }
    }

    /// What the attempts cost us that used something: the last one, and those before it that were bought.
    fn attempts(&mut self, usage: Usage) -> Vec<AttemptCharge> {
        let mut attempts = std::mem::take(&mut self.bought);
        if usage.source != UsageSource::None {
            attempts.extend(self.last_attempt(usage));
        }
        attempts
    }

    fn last_attempt(&self, usage: Usage) -> Option<AttemptCharge> {
        let (last, offer) = (self.record.attempts.last()?, self.last_offer()?);
        let number = u8::try_from(self.record.attempts.len()).unwrap_or(u8::MAX);
        let same = offer.price.is_some() && self.model.as_ref().is_some_and(|m| m.price_override.is_none());
        // The list price is computed once where it is also what the caller pays.
        let settled = same && usage == self.record.usage;
        let cost = if settled { self.record.cost } else { cost_to_us(&usage, offer) };
        Some(AttemptCharge { number, account: Arc::clone(&last.account), usage, cost })
    }

    fn settle_permit(&mut self, now_ms: u64) {
        if let Some(permit) = self.permit.take() {
            permit.settle(&self.worker.shared.limits, self.record.usage.total(), now_ms);
        }
    }
}
