//! What callers and administrators do, each step against the book and the model alike.

use std::sync::Arc;

use ledger::Event;
use ledger::book::{Outcome, Refused};
use ledger::event::{Adjustment, Ended, Ending, Opening, WindowReset};
use ledger::meter::{Asked, AttemptCharge, Facts, Progress, Settlement};
use model::quota::Amounts;
use model::{NanoUsd, Usage, UsageSource};

use crate::model::slot;
use crate::must;
use crate::world::{Checked, Planted, Running, Stage, World, attempt, number_of, request};

impl World {
    pub fn open(&mut self) -> Checked {
        let number = self.stages.len();
        let group = self.rng.usize(0..self.payers.groups.len());
        let (payers, places) = self.payers.groups[group].clone();
        let now = self.now();
        let expected =
            Amounts { requests: 1, tokens: self.rng.i64(0..600), cost: NanoUsd(self.rng.i64(0..6_000)) };
        let facts =
            Facts { request: request(number), key: None, user: None, tenant: "t".into(), model: "m".into() };
        let admitted = self.model.admit(&self.payers, &places, &expected, now);
        let opening = self.book.opening(Asked { facts, payers, expected, at: now }, now + 1);
        let (share, mut opening) = match (admitted, opening) {
            (Some(share), Ok(opening)) => (share, opening),
            (None, Err(_)) => {
                self.tally.refused += 1;
                return Ok(());
            }
            (None, Ok(_)) => return Err("admitted although a payer cannot pay".into()),
            (Some(_), Err(why)) => return Err(format!("refused although everybody can pay: {why:?}")),
        };
        self.plant_grant(&mut opening, now);
        self.stages.push(Stage::Unknown);
        self.book.hold(&opening).map_err(|why| why.to_string())?;
        self.model.hold(&share, &expected);
        let began: Vec<u64> = share.windows.iter().map(|(_, began, _)| *began).collect();
        must!(*began == *opening.began, "windows began at {:?}, not {began:?}", opening.began);
        let request = opening.facts.request;
        self.running.push(Running {
            request,
            number,
            opening,
            share,
            held: expected,
            attempts: 0,
            progress: None,
        });
        self.tally.opened += 1;
        self.check_payers(&places)
    }

    /// The first attempt, or a further one.
    pub fn begin(&mut self) -> Checked {
        let now = self.now();
        let Some(at) = self.pick() else { return Ok(()) };
        let running = &mut self.running[at];
        if running.attempts > 0 && self.rng.u8(0..10) > 0 || running.attempts > 5 {
            return Ok(());
        }
        running.attempts += 1;
        let attempt = attempt(running.attempts);
        let event = if running.attempts == 1 {
            Event::Opened { opening: Arc::clone(&running.opening), attempt, at: now }
        } else {
            Event::Attempted { request: running.request, attempt, at: now }
        };
        self.apply(&event, Outcome::Applied)?;
        self.keep(event)
    }

    pub fn extend(&mut self) -> Checked {
        let Some(at) = self.pick() else { return Ok(()) };
        let more =
            Amounts { requests: 0, tokens: self.rng.i64(0..300), cost: NanoUsd(self.rng.i64(0..3_000)) };
        let running = &mut self.running[at];
        let admitted = self.model.admits_more(&self.payers, &running.share, &more);
        match (admitted, self.book.extend(running.request, &more)) {
            (true, Ok(Ok(()))) => {
                self.model.hold(&running.share, &more);
                running.held = running.held.plus(&more);
            }
            (false, Err(Refused::Payer(_))) => self.tally.refused += 1,
            (_, other) => return Err(format!("extended to {other:?}, which should be {admitted}")),
        }
        self.check_payers_of(at)
    }

    pub fn checkpoint(&mut self) -> Checked {
        let now = self.now();
        let Some(at) = self.pick().filter(|at| self.running[*at].attempts > 0) else { return Ok(()) };
        let running = &mut self.running[at];
        let tokens = running.progress.map_or(0, |progress| progress.usage.output) + self.rng.u64(0..200);
        let usage = Usage { output: tokens, source: UsageSource::Estimated, ..Usage::default() };
        let progress = Progress { usage, cost: Some(NanoUsd(tokens.cast_signed() * 10)) };
        running.progress = Some(progress);
        let event = Event::Checkpointed { request: running.request, progress, at: now };
        self.apply(&event, Outcome::Applied)?;
        self.keep(event)
    }

