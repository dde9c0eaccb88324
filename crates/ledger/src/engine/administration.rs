//! What administrators change: money in wallets, windows declared unused. It is in the journal, safe from a
//! power cut, before it is answered.

use std::sync::Arc;

use model::NanoUsd;
use model::clock::EpochMs;
use model::quota::{Owner, Period, Unit};
use telemetry::failpoint;

use super::Ledger;
use super::accounts::Shared;
use crate::book::Violation;
pub use crate::event::Adjustment;
use crate::event::{Event, JournalFault, Need, WindowReset};

/// A window to be declared unused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Whose.
    pub owner: Owner,
    /// In which tenant the entry is listed.
    pub tenant: Arc<str>,
    /// Of what.
    pub unit: Unit,
    /// For how long; the current window is meant.
    pub period: Period,
    /// Why.
    pub reason: Box<str>,
    /// Who does it.
    pub actor: Box<str>,
    /// When.
    pub at: EpochMs,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdjustError {
    /// More would be taken out than is there and not held.
    #[error("only {available} USD can be taken out")]
    Insufficient {
        /// What can be.
        available: NanoUsd,
    },
    /// The wallet would hold more than can be counted.
    #[error("a wallet holds at most 9,223,372,036 USD")]
    TooLarge,
    /// The owner's figures contradict each other.
    #[error("the owner is frozen: {0}")]
    Frozen(Violation),
    /// The journal did not take it. If it was only the disk that did not confirm it, the change may show at
    /// the next start.
    #[error(transparent)]
    Journal(#[from] JournalFault),
}

impl Ledger {
    /// Puts money into a wallet, or takes some out, and returns what is in it then.
    ///
    /// # Errors
    /// What stands against it; nothing was changed.
    pub async fn adjust(&self, adjustment: Adjustment) -> Result<NanoUsd, AdjustError> {
        let change = adjustment.change;
        let _one_after_the_other = self.0.administration.lock().await;
        let account = self.0.accounts.of(&adjustment.owner);
        withdraw(&account, change)?;
        let event = Event::Adjusted(adjustment);
        let written = match self.0.journal.append(&event, Need::Power) {
            Ok(written) => written,
            Err(fault) => {
                // It was taken out a moment ago, so that it fits again.
                let _ = account.lock().adjust(NanoUsd(change.0.min(0).saturating_neg()));
                return Err(fault.into());
            }
        };
        let mut credit = Credit { account: Some(&account), what: What::Money(NanoUsd(change.0.max(0))) };
        failpoint::pass("adjust_before_sync");
        if let Err(fault) = written.durable().await {
            credit.account = None;
            return Err(fault.into());
        }
        failpoint::pass("adjust_after_sync");
        drop(credit);
        Ok(NanoUsd(account.lock().wallet().balance))
    }

    /// Declares the current window unused, and returns what was used of it. What is held stays held.
    ///
    /// # Errors
    /// What stands against it; nothing was changed.
    pub async fn reset_window(&self, reset: Reset) -> Result<i64, AdjustError> {
        let Reset { owner, tenant, unit, period, reason, actor, at } = reset;
        let _one_after_the_other = self.0.administration.lock().await;
        let account = self.0.accounts.of(&owner);
        let cell = account.lock().current(unit, period, at);
        if cell.used == 0 {
            return Ok(0);
        }
        let (began, change) = (cell.began, -cell.used);
        let event =
            Event::WindowReset(WindowReset { owner, tenant, unit, period, began, change, reason, actor, at });
        let written = self.0.journal.append(&event, Need::Power)?;
        let mut credit =
            Credit { account: Some(&account), what: What::Window((unit, period, began), change) };
        if let Err(fault) = written.durable().await {
            credit.account = None;
            return Err(fault.into());
        }
        drop(credit);
        Ok(cell.used)
    }
}

/// Something given to an account once it is durable; also when nobody waits for that any more, since it is
/// in the journal.
struct Credit<'a> {
    /// Taken out when nothing is to be given.
    account: Option<&'a Shared>,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Money(NanoUsd),
    Window((Unit, Period, EpochMs), i64),
}

impl Drop for Credit<'_> {
    fn drop(&mut self) {
        let Some(account) = self.account.take() else { return };
        match self.what {
            // That it fits was checked; if it no longer does, the account is frozen, and says so.
            What::Money(change) => {
                let _ = account.lock().adjust(change);
            }
            What::Window(window, change) => account.lock().use_window(window, change),
        }
    }
}

/// Checks a change, and takes out at once what is to be taken out.
fn withdraw(account: &Shared, change: NanoUsd) -> Result<(), AdjustError> {
    let mut account = account.lock();
    if let Some(why) = account.frozen() {
        return Err(AdjustError::Frozen(why));
    }
    let wallet = account.wallet();
    let after = wallet.balance.checked_add(change.0).ok_or(AdjustError::TooLarge)?;
    if change.0 >= 0 {
        return Ok(());
    }
    if after < wallet.held {
        let available = NanoUsd(wallet.balance.saturating_sub(wallet.held).max(0));
        return Err(AdjustError::Insufficient { available });
    }
    account.adjust(change).map_err(AdjustError::Frozen)
}
