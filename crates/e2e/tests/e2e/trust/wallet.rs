//! T01 for money: many simultaneous requests against a wallet that covers a part of them. It never goes
//! below nothing, what it lacked is bounded and reported, and it is the sum of the ledger.

use anyhow::{Context, Result, ensure};
use model::NanoUsd;
use serde_json::json;
use testkit::bill::{Bill, Stated, tagged};
use testkit::canned;
use testkit::gateway::{Options, Turn};
use testkit::load::{crowd, tally};
use testkit::oracle::{Books, Oracle, holds_return};
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;

use super::{Payer, at_rest, tier};
use crate::stage::{IN_FORCE, Stage, ensure_error};

const PROOF: Proof = Proof::new(
    "T01-wallet",
    "P1, P2",
    "Simultaneous requests against a wallet that covers a part of them: never below 0, the sum of the ledger",
);

const CALLERS: usize = 64;
/// More than is held for an answer of which nothing is known: every answer costs more than its hold.
const OUTPUT: u64 = 1_000;
/// Dollars for a million tokens: an answer costs a cent.
const PRICE: &str = "10";
const CENT: i64 = 10_000_000;
/// Dollars in the wallet: they cover 500 answers.
const BALANCE: &str = "5";
const COVERED: usize = 500;

async fn priced(stage: &Stage, bill: &Bill) -> Result<Upstream> {
    let mut body = canned::body(&CHAT, "priced");
    body["usage"] = json!({"prompt_tokens": 0, "completion_tokens": OUTPUT, "total_tokens": OUTPUT});
    let (body, bill) = (body.to_string(), bill.clone());
    let upstream = Upstream::start(move |received| {
        bill.note(received, Some(Stated { input: 0, output: OUTPUT }));
        canned::json_answer(200, &[], &body)
    })
    .await?;
    stage.account("a", &CHAT, &upstream, "priced").await?;
    stage.admin.send("PUT", "prices/priced", Some(&json!({"in": "0", "out": PRICE}))).await?;
    Ok(upstream)
}

/// Calls until one is served: the key, the wallet and the price are in force then.
async fn first(stage: &Stage, payer: &Payer) -> Result<()> {
    wait::until("the wallet", IN_FORCE, async || {
        let answer = stage.gateway.call(&payer.request(&CHAT, &tagged(&CHAT, "priced", false, 0))).await?;
        Ok((answer.status() == 200).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_never_goes_below_nothing_and_is_the_sum_of_the_ledger() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let bill = Bill::default();
    let upstream = priced(&stage, &bill).await?;
    let user = stage.admin.user_with_balance("payer@example.com", BALANCE).await?;
    let payer = Payer::create(&stage, "payer", &json!({"user_id": user})).await?;
    first(&stage, &payer).await?;
    let oracle = Oracle::before(&stage.gateway)?;
    let asked = tier(2_000, 20_000);
    let requests = (1..=asked).map(|tag| payer.request(&CHAT, &tagged(&CHAT, "priced", false, tag)));
    let told = crowd(stage.gateway.address(), CALLERS, requests.collect()).await?;
    let tally = tally(&told);
    let known = [(200, ""), (402, "INSUFFICIENT_BALANCE")];
    let only = tally.keys().all(|(status, code)| known.contains(&(*status, code.as_str())));
    ensure!(only, "{tally:?}");
    holds_return(&stage.gateway).await?;
    let served = bill.count();
    ensure!((COVERED..=COVERED + CALLERS).contains(&served), "{served} served: {tally:?}");
    let books = Books::with_charges(&stage.admin, &payer.filter(), served).await?;
    books.cover(&bill, 0)?;
    ensure!(books.charges().all(|row| row.amount == Some(NanoUsd(CENT))), "a charge is not a cent");
    let (balance, held) = stage.admin.wallet(&user).await?;
    let lacking: i64 = books.charges().map(|row| row.overshoot.0).sum();
    let paid = books.cost().0 - lacking;
    let initial = NanoUsd::parse(BALANCE).context("the balance")?;
    ensure!(balance.0 >= 0 && held.0 == 0, "balance {balance}, {held} held");
    ensure!(initial.0 - balance.0 == paid, "{balance} of {initial} left, {paid} nano-dollars booked");
    ensure!(lacking <= CALLERS as i64 * CENT, "{lacking} nano-dollars were not covered");
    let refused = stage.gateway.call(&payer.request(&CHAT, &tagged(&CHAT, "priced", false, 0))).await?;
    ensure_error(CHAT.dialect, &refused, 402, "INSUFFICIENT_BALANCE")?;
    at_rest(&oracle, &stage, upstream.open()).await?;
    PROOF.held(&format!(
        "{asked} asked for, {served} served for {} dollars, {balance} left, {} not covered by the wallet and \
         reported",
        books.cost(),
        NanoUsd(lacking)
    ))
}