    pub fn settle(&mut self) -> Checked {
        let Some(at) = self.pick() else { return Ok(()) };
        let running = self.running.swap_remove(at);
        let settlement = self.settlement(&running);
        let ended = self.book.settled(running.request, &settlement).map_err(|why| format!("{why:?}"))?;
        let tokens = settlement.usage.total().cast_signed();
        let charged = Amounts { requests: 1, tokens, cost: settlement.cost.unwrap_or_default() };
        self.tally.settled += 1;
        self.end(&running, ended, &charged)
    }

    /// No upstream worked: before the first attempt nothing is left of the request.
    pub fn void(&mut self) -> Checked {
        let now = self.now();
        let Some(at) = self.pick() else { return Ok(()) };
        let running = self.running.swap_remove(at);
        self.tally.voided += 1;
        if running.attempts > 0 {
            let ended = self.book.voided(running.request, "void", now).map_err(|why| format!("{why:?}"))?;
            return self.end(&running, ended, &Amounts::default());
        }
        let released = self.book.release(running.request).map_err(|why| why.to_string())?;
        must!(released == Outcome::Applied, "{} was not open", running.request);
        self.model.end(&running.share, &running.held, &Amounts::default());
        self.check_share(&running)
    }

    /// Dropped or expired: charged as estimated.
    pub fn abandon(&mut self) -> Checked {
        let now = self.now();
        let Some(at) = self.pick().filter(|at| self.running[*at].attempts > 0) else { return Ok(()) };
        let running = self.running.swap_remove(at);
        let ending = if self.rng.bool() { Ending::Abandoned } else { Ending::Expired };
        self.estimate(&running, ending, now)
    }

    /// After a crash: what began and did not end.
    pub fn end_orphans(&mut self) -> Checked {
        let now = self.now();
        let mut orphans: Vec<Arc<Opening>> =
            self.book.open().map(|(opening, _)| Arc::clone(opening)).collect();
        orphans.sort_by_key(|opening| opening.facts.request);
        let mut running = std::mem::take(&mut self.running);
        running.retain(|running| self.stages[running.number] == Stage::Begun);
        running.sort_by_key(|running| running.request);
        let same =
            orphans.iter().map(|opening| opening.facts.request).eq(running.iter().map(|one| one.request));
        must!(same, "{} orphans for {} requests that began", orphans.len(), running.len());
        for orphan in &mut running {
            // Extensions are not journaled.
            orphan.held = orphan.opening.expected;
            self.model.hold(&orphan.share, &orphan.held);
        }
        self.check_everything()?;
        running.iter().try_for_each(|orphan| self.estimate(orphan, Ending::Orphaned, now))
    }

    fn estimate(&mut self, running: &Running, ending: Ending, now: u64) -> Checked {
        let ended = self.book.estimated(running.request, ending, now).map_err(|why| format!("{why:?}"))?;
        let held = running.held;
        let charged = match running.progress {
            Some(Progress { usage, cost }) => {
                let tokens = usage.output.cast_signed();
                Amounts { requests: 1, tokens, cost: cost.unwrap_or_default() }
            }
            None => Amounts { requests: 1, ..held },
        };
        self.tally.estimated += 1;
        self.end(running, ended, &charged)
    }

    fn end(&mut self, running: &Running, ended: Ended, charged: &Amounts) -> Checked {
        must!(ended.charged == *charged, "{} charges {:?}, not {charged:?}", running.request, ended.charged);
        must!(ended.attempts.len() == usize::from(running.attempts), "attempts {:?}", ended.attempts);
        let paid = self.model.end(&running.share, &running.held, charged);
        must!(ended.paid.0 == paid, "{} pays {}, not {paid}", running.request, ended.paid);
        if running.share.wallet.is_some() {
            must!(
                paid + ended.overshoot.0 == charged.cost.0,
                "{} overshoots by {}",
                running.request,
                ended.overshoot
            );
        }
        let event = Event::Ended(Box::new(ended.clone()));
        let is_planted = self.planted == Planted::ForgetsACharge && self.rng.u8(0..50) == 0;
        if is_planted {
            let _ = self.book.release(running.request);
        } else {
            self.apply(&event, Outcome::Applied)?;
        }
        self.plant_hold(&running.opening);
        self.keep(event)?;
        self.remember(ended);
        self.check_share(running)
    }

