//! The end of an exchange: what was used, what it costs, and everything given back.

use ledger::meter::Settlement;
use llm::{Scanner, Surface};
use model::{Code, NanoUsd, Usage, UsageSource};

use crate::exchange::{Belongings, Ending};
use crate::price::price_of;

impl Belongings {
    /// Settles everything and hands the record over.
    pub(crate) fn settle(mut self: Box<Self>, ending: &Ending<'_>) {
        self.note_ending(ending);
        self.record.usage = self.usage();
        self.record.cost = self.cost();
        self.settle_hold();
        self.settle_permit();
        self.record.latency_ms = self.elapsed_ms();
        if self.record.first_byte_ms.is_none() {
            let own = self.started.elapsed().saturating_sub(self.waited);
            self.record.own_us = u32::try_from(own.as_micros()).unwrap_or(u32::MAX);
        }
        self.worker.gauges.in_flight.dec();
        let Self { record, worker, .. } = *self;
        worker.records.send(record);
    }

    fn note_ending(&mut self, ending: &Ending<'_>) {
        self.note_attempt(ending);
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
    pub(crate) fn note_attempt(&mut self, ending: &Ending<'_>) {
        let now_ms = self.now_ms();
        let ticket = self.serving.as_mut().and_then(|serving| serving.ticket.take());
        let account = self.offer().map(|offer| offer.upstream.account.id.clone());
        match ending {
            Ending::Complete => {
                if let Some(ticket) = ticket {
                    ticket.report(true, now_ms);
                }
                if let Some(account) = account {
                    self.worker.shared.blocks.succeeded(&account);
                }
                self.end_attempt("ok", None);
            }
            Ending::Failed(rejection, _) => {
                if let Some(ticket) = ticket {
                    ticket.report(false, now_ms);
                }
                self.end_attempt("begun", Some(rejection.message.to_string()));
            }
            Ending::ClientGone => self.end_attempt("cancelled", None),
        }
    }

    /// What was used: as the upstream stated it, else estimated where an upstream may have worked.
    fn usage(&self) -> Usage {
        if self.record.surface == Surface::CountTokens.name() {
            return Usage::default();
        }
        let scanner = self.scanner.as_ref();
        if let Some(usage) = scanner.and_then(Scanner::usage) {
            return usage;
        }
        if !self.upstream_may_have_worked {
            return Usage::default();
        }
        Usage {
            input: llm::estimate_tokens(self.record.bytes_in),
            output: llm::estimate_tokens(scanner.map_or(0, Scanner::content_bytes)),
            source: UsageSource::Estimated,
            ..Usage::default()
        }
    }

    fn cost(&self) -> Option<NanoUsd> {
        if self.record.usage.source == UsageSource::None {
            return Some(NanoUsd::ZERO);
        }
        let model = self.model.as_ref()?;
        let account = self.record.upstream.as_deref()?;
        let offer = model.offers.iter().find(|offer| *offer.upstream.name == *account)?;
        price_of(&self.record.usage, model, offer)
    }

    fn settle_hold(&mut self) {
        let Some(hold) = self.hold.take() else { return };
        let meter = &self.worker.shared.meter;
        if self.record.usage.source == UsageSource::None {
            meter.void(hold, "no upstream worked");
            return;
        }
        meter.settle(
            hold,
            Settlement {
                usage: self.record.usage,
                amount: self.record.cost.unwrap_or(NanoUsd::ZERO),
                at: self.now_ms(),
            },
        );
    }

    fn settle_permit(&mut self) {
        let Some(taken) = self.permit.take() else { return };
        let limits = &self.worker.shared.limits;
        limits.settle_tokens(&taken, self.record.usage.total(), self.now_ms());
        limits.release(&taken);
    }
}
