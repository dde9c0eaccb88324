//! T01: of many simultaneous requests against a quota, exactly as many as it allows are served.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::bill::{Bill, Stated, tagged};
use testkit::canned::{self, INPUT, OUTPUT};
use testkit::chance::{Chance, seed};
use testkit::gateway::{Options, Turn};
use testkit::load::{crowd, tally};
use testkit::oracle::{Books, Oracle, holds_return, used};
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;

use super::{Payer, at_rest, quota, tier};
use crate::stage::Stage;

const PROOF: Proof =
    Proof::new("T01", "P1", "Of N simultaneous requests against a request quota of M, exactly M are served");

const SEEDS: u64 = 20;

/// One storm: as many requests as asked, at once, on a key of its own.
async fn storm(stage: &Stage, bill: &Bill, round: u64, asked: usize, allowed: usize) -> Result<()> {
    let seed = seed().wrapping_add(round);
    let connections = usize::try_from(Chance::seeded(seed).between(64, 256))?;
    let terms = quota("requests", "never", &json!(allowed));
    let payer = Payer::create(stage, &format!("storm-{round}"), &terms).await?;
    let before = bill.count();
    let requests = (0..asked as u64).map(|tag| payer.request(&CHAT, &tagged(&CHAT, "m", false, tag)));
    let told = crowd(stage.gateway.address(), connections, requests.collect()).await?;
    let tally = tally(&told);
    let of = |status: u16, code: &str| tally.get(&(status, code.to_owned())).copied().unwrap_or_default();
    let shown = || format!("seed {seed}, {connections} connections: {tally:?}");
    ensure!(of(200, "") == allowed, "not {allowed} served: {}", shown());
    ensure!(of(403, "QUOTA_REQUEST_EXCEEDED") == asked - allowed, "other refusals: {}", shown());
    ensure!(bill.count() - before == allowed, "{} reached the upstream: {}", bill.count() - before, shown());
    holds_return(&stage.gateway).await.with_context(shown)?;
    let books = Books::with_charges(&stage.admin, &payer.filter(), allowed).await?;
    books.once_each()?;
    ensure!(books.states() == [allowed, 0, 0], "{:?}: {}", books.states(), shown());
    ensure!(books.tokens() == (INPUT + OUTPUT) * allowed as u64, "{}: {}", books.tokens(), shown());
    let counter = used(&stage.gateway, &payer.key, "requests", "never").await?;
    ensure!(counter == json!(allowed), "the window says {counter}: {}", shown());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_simultaneous_requests_exactly_the_quota_is_served() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let bill = Bill::default();
    let upstream = {
        let bill = bill.clone();
        let stated = Stated { input: INPUT, output: OUTPUT };
        Upstream::start(move |received| {
            bill.note(received, Some(stated));
            canned::answer(&CHAT, "m", false)
        })
        .await?
    };
    stage.account("a", &CHAT, &upstream, "m").await?;
    let oracle = Oracle::before(&stage.gateway)?;
    let (asked, allowed) = tier((2_000, 200), (10_000, 1_000));
    storm(&stage, &bill, 0, 10_000, 1_000).await?;
    for round in 1..SEEDS {
        storm(&stage, &bill, round, asked, allowed).await?;
    }
    at_rest(&oracle, &stage, upstream.open()).await?;
    PROOF.held(&format!(
        "{SEEDS} of {SEEDS} seeds exact: 1,000 of 10,000 once, {allowed} of {asked} in the others; \
         upstream calls = ledger rows = window"
    ))
}
