//! What is held for a request and what it has used so far: extended before a frame is forwarded that the
//! hold would not cover, kept in step with what is relayed.
//!
//! Where nothing but requests is limited, a frame costs two comparisons here.

use std::sync::Arc;
use std::time::Duration;

use ledger::meter::{AttemptStart, Hold, Meter, Progress, Written};
use llm::{Family, Scanner};
use model::clock::EpochMs;
use model::quota::Amounts;
use model::resource::terms::WhenExhausted;
use model::{NanoUsd, Rejection, ServiceTier, Usage, UsageSource};
use telemetry::failpoint;
use tokio::time::Instant;

use crate::exchange::Belongings;
use crate::price::{Otherwise, price_of};

/// Output tokens by which a hold is extended beyond what is needed: a frame then rarely costs a call.
const AHEAD: u64 = 256;

/// Output tokens after which the meter is told again: a quarter of those after which it keeps them.
const TOLD_TOKENS: u64 = 500;

/// Output tokens that come before anybody looks at the clock again: looking costs more than the rest of a
/// frame's count.
const CLOCK_TOKENS: u64 = 16;

/// Time after which the meter is told again: a fifth of that after which it keeps it.
const TOLD_TIME: Duration = Duration::from_secs(1);

/// What is held for a request, and how much of it is used.
pub(crate) struct Charge {
    hold: Hold,
    /// What it costs where there is no price.
    otherwise: Otherwise,
    held: Amounts,
    /// Output tokens that are paid for.
    covered: u64,
    /// Output tokens that were relayed, by estimate.
    relayed: u64,
    /// Whether what came after that is not forwarded any more.
    is_cut: bool,
    /// `relayed` when the clock was last looked at.
    looked: u64,
    /// `relayed` when the meter was last told, and when that was.
    told: u64,
    told_at: Instant,
}

/// Who is asked for more, what it costs, and when.
pub(crate) struct Purse<'a> {
    pub meter: &'a dyn Meter,
    pub price: &'a dyn Fn(&Usage) -> Option<NanoUsd>,
    pub now: EpochMs,
}

/// A request's share of each unit.
pub(crate) fn amounts(requests: i64, usage: &Usage, cost: Option<NanoUsd>) -> Amounts {
    let tokens = i64::try_from(usage.total()).unwrap_or(i64::MAX);
    Amounts { requests, tokens, cost: cost.unwrap_or(NanoUsd::ZERO) }
}

impl Charge {
    /// What `hold` holds for `expected`, priced as `otherwise` says where there is no price.
    pub fn new(hold: Hold, otherwise: Otherwise, held: Amounts, expected: &Usage, now: Instant) -> Self {
        let covered = expected.output;
        Self { hold, otherwise, held, covered, relayed: 0, is_cut: false, looked: 0, told: 0, told_at: now }
    }

    /// Nothing limits the length of the answer: it needs no more looks.
    pub fn cover_all(&mut self) {
        self.covered = u64::MAX;
    }

    /// Output tokens that went to the caller, by estimate.
    fn produced(&self, content_tokens: u64) -> u64 {
        if self.is_cut {
            return self.relayed;
        }
        content_tokens
    }

    /// Holds as much as `usage` takes, or nothing more than before.
    fn raise(&mut self, purse: &Purse<'_>, usage: &Usage) -> Result<(), Rejection> {
        let to = amounts(1, usage, (purse.price)(usage));
        let more = Amounts {
            requests: 0,
            tokens: (to.tokens - self.held.tokens).max(0),
            cost: NanoUsd((to.cost.0 - self.held.cost.0).max(0)),
        };
        if more == Amounts::default() {
            return Ok(());
        }
        purse.meter.extend(&mut self.hold, more, purse.now)?;
        self.held = self.held.plus(&more);
        Ok(())
    }

    /// Holds more of an answer, some tokens ahead of it if they are to be had, else just what there is.
    fn extend(&mut self, purse: &Purse<'_>, so_far: &Usage) -> Result<(), Rejection> {
        let ahead = Usage { output: so_far.output.saturating_add(AHEAD), ..*so_far };
        if self.raise(purse, &ahead).is_ok() {
            self.covered = self.relayed.saturating_add(AHEAD);
            return Ok(());
        }
        self.raise(purse, so_far)?;
        self.covered = self.relayed;
        Ok(())
    }

    /// Holds up to `wanted` output tokens beside the input of `least`, as many as can be had; how many.
    pub fn stretch(&mut self, purse: &Purse<'_>, least: &Usage, wanted: u64) -> u64 {
        let mut output = least.output;
        let mut step = wanted.saturating_sub(output);
        // Halving steps: the sum of those that fit is the most that fits.
        while step > 0 {
            let longer = Usage { output: output + step, ..*least };
            if self.raise(purse, &longer).is_ok() {
                output += step;
            }
            step = (step / 2).min(wanted - output);
        }
        self.covered = output;
        output
    }

    /// Whether it is time to tell the meter how far the answer is.
    fn is_news(&mut self) -> bool {
        if self.relayed < self.looked.saturating_add(CLOCK_TOKENS) {
            return false;
        }
        self.looked = self.relayed;
        self.relayed - self.told >= TOLD_TOKENS || self.told_at.elapsed() >= TOLD_TIME
    }

    /// Ends it: the hold, for who settles or voids it.
    pub fn close(self) -> Hold {
        self.hold
    }
}

