//! What the database learns of events: entries, and by how much windows and balances change.

use std::sync::Arc;

use foldhash::HashMap;
use model::clock::EpochMs;
use model::entry::{Balance, EntryKind, EntryState, LedgerEntry, WindowUse};
use model::quota::{Owner, OwnerKind, Period, Unit};
use model::{NanoUsd, ResourceId, Usage};

use crate::course::state_of;
use crate::event::{Adjustment, Ended, Event, WindowReset};
use crate::meter::AttemptCharge;

/// A window: whose, of what, for how long, since when.
pub(crate) type Key = (Owner, Unit, Period, EpochMs);

/// By how much a number of events change windows and balances. The order of the events does not matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// What is added to what is used.
    pub windows: HashMap<Key, i64>,
    /// What is added to what wallets hold.
    pub balances: HashMap<Owner, i64>,
}

/// What a number of events change, with the entries about it.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// New entries, in the order of the events.
    pub entries: Vec<LedgerEntry>,
    changes: Changes,
}

impl Effects {
    /// Nothing changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what `event` changes.
    pub fn add(&mut self, event: &Event) {
        self.changes.add(event);
        match event {
            Event::Opened { .. } | Event::Attempted { .. } | Event::Checkpointed { .. } => {}
            Event::Ended(ended) => {
                self.entries.push(charge(ended));
                self.entries.extend(ended.attempts.iter().map(|made| attempt(ended, made)));
            }
            Event::Adjusted(adjusted) => self.entries.push(topup(adjusted)),
            Event::WindowReset(reset) => self.entries.push(unused(reset)),
        }
    }

    /// By how much windows change; those that do not are left out.
    #[must_use]
    pub fn windows(&self) -> Vec<WindowUse> {
        let changed = self.changes.windows.iter().filter(|(_, used)| **used != 0);
        let window = |((owner, unit, period, began), used): (&Key, &i64)| WindowUse {
            owner: owner.clone(),
            unit: *unit,
            period: *period,
            began: *began,
            used: *used,
        };
        changed.map(window).collect()
    }

    /// By how much balances change; those that do not are left out.
    #[must_use]
    pub fn balances(&self) -> Vec<Balance> {
        let changed = self.changes.balances.iter().filter(|(_, amount)| **amount != 0);
        changed.map(|(owner, amount)| Balance { owner: owner.clone(), amount: NanoUsd(*amount) }).collect()
    }
}

impl Changes {
    /// Adds what `event` changes.
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::Opened { .. } | Event::Attempted { .. } | Event::Checkpointed { .. } => {}
            Event::Ended(ended) => self.add_ended(ended),
            Event::Adjusted(adjusted) => self.pay(&adjusted.owner, adjusted.change.0),
            Event::WindowReset(reset) => {
                let WindowReset { owner, unit, period, began, change, .. } = reset;
                self.count((owner.clone(), *unit, *period, *began), *change);
            }
        }
    }

    /// Adds to what is used of a window.
    pub fn count(&mut self, window: Key, change: i64) {
        let used = self.windows.entry(window).or_insert(0);
        *used = used.saturating_add(change);
    }

    /// Adds to what a wallet holds.
    pub fn pay(&mut self, owner: &Owner, change: i64) {
        let amount = self.balances.entry(owner.clone()).or_insert(0);
        *amount = amount.saturating_add(change);
    }

    fn add_ended(&mut self, ended: &Ended) {
        for (place, quota, began) in ended.opening.windows() {
            let owner = ended.opening.payers[place].owner.clone();
            self.count((owner, quota.unit, quota.period, began), ended.charged.of(quota.unit));
        }
        if let Some(place) = ended.opening.wallet() {
            self.pay(&ended.opening.payers[place].owner, -ended.paid.0);
        }
    }
}

/// The one charge of a request.
fn charge(ended: &Ended) -> LedgerEntry {
    let facts = &ended.opening.facts;
    LedgerEntry {
        kind: EntryKind::Charge,
        state: ended.state,
        request_id: Some(facts.request),
        attempt: 0,
        key_id: facts.key.clone(),
        user_id: facts.user.clone(),
        tenant_id: Arc::clone(&facts.tenant),
        model: Arc::clone(&facts.model),
        account: None,
        usage: ended.usage,
        amount: ended.cost,
        overshoot: ended.overshoot,
        reason: ended.reason.as_deref().map(Box::from),
        actor: None,
        at: ended.at,
    }
}

/// What an attempt of a request cost us.
fn attempt(ended: &Ended, made: &AttemptCharge) -> LedgerEntry {
    LedgerEntry {
        kind: EntryKind::Attempt,
        state: state_of(made.usage.source),
        attempt: made.number,
        account: Some(Arc::clone(&made.account)),
        usage: made.usage,
        amount: made.cost,
        overshoot: NanoUsd::ZERO,
        reason: None,
        ..charge(ended)
    }
}

/// Money put into a wallet.
fn topup(adjusted: &Adjustment) -> LedgerEntry {
    LedgerEntry {
        amount: Some(adjusted.change),
        reason: Some(adjusted.reason.clone()),
        actor: Some(adjusted.actor.clone()),
        ..blank(&adjusted.owner, &adjusted.tenant, adjusted.at)
    }
}

/// A window declared unused: no money moves.
fn unused(reset: &WindowReset) -> LedgerEntry {
    let (unit, period) = (reset.unit.name(), reset.period.name());
    LedgerEntry {
        reason: Some(format!("{period} {unit} {:+}: {}", reset.change, reset.reason).into()),
        actor: Some(reset.actor.clone()),
        ..blank(&reset.owner, &reset.tenant, reset.at)
    }
}

/// An entry of an administrator about an owner.
fn blank(owner: &Owner, tenant: &Arc<str>, at: EpochMs) -> LedgerEntry {
    let id = |kind| (owner.kind == kind).then(|| ResourceId::parse(&owner.id)).flatten();
    LedgerEntry {
        kind: EntryKind::Topup,
        state: EntryState::Measured,
        request_id: None,
        attempt: 0,
        key_id: id(OwnerKind::Key),
        user_id: id(OwnerKind::User),
        tenant_id: Arc::clone(tenant),
        model: "".into(),
        account: None,
        usage: Usage::default(),
        amount: None,
        overshoot: NanoUsd::ZERO,
        reason: None,
        actor: None,
        at,
    }
}
