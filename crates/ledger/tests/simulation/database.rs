//! The journal and the database of a simulation: what survives a crash, and what it adds up to.

use std::collections::{BTreeMap, HashMap};

use ledger::Event;
use ledger::book::Effects;
use model::entry::{Balance, EntryKind, WindowUse};
use model::quota::{Owner, Period, Unit};
use model::{NanoUsd, RequestId};

type Windows = BTreeMap<(Owner, Unit, Period, u64), i64>;
type Balances = BTreeMap<Owner, i64>;

#[derive(Default)]
pub struct Database {
    windows: Windows,
    balances: Balances,
    /// Starts and what goes with them, of requests whose end the database does not know.
    unended: HashMap<RequestId, Vec<Event>>,
    /// Events that the database does not know yet.
    pub tail: Vec<Event>,
    /// How many of those a power cut cannot take away.
    pub synced: usize,
}

impl Database {
    /// Brings the oldest `count` events into the database, and returns whose charges they were.
    pub fn project(&mut self, count: usize) -> Vec<RequestId> {
        let mut effects = Effects::new();
        for event in self.tail.drain(..count) {
            effects.add(&event);
            match (&event, event.request()) {
                (Event::Ended(_), Some(request)) => drop(self.unended.remove(&request)),
                (_, Some(request)) => self.unended.entry(request).or_default().push(event),
                (_, None) => {}
            }
        }
        self.synced = self.synced.saturating_sub(count);
        for WindowUse { owner, unit, period, began, used } in effects.windows() {
            *self.windows.entry((owner, unit, period, began)).or_default() += used;
        }
        for Balance { owner, amount } in effects.balances() {
            *self.balances.entry(owner).or_default() += amount.0;
        }
        let charges = effects.entries.iter().filter(|entry| entry.kind == EntryKind::Charge);
        charges.filter_map(|entry| entry.request_id).collect()
    }

    pub fn windows(&self) -> Vec<WindowUse> {
        let window = |((owner, unit, period, began), used): (&(Owner, Unit, Period, u64), &i64)| WindowUse {
            owner: owner.clone(),
            unit: *unit,
            period: *period,
            began: *began,
            used: *used,
        };
        self.windows.iter().map(window).collect()
    }

    pub fn balances(&self) -> Vec<Balance> {
        let balances = self.balances.iter();
        balances.map(|(owner, amount)| Balance { owner: owner.clone(), amount: NanoUsd(*amount) }).collect()
    }

    /// Starts that have to be read again although the database knows what is around them.
    pub fn unended(&self) -> impl Iterator<Item = &Event> {
        self.unended.values().flatten()
    }

    /// Everything together: what the database knows and what the journal still adds.
    pub fn sums(&self) -> (Windows, Balances) {
        let mut effects = Effects::new();
        self.tail.iter().for_each(|event| effects.add(event));
        let (mut windows, mut balances) = (self.windows.clone(), self.balances.clone());
        for WindowUse { owner, unit, period, began, used } in effects.windows() {
            *windows.entry((owner, unit, period, began)).or_default() += used;
        }
        for Balance { owner, amount } in effects.balances() {
            *balances.entry(owner).or_default() += amount.0;
        }
        (windows, balances)
    }

    /// Windows that nobody can come back to would be compared each time.
    pub fn keep_windows(&mut self, matters: impl Fn(&Owner, Unit, Period, u64) -> bool) {
        self.windows.retain(|(owner, unit, period, began), _| matters(owner, *unit, *period, *began));
    }
}
