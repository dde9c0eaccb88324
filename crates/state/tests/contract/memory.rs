//! The engine in process memory.

use model::ResourceId;
use model::resource::FreezeScope;
use state::signatures::{Frozen, Signatures, Source, Spend, Told};
use state::{Blocks, Circuits, Demand, Dimension, InFlight, Level, Limits, ResolvedLimits, Violation};

use crate::limits::{self, LimitEngine, demand, rate};
use crate::signatures::{self, SignatureEngine};
use crate::{
    MIDNIGHT, a_block_ends_by_time_or_by_hand, a_circuit_opens_probes_and_closes,
    a_place_at_an_account_is_a_lease,
};
use crate::{a_failed_probe_opens_the_circuit_again, an_account_never_runs_more_than_its_limit};

impl LimitEngine for Limits {
    type Taken = state::Taken;

    fn admit(&self, demands: &[Demand], now_ms: u64) -> Result<state::Taken, Violation> {
        self.admit(demands, now_ms)
    }

    fn settle(&self, taken: &state::Taken, real: u64, now_ms: u64) {
        self.settle_tokens(taken, real, now_ms);
    }

    fn renew(&self, taken: &mut state::Taken, now_ms: u64) {
        taken.renew(now_ms);
    }

    fn release(&self, taken: &state::Taken) {
        self.release(taken);
    }
}

#[test]
fn limits_keep_the_contract() {
    limits::admits_exactly_the_limit_from_many_threads(&Limits::new());
    limits::takes_from_no_level_when_one_refuses(&Limits::new());
    limits::takes_from_all_six_levels_or_from_none(&Limits::new());
    limits::of_ten_thousand_at_once_exactly_the_limit_is_taken(&Limits::new());
    limits::reports_the_first_violated_level_and_dimension(&Limits::new());
    limits::says_when_to_come_back_and_then_admits(&Limits::new());
    limits::corrects_tokens_to_the_real_use_once(&Limits::new());
}

#[test]
fn places_among_the_running_requests_keep_the_contract() {
    limits::a_place_returns_once_when_released(&Limits::new());
    limits::a_place_is_a_lease(&Limits::new());
    limits::a_holder_that_renews_late_counts_again(&Limits::new());
}

#[test]
fn windows_keep_the_contract_whatever_the_clock_does() {
    limits::a_clock_that_goes_back_creates_no_budget(&Limits::new());
    limits::no_jump_of_the_clock_grants_twice(&Limits::new());
    limits::midnight_begins_exactly_one_new_day(&Limits::new());
}

#[test]
fn circuits_keep_the_contract() {
    a_circuit_opens_probes_and_closes(&Circuits::new());
    a_failed_probe_opens_the_circuit_again(&Circuits::new());
}

#[test]
fn blocks_keep_the_contract() {
    a_block_ends_by_time_or_by_hand(&Blocks::new());
}

#[test]
fn places_keep_the_contract() {
    an_account_never_runs_more_than_its_limit(&InFlight::new());
    a_place_at_an_account_is_a_lease(&InFlight::new());
}

impl SignatureEngine for Signatures {
    fn spend(&self, key: &ResourceId, nonce: u128, most: u64, now_ms: u64) -> Spend {
        self.spend(key, nonce, most, now_ms)
    }

    fn frozen(&self, key: &ResourceId, source: Source, now_ms: u64) -> Option<Frozen> {
        self.frozen(key, source, now_ms)
    }

    fn failed(&self, key: &ResourceId, source: Source, scope: FreezeScope, now_ms: u64) -> Told {
        self.failed(key, source, scope, now_ms)
    }

    fn succeeded(&self, key: &ResourceId, source: Source, now_ms: u64) {
        self.succeeded(key, source, now_ms);
    }

    fn thaw(&self, key: &ResourceId) {
        self.thaw(key);
    }
}

#[test]
fn nonces_keep_the_contract() {
    signatures::of_a_thousand_who_use_one_nonce_exactly_one_passes(&Signatures::in_memory());
    signatures::a_nonce_is_remembered_for_half_an_hour_by_its_key(&Signatures::in_memory());
    signatures::a_flood_of_nonces_hurts_only_its_own_key(&Signatures::in_memory());
}

#[test]
fn freezes_keep_the_contract() {
    signatures::five_in_a_row_freeze_their_source_and_no_other(&Signatures::in_memory());
    signatures::freezes_double_up_to_a_day_and_end(&Signatures::in_memory());
    signatures::a_key_may_be_frozen_everywhere_until_it_is_thawed(&Signatures::in_memory());
    signatures::with_too_many_frozen_sources_only_those_pass_that_were_right(&Signatures::in_memory());
    signatures::guesses_have_a_budget(&Signatures::in_memory());
    signatures::a_crowd_of_sources_stays_within_its_bound(&Signatures::in_memory());
}

#[test]
fn a_dropped_permit_gives_its_places_back() {
    let limits = Limits::new();
    let limited = [demand(Level::Key, rate(Dimension::Concurrent, 1))];
    for _ in 0..3 {
        let taken = limits.admit(&limited, MIDNIGHT).expect("fits");
        assert!(limits.admit(&limited, MIDNIGHT).is_err());
        drop(taken);
    }
}

#[test]
fn the_headers_show_the_tightest_level() {
    let limits = Limits::new();
    let demands = [
        demand(Level::Key, ResolvedLimits { rpm: Some(9), tpm: Some(500), ..Default::default() }),
        demand(Level::User, ResolvedLimits { rpm: Some(5), ..Default::default() }),
    ];
    let taken = limits.admit(&demands, MIDNIGHT + 1).expect("fits");
    let (requests, tokens) = (taken.requests().expect("limited"), taken.tokens().expect("limited"));
    assert_eq!((requests.limit, requests.remaining, requests.reset_at_s), (5, 4, MIDNIGHT / 1_000 + 60));
    assert_eq!((tokens.limit, tokens.remaining), (500, 490));
    let free = limits.admit(&[], MIDNIGHT).expect("nothing limits");
    assert_eq!((free.requests(), free.tokens()), (None, None));
}
