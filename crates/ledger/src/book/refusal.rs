//! Why a payer cannot pay, and what the caller is told.

use model::clock::EpochMs;
use model::quota::{Owner, Period, Quota, Unit};
use model::{Code, NanoUsd, Rejection};

/// Why a payer cannot pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A quota does not cover it.
    Quota {
        /// Whose.
        owner: Owner,
        /// Which.
        quota: Quota,
        /// What is used or held of it.
        used: i64,
        /// When its window ends.
        ends: Option<EpochMs>,
    },
    /// A wallet does not cover it.
    Balance {
        /// Whose.
        owner: Owner,
        /// What is in it and not held.
        available: NanoUsd,
    },
    /// The payer's figures contradict each other: nobody may spend until that is repaired.
    Frozen {
        /// Whose.
        owner: Owner,
    },
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Quota { owner, quota, used, ends } => {
                let kind = owner.kind.name();
                let amount = |n: i64| match quota.unit {
                    Unit::Cost => format!("{} USD", NanoUsd(n)),
                    unit => format!("{n} {}", unit.name()),
                };
                let (limit, used) = (amount(quota.limit), amount(used));
                let lasting = match quota.period {
                    Period::Never => "total",
                    period => period.name(),
                };
                let message = format!(
                    "The {lasting} {} quota of this {kind} does not cover the request: {used} of {limit} are used.",
                    quota.unit.name()
                );
                Self { resets_at: ends, ..Self::because(code(&quota), message) }
            }
            Refusal::Balance { owner, available } => {
                let kind = owner.kind.name();
                let message = format!(
                    "The balance of this {kind} does not cover the request: {available} USD are left."
                );
                Self::because(Code::InsufficientBalance, message)
            }
            Refusal::Frozen { owner } => {
                Self::new(Code::ServiceDegraded).caused_by(format_args!("{owner} is frozen"))
            }
        }
    }
}

/// The code of a quota that is used up.
fn code(quota: &Quota) -> Code {
    match (quota.period, quota.unit) {
        (Period::Daily, _) => Code::QuotaDailyExceeded,
        (Period::Weekly, _) => Code::QuotaWeeklyExceeded,
        (Period::Monthly, _) => Code::QuotaMonthlyExceeded,
        (_, Unit::Requests) => Code::QuotaRequestExceeded,
        (_, Unit::Tokens) => Code::QuotaTokenExceeded,
        (_, Unit::Cost) => Code::QuotaCostExceeded,
    }
}
