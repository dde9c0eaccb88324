//! Who pays in a simulation: two owners of each kind, with quotas over all units and periods, and users with
//! wallets.

use std::sync::Arc;

use fastrand::Rng;
use ledger::meter::Payer;
use model::quota::{Owner, OwnerKind, Period, Quota, Unit};

/// Two of each kind.
pub const OWNERS: usize = 8;

pub struct Payers {
    /// All owners with their terms.
    pub all: Vec<Payer>,
    /// Who may pay for a request together: for each, the places in `all`.
    pub groups: Vec<(Arc<[Payer]>, Vec<usize>)>,
}

impl Payers {
    pub fn new(rng: &mut Rng) -> Self {
        let all: Vec<Payer> = (0..OWNERS).map(|at| payer(rng, at)).collect();
        let mut groups = Vec::new();
        for choice in 0..81_usize {
            let chosen = |kind: u32| (choice / 3_usize.pow(kind)) % 3;
            let places: Vec<usize> = (0..4)
                .filter(|kind| chosen(*kind) > 0)
                .map(|kind| kind as usize * 2 + chosen(kind) - 1)
                .collect();
            groups.push((places.iter().map(|at| all[*at].clone()).collect(), places));
        }
        Self { all, groups }
    }

    pub fn place(&self, owner: &Owner) -> usize {
        let kind = OwnerKind::ALL.iter().position(|kind| *kind == owner.kind).expect("a kind");
        kind * 2 + usize::from(&*owner.id == "b")
    }
}

fn payer(rng: &mut Rng, at: usize) -> Payer {
    let kind = OwnerKind::ALL[at / 2];
    let owner = Owner { kind, id: if at.is_multiple_of(2) { "a" } else { "b" }.into() };
    let mut quotas: Vec<Quota> = Vec::new();
    for unit in Unit::ALL {
        for period in Period::ALL {
            // Together the owners have every unit and period many times over.
            if rng.u8(0..21) < 4 {
                quotas.push(Quota { unit, period, limit: limit(rng, unit, period) });
            }
        }
    }
    Payer { owner, quotas: quotas.into(), wallet: kind == OwnerKind::User }
}

/// Small enough to be used up in most windows, now and then nothing at all.
fn limit(rng: &mut Rng, unit: Unit, period: Period) -> i64 {
    if rng.u8(0..40) == 0 {
        return 0;
    }
    let requests = match period {
        Period::Daily | Period::Rolling24h => 40,
        Period::Weekly | Period::Rolling7d => 250,
        Period::Monthly | Period::Rolling30d => 1_000,
        Period::Never => 30_000,
    };
    let requests = rng.i64(requests / 2..requests * 2);
    match unit {
        Unit::Requests => requests,
        Unit::Tokens => requests * 400,
        Unit::Cost => requests * 5_000,
    }
}