    /// What comes twice or too late changes nothing.
    pub fn repeat(&mut self) -> Checked {
        if self.ended.is_empty() {
            return Ok(());
        }
        self.tally.late += 1;
        let now = self.now();
        let ended = self.ended[self.rng.usize(0..self.ended.len())].clone();
        let (opening, request) = (Arc::clone(&ended.opening), ended.opening.facts.request);
        self.plant_second_charge(&ended);
        let settlement = Settlement { usage: Usage::default(), cost: None, at: now, attempts: Vec::new() };
        must!(self.book.settled(request, &settlement) == Err(Refused::Late), "{request} is settled again");
        must!(self.book.voided(request, "late", now) == Err(Refused::Late), "{request} is voided again");
        must!(self.book.extend(request, &opening.expected) == Err(Refused::Late), "{request} is extended");
        must!(self.book.release(request) == Ok(Outcome::Ignored), "{request} is released again");
        self.apply(&Event::Attempted { request, attempt: attempt(9), at: now }, Outcome::Ignored)?;
        self.apply(&Event::Ended(Box::new(ended)), Outcome::Ignored)?;
        if let Some(at) = self.pick() {
            let opening = Arc::clone(&self.running[at].opening);
            must!(self.book.hold(&opening) == Ok(Outcome::Ignored), "held twice");
        }
        let places: Vec<usize> = opening.payers.iter().map(|payer| self.payers.place(&payer.owner)).collect();
        self.check_payers(&places)
    }

    pub fn adjust(&mut self) -> Checked {
        let user = 2 + self.rng.usize(0..2);
        let owner = self.payers.all[user].owner.clone();
        let purse = self.model.purses[user];
        let available = purse.balance - purse.held;
        must!(self.book.available(&owner).0 == available, "{owner} has not {available} left");
        let change = self.rng.i64(-available.min(20_000)..=60_000);
        let (tenant, reason, actor) = ("t".into(), "r".into(), "a".into());
        let at = self.now();
        let event = Event::Adjusted(Adjustment { owner, tenant, change: NanoUsd(change), reason, actor, at });
        self.apply(&event, Outcome::Applied)?;
        self.model.purses[user].balance += change;
        self.keep(event)?;
        self.check_payers(&[user])
    }

    pub fn reset(&mut self) -> Checked {
        let (at, now) = (self.rng.usize(0..self.payers.all.len()), self.now());
        let payer = self.payers.all[at].clone();
        if payer.quotas.is_empty() {
            return Ok(());
        }
        let quota = payer.quotas[self.rng.usize(0..payer.quotas.len())];
        let slot = slot(at, quota.unit, quota.period);
        let began = self.model.began(slot, quota.period, now);
        let window = self.model.windows.entry((slot, began)).or_default();
        if window.used == 0 {
            return Ok(());
        }
        let change = -window.used;
        window.used = 0;
        let (unit, period, owner) = (quota.unit, quota.period, payer.owner);
        let (tenant, reason, actor, at_time) = ("t".into(), "r".into(), "a".into(), now);
        let reset = WindowReset { owner, tenant, unit, period, began, change, reason, actor, at: at_time };
        let event = Event::WindowReset(reset);
        self.apply(&event, Outcome::Applied)?;
        self.keep(event)?;
        self.check_payers(&[at])
    }

    pub fn pick(&mut self) -> Option<usize> {
        (!self.running.is_empty()).then(|| self.rng.usize(0..self.running.len()))
    }

    fn apply(&mut self, event: &Event, expected: Outcome) -> Checked {
        let outcome = self.book.apply(event).map_err(|why| why.to_string())?;
        must!(outcome == expected, "{outcome:?}, not {expected:?}: {event:?}");
        Ok(())
    }

