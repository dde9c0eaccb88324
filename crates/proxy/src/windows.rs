//! Writes down how every quota and wallet that a request is held against stood before it.

use ledger::meter::Payer;
use model::clock::EpochMs;
use model::quota::{Amounts, Unit};
use model::record::Check;

use crate::codex::Budget;
use crate::exchange::Exchange;
use crate::program;

/// A table of one-line entries: the name of a window in records, by owner, unit and period, in their order.
macro_rules! windows {
    ($($owner:literal),*) => { [$([windows!(@unit $owner, "requests"), windows!(@unit $owner, "tokens"), windows!(@unit $owner, "cost")]),*] };
    (@unit $owner:literal, $unit:literal) => {
        [
            concat!($owner, "_", $unit, "_daily"),
            concat!($owner, "_", $unit, "_weekly"),
            concat!($owner, "_", $unit, "_monthly"),
            concat!($owner, "_", $unit, "_never"),
            concat!($owner, "_", $unit, "_24h"),
            concat!($owner, "_", $unit, "_7d"),
            concat!($owner, "_", $unit, "_30d"),
        ]
    };
}

const WINDOWS: [[[&str; 7]; 3]; 4] = windows!("key", "user", "tenant", "group");
const WALLETS: [&str; 4] = ["key_balance", "user_balance", "tenant_balance", "group_balance"];

/// The standing of all `payers` of a request that is expected to use `expected`, for its record and for
/// programs that show their users a budget.
pub(crate) fn look(exchange: &mut Exchange, payers: &[Payer], expected: &Amounts, now: EpochMs) {
    let mut checks = Vec::new();
    let is_codex = program::of(exchange.record.program.as_deref()) == llm::Program::Codex;
    let mut budget = is_codex.then(Box::<Budget>::default);
    for payer in payers {
        let standing = exchange.worker.shared.meter.standing(payer, now);
        let owner = payer.owner.kind as usize;
        if let Some(budget) = &mut budget {
            budget.add(&standing);
        }
        for window in &standing.windows {
            let (quota, used) = (window.quota, window.used.saturating_add(window.held));
            let name = WINDOWS[owner][quota.unit as usize][quota.period as usize];
            checks.push(check(name, quota.limit, used, expected.of(quota.unit)));
        }
        if let Some(balance) = standing.balance {
            checks.push(check(WALLETS[owner], balance.0, standing.held.0, expected.of(Unit::Cost)));
        }
    }
    exchange.record.checks.extend(checks);
    exchange.budget = budget;
}

fn check(name: &'static str, limit: i64, used: i64, wanted: i64) -> Check {
    let passed = used.saturating_add(wanted) <= limit;
    let [limit, used] = [limit, used].map(|amount| u64::try_from(amount).ok());
    Check { name, passed, limit, used }
}

#[cfg(test)]
mod tests {
    use model::quota::{OwnerKind, Period};

    use super::*;

    #[test]
    fn every_window_has_the_name_of_its_owner_unit_and_period() {
        for owner in OwnerKind::ALL {
            for unit in Unit::ALL {
                for period in Period::ALL {
                    let name = WINDOWS[owner as usize][unit as usize][period as usize];
                    assert_eq!(name, format!("{}_{}_{}", owner.name(), unit.name(), period.name()));
                }
            }
            assert_eq!(WALLETS[owner as usize], format!("{}_balance", owner.name()));
        }
    }

    #[test]
    fn a_check_passes_up_to_its_limit() {
        assert!(check("x", 10, 7, 3).passed && !check("x", 10, 7, 4).passed);
        assert_eq!((check("x", 10, -1, 0).limit, check("x", 10, -1, 0).used), (Some(10), None));
    }
}
