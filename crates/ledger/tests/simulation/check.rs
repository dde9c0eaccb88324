//! What must be so after every step: the book says what the model says, and nobody has more than is allowed.

use foldhash::HashMap;
use model::quota::{Period, Unit};

use crate::calendar::DAY;
use crate::model::{Use, limit, slot};
use crate::must;
use crate::world::{Checked, Running, World};

/// Windows that are over are compared for so long after they began: longer than the journal's tail.
const KEPT_MS: u64 = 40 * DAY;

impl World {
    pub fn check_share(&self, running: &Running) -> Checked {
        let places: Vec<usize> =
            running.opening.payers.iter().map(|payer| self.payers.place(&payer.owner)).collect();
        self.check_payers(&places)
    }

    pub fn check_payers_of(&self, at: usize) -> Checked {
        self.check_share(&self.running[at])
    }

    pub fn check_payers(&self, places: &[usize]) -> Checked {
        places.iter().try_for_each(|at| self.check_owner(*at))
    }

    /// P1 and the counts of one owner.
    fn check_owner(&self, at: usize) -> Checked {
        let owner = &self.payers.all[at].owner;
        let purse = self.model.purses[at];
        let Some(account) = self.book.account(owner) else {
            must!(purse.balance == 0, "{owner} is not known");
            return Ok(());
        };
        must!(account.frozen().is_none(), "{owner} is frozen: {:?}", account.frozen());
        let wallet = account.wallet();
        must!(
            (wallet.balance, wallet.held) == (purse.balance, purse.held),
            "{owner}: {wallet:?}, not {purse:?}"
        );
        must!(wallet.held >= 0 && wallet.held <= wallet.balance, "{owner} is overdrawn: {wallet:?}");
        for cell in account.cells() {
            let slot = slot(at, cell.unit, cell.period);
            let known = self.model.get(slot, cell.began);
            must!((cell.used, cell.held) == (known.used, known.held), "{owner}: {cell:?}, not {known:?}");
            must!(cell.used >= 0 && cell.held >= 0, "{owner} has less than nothing: {cell:?}");
            let limit = limit(&self.payers, slot);
            must!(
                cell.used + cell.held <= limit + known.over,
                "{owner} exceeds {limit}: {cell:?}, {known:?}"
            );
        }
        Ok(())
    }

    /// All owners, what requests hold, and that entries add up to windows and balances.
    pub fn check_everything(&mut self) -> Checked {
        let oldest = self.time.saturating_sub(KEPT_MS);
        // What was used before the journal's tail is current again when all that came later is lost.
        let mut before: HashMap<usize, u64> = HashMap::default();
        for ((slot, began), _) in
            self.model.windows.iter().filter(|((_, began), one)| *began < oldest && one.used > 0)
        {
            let last = before.entry(*slot).or_insert(*began);
            *last = (*last).max(*began);
        }
        let last = &self.model.last;
        self.model.windows.retain(|(slot, began), window| {
            let matters = last[*slot] == Some(*began) || before.get(slot) == Some(began);
            *began >= oldest || matters || window.held > 0
        });
        let (payers, known) = (&self.payers, &self.model.windows);
        self.database.keep_windows(|owner, unit, period, began| {
            known.contains_key(&(slot(payers.place(owner), unit, period), began))
        });
        (0..self.payers.all.len()).try_for_each(|at| self.check_owner(at))?;
        let (windows, balances) = self.database.sums();
        for ((owner, unit, period, began), used) in &windows {
            let slot = slot(self.payers.place(owner), *unit, *period);
            let known = self.model.get(slot, *began);
            must!(known.used == *used, "{owner} {unit:?} {period:?}: {used}, not {known:?}");
        }
        for (owner, balance) in &balances {
            let purse = self.model.purses[self.payers.place(owner)];
            must!(purse.balance == *balance, "{owner}: entries say {balance}, not {purse:?}");
        }
        self.check_current()
    }

    /// Every window of which something is used or held is in the book, or over.
    fn check_current(&self) -> Checked {
        let mut latest: HashMap<usize, (u64, Use)> = HashMap::default();
        for ((slot, began), known) in &self.model.windows {
            if known.used == 0 && known.held == 0 && self.model.last[*slot] != Some(*began) {
                continue;
            }
            let last = latest.entry(*slot).or_insert((*began, *known));
            if *began > last.0 {
                *last = (*began, *known);
            }
        }
        for (slot, (began, known)) in latest {
            let (at, unit, period) = (slot / 21, Unit::ALL[slot / 7 % 3], Period::ALL[slot % 7]);
            let account = self.book.account(&self.payers.all[at].owner);
            let cells = account.map(ledger::book::Account::cells).unwrap_or_default();
            let found =
                cells.iter().find(|cell| (cell.unit, cell.period, cell.began) == (unit, period, began));
            let figures = found.map_or((0, 0), |cell| (cell.used, cell.held));
            must!(figures == (known.used, known.held), "slot {slot} at {began}: {found:?}, not {known:?}");
        }
        Ok(())
    }

    /// A process that ended holds nothing. Of windows in which nothing was used, nothing is known either.
    pub fn model_forgets_holds(&mut self) {
        self.model.purses.iter_mut().for_each(|purse| purse.held = 0);
        self.model.windows.values_mut().for_each(|window| window.held = 0);
        for (at, payer) in self.payers.all.iter().enumerate() {
            for quota in payer.quotas.iter() {
                let cells =
                    self.book.account(&payer.owner).map(ledger::book::Account::cells).unwrap_or_default();
                let same = cells.iter().filter(|cell| (cell.unit, cell.period) == (quota.unit, quota.period));
                let last = same.map(|cell| cell.began).max();
                self.model.last[slot(at, quota.unit, quota.period)] = last;
            }
        }
    }
}