    /// Mostly within what is held; unary answers overshoot.
    fn settlement(&mut self, running: &Running) -> Settlement {
        let (tokens, cost) = (running.held.tokens, running.held.cost.0);
        let beyond = if self.rng.u8(0..6) == 0 { 2 } else { 1 };
        let source = if self.rng.bool() { UsageSource::Measured } else { UsageSource::Estimated };
        let output = self.rng.i64(0..=tokens * beyond).unsigned_abs();
        let usage = Usage { output, source, ..Usage::default() };
        let cost = (self.rng.u8(0..20) > 0).then(|| NanoUsd(self.rng.i64(0..=cost * beyond)));
        let attempts = (1..=running.attempts).filter(|_| self.rng.bool()).map(attempt);
        let attempts: Vec<AttemptCharge> = attempts
            .map(|start| AttemptCharge { number: start.number, account: start.account, usage, cost })
            .collect();
        Settlement { usage, cost, at: self.now(), attempts }
    }

    /// A bug: something stays held.
    fn plant_hold(&mut self, opening: &Arc<Opening>) {
        if self.planted == Planted::ForgetsToRelease && self.rng.u8(0..50) == 0 {
            let _ = self.book.hold(opening);
        }
    }

    /// A bug: what comes twice is charged twice.
    fn plant_second_charge(&mut self, ended: &Ended) {
        if self.planted == Planted::ChargesDuplicatesTwice {
            let _ = self.book.hold(&ended.opening);
            let _ = self.book.apply(&Event::Ended(Box::new(ended.clone())));
        }
    }

    /// A bug: a clock that went back opens a window anew.
    fn plant_grant(&mut self, opening: &mut Arc<Opening>, now: u64) {
        if self.planted == Planted::GrantsAtRollover && self.skew < 0 {
            let mut granted = (**opening).clone();
            granted.began.iter_mut().filter(|began| **began > now).for_each(|began| *began = now);
            *opening = Arc::new(granted);
        }
    }

    /// Takes an event back that a power cut has taken away.
    pub fn undo(&mut self, event: &Event) {
        if let Some(request) = event.request() {
            let stage = &mut self.stages[number_of(request)];
            *stage = match event {
                Event::Opened { .. } => Stage::Unknown,
                Event::Ended(_) => Stage::Begun,
                _ => *stage,
            };
        }
        match event {
            Event::Ended(ended) => self.undo_end(ended),
            Event::Attempted { request, .. } => {
                self.running
                    .iter_mut()
                    .filter(|one| one.request == *request)
                    .for_each(|one| one.attempts -= 1);
            }
            Event::Checkpointed { request, .. } => self.undo_checkpoint(*request),
            _ => {}
        }
    }

    fn undo_end(&mut self, ended: &Ended) {
        let mut windows = Vec::new();
        for (place, quota, began) in ended.opening.windows() {
            let owner = self.payers.place(&ended.opening.payers[place].owner);
            let slot = slot(owner, quota.unit, quota.period);
            self.model.windows.entry((slot, began)).or_default().used -= ended.charged.of(quota.unit);
            windows.push((slot, began, quota.unit));
        }
        let wallet = ended.opening.wallet().map(|at| self.payers.place(&ended.opening.payers[at].owner));
        if let Some(at) = wallet {
            self.model.purses[at].balance += ended.paid.0;
        }
        self.ended.retain(|other| other.opening.facts.request != ended.opening.facts.request);
        self.revive(ended, crate::model::Share { windows, wallet });
    }

    /// The request whose end was lost was running when the power failed.
    fn revive(&mut self, ended: &Ended, share: crate::model::Share) {
        let request = ended.opening.facts.request;
        let number = number_of(request);
        let (opening, held) = (Arc::clone(&ended.opening), ended.opening.expected);
        let attempts = u8::try_from(ended.attempts.len()).expect("few");
        let progress = self.progress_in_journal(request);
        let running = Running { request, number, opening, share, held, attempts, progress };
        if attempts > 0 {
            self.running.push(running);
        } else {
            self.stages[number] = Stage::Unknown;
        }
    }

    fn undo_checkpoint(&mut self, request: model::RequestId) {
        let progress = self.progress_in_journal(request);
        self.running.iter_mut().filter(|one| one.request == request).for_each(|one| one.progress = progress);
    }

    /// The last checkpoint of a request that survived.
    fn progress_in_journal(&self, request: model::RequestId) -> Option<Progress> {
        let tail = self.database.tail.iter().rev();
        let all = tail.chain(self.database.unended().filter(|event| event.request() == Some(request)));
        let of_request = all.filter_map(|event| match event {
            Event::Checkpointed { request: other, progress, .. } if *other == request => Some(*progress),
            _ => None,
        });
        of_request.max_by_key(|progress| progress.usage.output)
    }
}
