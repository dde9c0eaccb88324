//! What one request does to the accounts of all its payers together: all are checked, then all are taken.

use std::borrow::Cow;
use std::sync::Arc;

use model::NanoUsd;
use model::clock::EpochMs;
use model::quota::{Amounts, Unit};

use crate::book::account::{Account, Charge, Lacks, Share, Violation};
use crate::book::refusal::Refusal;
use crate::course::Figures;
use crate::event::{Ended, Ending, Opening};
use crate::meter::{Asked, Payer};

/// The accounts of the payers of one request, by their place.
pub(crate) trait Accounts {
    /// The account of the payer at `place`.
    fn at(&mut self, place: usize) -> &mut Account;
}

/// How a request ends, before it is known who pays how much.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// How.
    pub ending: Ending,
    /// With which figures.
    pub figures: Figures,
    /// Why.
    pub reason: Option<Cow<'static, str>>,
    /// When.
    pub at: EpochMs,
}

/// Checks that all payers cover what a request is expected to use, and names the windows that pay.
pub(crate) fn check(
    accounts: &mut impl Accounts,
    asked: Asked,
    expires: EpochMs,
) -> Result<Opening, Refusal> {
    let Asked { facts, payers, expected, at } = asked;
    let expected = positive(&expected);
    let mut began = Vec::with_capacity(payers.iter().map(|payer| payer.quotas.len()).sum());
    let wallet = payers.iter().position(|payer| payer.wallet);
    for (place, payer) in payers.iter().enumerate() {
        let share = Share { payer, began: &[], wallet: wallet == Some(place) };
        let checked = accounts.at(place).check(share, &expected, at, &mut began);
        checked.map_err(|lacks| refusal(payer, lacks))?;
    }
    Ok(Opening { facts, payers, began: began.into(), expected, at, expires })
}

/// Checks that all payers cover more.
pub(crate) fn check_more(
    accounts: &mut impl Accounts,
    opening: &Opening,
    more: &Amounts,
) -> Result<(), Refusal> {
    for (place, share) in shares(opening) {
        accounts.at(place).check_more(share, more).map_err(|lacks| refusal(share.payer, lacks))?;
    }
    Ok(())
}

/// Opens a request that was checked. A violation freezes its account; the others hold all the same.
pub(crate) fn open(accounts: &mut impl Accounts, opening: &Opening) -> Result<(), Violation> {
    shares(opening).for_each(|(place, share)| accounts.at(place).enter(share));
    take(accounts, opening, &opening.expected)
}

/// Holds what was checked. A violation freezes its account; the others hold all the same.
pub(crate) fn take(accounts: &mut impl Accounts, opening: &Opening, more: &Amounts) -> Result<(), Violation> {
    let mut outcome = Ok(());
    for (place, share) in shares(opening) {
        outcome = outcome.and(accounts.at(place).take(share, more));
    }
    outcome
}

/// Says who pays how much of what was used, when `held` was held.
pub(crate) fn ended(accounts: &mut impl Accounts, opening: &Arc<Opening>, held: &Amounts, end: End) -> Ended {
    let End { ending, figures, reason, at } = end;
    let cost = figures.charged.cost;
    let (paid, overshoot) = if let Some(place) = opening.wallet() {
        let paid = accounts.at(place).payable(held, cost);
        (paid, NanoUsd(cost.0 - paid.0))
    } else {
        let charged = &figures.charged;
        let excess =
            shares(opening).map(|(place, share)| accounts.at(place).excess(share, held, charged, Unit::Cost));
        (NanoUsd::ZERO, NanoUsd(excess.max().unwrap_or(0)))
    };
    Ended {
        opening: Arc::clone(opening),
        ending,
        state: figures.state,
        usage: figures.usage,
        cost: figures.cost,
        charged: figures.charged,
        paid,
        overshoot,
        reason,
        attempts: figures.attempts,
        at,
    }
}

/// Gives back what was held and charges what was used. A violation freezes its account; the others are
/// charged all the same.
pub(crate) fn end(accounts: &mut impl Accounts, ended: &Ended, held: &Amounts) -> Result<(), Violation> {
    let mut outcome = Ok(());
    for (place, share) in shares(&ended.opening) {
        let account = accounts.at(place);
        let charge = Charge {
            charged: ended.charged,
            paid: if share.wallet { ended.paid } else { NanoUsd::ZERO },
            overshoot: match (share.wallet, ended.opening.wallet()) {
                (true, _) => ended.overshoot,
                (false, Some(_)) => NanoUsd::ZERO,
                (false, None) => NanoUsd(account.excess(share, held, &ended.charged, Unit::Cost)),
            },
        };
        outcome = outcome.and(account.end(share, held, charge));
    }
    outcome
}

/// Gives back what was held; nothing was used.
pub(crate) fn release(
    accounts: &mut impl Accounts,
    opening: &Opening,
    held: &Amounts,
) -> Result<(), Violation> {
    let mut outcome = Ok(());
    for (place, share) in shares(opening) {
        outcome = outcome.and(accounts.at(place).end(share, held, Charge::default()));
    }
    outcome
}

/// Nobody holds less than nothing.
pub(crate) fn positive(amounts: &Amounts) -> Amounts {
    Amounts {
        requests: amounts.requests.max(0),
        tokens: amounts.tokens.max(0),
        cost: amounts.cost.max(NanoUsd::ZERO),
    }
}

/// The payers with the windows that pay, by their place.
pub(crate) fn shares(opening: &Opening) -> impl Iterator<Item = (usize, Share<'_>)> {
    let wallet = opening.wallet();
    let mut rest = &*opening.began;
    opening.payers.iter().enumerate().map(move |(place, payer)| {
        let (began, later) = rest.split_at(payer.quotas.len().min(rest.len()));
        rest = later;
        (place, Share { payer, began, wallet: wallet == Some(place) })
    })
}

fn refusal(payer: &Payer, lacks: Lacks) -> Refusal {
    let owner = payer.owner.clone();
    match lacks {
        Lacks::Frozen => Refusal::Frozen { owner },
        Lacks::Quota(quota, used, ends) => Refusal::Quota { owner, quota, used, ends },
        Lacks::Balance(available) => Refusal::Balance { owner, available },
    }
}