impl Belongings {
    /// Journals that the request is about to reach `account`. No byte may go upstream before what is
    /// returned has been waited for.
    ///
    /// # Errors
    /// `SERVICE_DEGRADED` when that cannot be kept: the upstream must not be called then.
    pub fn begin_attempt(&mut self, account: &Arc<str>) -> Result<Written, Rejection> {
        let (number, now) = (self.record.attempts.len(), self.now_ms());
        let Some(charge) = self.charge.as_mut() else {
            return Ok(Written::done());
        };
        failpoint::pass("before_intent");
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        let attempt = AttemptStart { number, account: Arc::clone(account) };
        let written = self.worker.shared.meter.begin(&mut charge.hold, attempt, now)?;
        failpoint::pass("after_intent");
        Ok(written)
    }

    /// Makes sure that all of the answer that was read is covered by the hold, before it is forwarded.
    ///
    /// # Errors
    /// What the meter says when a payer cannot cover more: the answer must end here.
    pub fn cover(&mut self) -> Result<(), Rejection> {
        if !self.record.stream {
            // It settles at its real cost.
            return Ok(());
        }
        let Some(before) = self.charge.as_ref().map(|charge| charge.relayed) else {
            return Ok(());
        };
        self.count();
        if self.charge.as_ref().is_some_and(|charge| charge.relayed > charge.covered)
            && let Err(refusal) = self.extend()
        {
            return self.exhausted(before, refusal);
        }
        self.progress();
        Ok(())
    }

    /// Counts what was read of a stream's content so far.
    pub fn count(&mut self) {
        if let (true, Some(charge), Some(scanner)) =
            (self.record.stream, self.charge.as_mut(), self.scanner.as_ref())
        {
            charge.relayed = charge.produced(scanner.content_tokens());
        }
    }

    fn extend(&mut self) -> Result<(), Rejection> {
        let (so_far, now, otherwise) = (self.usage_so_far(), self.now_ms(), self.otherwise());
        let worker = std::rc::Rc::clone(&self.worker);
        let model = self.model.clone();
        let offer = self.serving.as_ref().map(|serving| serving.offer);
        let price = |usage: &Usage| {
            let model = model.as_deref()?;
            price_of(usage, model, model.offers.get(offer?)?, otherwise)
        };
        match self.charge.as_mut() {
            Some(charge) => {
                charge.extend(&Purse { meter: &*worker.shared.meter, price: &price, now }, &so_far)
            }
            None => Ok(()),
        }
    }

    /// Nothing is left to pay the last piece with: the stream ends before it, or finishes uncovered.
    fn exhausted(&mut self, before: u64, refusal: Rejection) -> Result<(), Rejection> {
        self.checked("hold", false, None, None);
        let terms = self.key.as_ref().map(|key| key.key.terms.when_exhausted).unwrap_or_default();
        let Some(charge) = self.charge.as_mut() else {
            return Err(refusal);
        };
        match terms {
            WhenExhausted::Finish => {
                charge.cover_all();
                Ok(())
            }
            WhenExhausted::Cut => {
                // The piece is not forwarded, so it is not charged.
                charge.relayed = before;
                charge.is_cut = true;
                Err(refusal)
            }
        }
    }

    /// Tells the meter from time to time how far the answer is: what is charged if this process dies.
    fn progress(&mut self) {
        if !self.charge.as_mut().is_some_and(Charge::is_news) {
            return;
        }
        let usage = self.usage_so_far();
        let so_far = Progress { usage, cost: self.cost_of(&usage) };
        let (worker, now_ms) = (std::rc::Rc::clone(&self.worker), self.now_ms());
        if let Some(charge) = self.charge.as_mut() {
            worker.shared.meter.checkpoint(&mut charge.hold, &so_far, now_ms);
            (charge.told, charge.told_at) = (charge.relayed, Instant::now());
        }
    }

    /// What the request has used so far, if an upstream works for it: as stated, else estimated. Where the answer
    /// does not say in which tier it was made, it is the one that was asked for.
    pub fn usage_so_far(&self) -> Usage {
        let usage = self.counted_so_far();
        let tier = usage.tier.or(self.expected.tier).filter(|tier| *tier != ServiceTier::Standard);
        Usage { tier, ..usage }
    }

    fn counted_so_far(&self) -> Usage {
        let stated = self.scanner.as_ref().and_then(Scanner::usage);
        // What is stated behind a cut counts what was not forwarded.
        let is_cut = self.charge.as_ref().is_some_and(|charge| charge.is_cut);
        if let Some(usage) = stated
            && !is_cut
            && self.is_final()
        {
            return usage;
        }
        let content_tokens = self.scanner.as_ref().map_or(0, Scanner::content_tokens);
        let produced = match &self.charge {
            Some(charge) => charge.produced(content_tokens),
            None => content_tokens,
        };
        let usage = stated.unwrap_or(Usage { input: self.prompt, ..Usage::default() });
        let output = if is_cut { produced } else { usage.output.max(produced) };
        Usage { output, source: UsageSource::Estimated, ..usage }
    }

    /// Whether usage that was stated is the last word. Messages state some as they begin, too, and Gemini
    /// with every chunk.
    fn is_final(&self) -> bool {
        // What is translated is stated by another dialect than the caller's.
        let translated = self.scanner.as_ref().is_some_and(Scanner::is_translated);
        let openai = self.surface.is_some_and(|surface| surface.family() == Family::OpenAi);
        openai && !translated || self.scanner.as_ref().is_some_and(Scanner::is_complete)
    }

    /// What `usage` costs the caller at the account that was called last; `None` when nobody knows.
    pub fn cost_of(&self, usage: &Usage) -> Option<NanoUsd> {
        let model = self.model.as_deref()?;
        price_of(usage, model, self.last_offer()?, self.otherwise())
    }

    fn otherwise(&self) -> Otherwise {
        self.charge.as_ref().map(|charge| charge.otherwise).unwrap_or_default()
    }
}
