//! What must be so: the naive model of the ledger. It does sums and nothing else.

use foldhash::HashMap;
use model::quota::{Amounts, Period, Quota, Unit};

use crate::calendar::{Calendar, is_rolling};
use crate::payers::{OWNERS, Payers};

/// Owner, unit, period.
pub type Slot = usize;
const SLOTS: usize = OWNERS * 3 * 7;

/// What is used and held of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    pub used: i64,
    pub held: i64,
    /// By how much it may exceed its limit: what was charged beyond what was held.
    pub over: i64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Purse {
    pub balance: i64,
    pub held: i64,
}

pub struct Model {
    pub calendar: Calendar,
    /// When the last window of each slot began.
    pub last: Vec<Option<u64>>,
    pub windows: HashMap<(Slot, u64), Use>,
    pub purses: [Purse; OWNERS],
}

/// What a request holds, as the model sees it.
#[derive(Clone, Debug)]
pub struct Share {
    /// Windows, with what of each amount they count.
    pub windows: Vec<(Slot, u64, Unit)>,
    pub wallet: Option<usize>,
}

pub fn slot(owner: usize, unit: Unit, period: Period) -> Slot {
    let unit = Unit::ALL.iter().position(|other| *other == unit).expect("a unit");
    let period = Period::ALL.iter().position(|other| *other == period).expect("a period");
    (owner * 3 + unit) * 7 + period
}

impl Model {
    pub fn new() -> Self {
        Self {
            calendar: Calendar::new(),
            last: vec![None; SLOTS],
            windows: HashMap::default(),
            purses: Default::default(),
        }
    }

    pub fn get(&self, slot: Slot, began: u64) -> Use {
        self.windows.get(&(slot, began)).copied().unwrap_or_default()
    }

    /// When the window of a quota begins that would pay now.
    pub fn began(&self, slot: Slot, period: Period, now: u64) -> u64 {
        let Some(last) = self.last[slot] else { return self.calendar.began(period, now, None) };
        let Use { used, held, .. } = self.get(slot, last);
        let unused = used == 0 && held == 0 && is_rolling(period);
        self.calendar.began(period, now, Some(if unused { last.max(now) } else { last }))
    }

    /// What a request would pay from, if all of its payers cover it.
    pub fn admit(&self, payers: &Payers, places: &[usize], expected: &Amounts, now: u64) -> Option<Share> {
        let wallet = places.iter().copied().find(|at| payers.all[*at].wallet);
        let mut share = Share { windows: Vec::new(), wallet };
        for at in places {
            for Quota { unit, period, limit } in payers.all[*at].quotas.iter() {
                let slot = slot(*at, *unit, *period);
                let began = self.began(slot, *period, now);
                let Use { used, held, .. } = self.get(slot, began);
                if used + held + expected.of(*unit) > *limit {
                    return None;
                }
                share.windows.push((slot, began, *unit));
            }
        }
        let covered = |at: usize| self.purses[at].balance - self.purses[at].held >= expected.cost.0;
        (expected.cost.0 == 0 || wallet.is_none_or(covered)).then_some(share)
    }

    /// Whether a request may hold more.
    pub fn admits_more(&self, payers: &Payers, share: &Share, more: &Amounts) -> bool {
        let covers = |(slot, began, unit): &(Slot, u64, Unit)| {
            let Use { used, held, .. } = self.get(*slot, *began);
            more.of(*unit) == 0 || used + held + more.of(*unit) <= limit(payers, *slot)
        };
        let covered = |at: usize| self.purses[at].balance - self.purses[at].held >= more.cost.0;
        share.windows.iter().all(covers) && (more.cost.0 == 0 || share.wallet.is_none_or(covered))
    }

    pub fn hold(&mut self, share: &Share, more: &Amounts) {
        for (slot, began, unit) in &share.windows {
            self.windows.entry((*slot, *began)).or_default().held += more.of(*unit);
            self.last[*slot] = self.last[*slot].max(Some(*began));
        }
        if let Some(at) = share.wallet {
            self.purses[at].held += more.cost.0;
        }
    }

    /// Gives back what was held and charges what was used; says what the wallet can pay of it.
    pub fn end(&mut self, share: &Share, held: &Amounts, charged: &Amounts) -> i64 {
        for (slot, began, unit) in &share.windows {
            let window = self.windows.entry((*slot, *began)).or_default();
            window.held -= held.of(*unit);
            window.used += charged.of(*unit);
            window.over += (charged.of(*unit) - held.of(*unit)).max(0);
        }
        let Some(at) = share.wallet else { return 0 };
        let purse = &mut self.purses[at];
        purse.held -= held.cost.0;
        let paid = charged.cost.0.min(purse.balance - purse.held);
        purse.balance -= paid;
        paid
    }
}

pub fn limit(payers: &Payers, slot: Slot) -> i64 {
    let (unit, period) = (Unit::ALL[slot / 7 % 3], Period::ALL[slot % 7]);
    let quotas = payers.all[slot / 21].quotas.iter();
    quotas
        .clone()
        .find(|quota| (quota.unit, quota.period) == (unit, period))
        .map_or(i64::MAX, |quota| quota.limit)
}
