//! T06: callers who ask for far more than they use are not refused for what they might have used.

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::bill::{Bill, Stated, tagged};
use testkit::canned;
use testkit::gateway::Options;
use testkit::load::{crowd, tally};
use testkit::oracle::{Books, Oracle, holds_return, used};
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;

use super::{Payer, at_rest, quota, tier};
use crate::stage::{IN_FORCE, Stage};

const PROOF: Proof = Proof::new(
    "T06",
    "P2",
    "64 agents with max_tokens of 64,000 share a budget of which their maxima would be several times",
);

const AGENTS: usize = 64;
/// Dollars for a million tokens, so that an answer of the maximum length costs one dollar.
const PRICE: &str = "15.625";
const MAXIMUM: u64 = 64_000;
/// A hundredth of the maximum: one cent.
const OUTPUT: u64 = 640;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_are_not_refused_for_what_they_might_have_used() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let bill = Bill::default();
    let body = {
        let mut body = canned::body(&CHAT, "agent");
        body["usage"] = json!({"prompt_tokens": 0, "completion_tokens": OUTPUT, "total_tokens": OUTPUT});
        body.to_string()
    };
    let upstream = {
        let bill = bill.clone();
        Upstream::start(move |received| {
            bill.note(received, Some(Stated { input: 0, output: OUTPUT }));
            canned::json_answer(200, &[], &body)
        })
        .await?
    };
    stage.account("a", &CHAT, &upstream, "agent").await?;
    stage.admin.send("PUT", "prices/agent", Some(&json!({"in": "0", "out": PRICE}))).await?;
    let payer = Payer::create(&stage, "agents", &quota("cost", "daily", &json!("25"))).await?;
    testkit::wait::until("the price", IN_FORCE, async || {
        let answer = stage.gateway.call(&payer.request(&CHAT, &tagged(&CHAT, "agent", false, 0))).await?;
        Ok((answer.status() == 200).then_some(()))
    })
    .await?;
    let oracle = Oracle::before(&stage.gateway)?;
    // What is not refused is at most 22.41 of 25 dollars: 64 agents, 35 answers each, a cent an answer.
    let asked = AGENTS * tier(20, 35);
    let requests = (1..=asked as u64).map(|tag| {
        let mut body = tagged(&CHAT, "agent", false, tag);
        body["max_tokens"] = json!(MAXIMUM);
        payer.request(&CHAT, &body)
    });
    let told = crowd(stage.gateway.address(), AGENTS, requests.collect()).await?;
    let tally = tally(&told);
    ensure!(tally.keys().all(|(status, _)| *status == 200), "refused: {tally:?}");
    holds_return(&stage.gateway).await?;
    let books = Books::with_charges(&stage.admin, &payer.filter(), bill.count()).await?;
    books.cover(&bill, 0)?;
    let cents = bill.count();
    ensure!(books.cost().0 == cents as i64 * 10_000_000, "{} for {cents} cents", books.cost());
    let counter = used(&stage.gateway, &payer.key, "cost", "daily").await?;
    ensure!(counter == json!(books.cost().to_string()), "{counter} in the window, {} booked", books.cost());
    at_rest(&oracle, &stage, upstream.open()).await?;
    PROOF.held(&format!("0 of {asked} refused, {} of 25 dollars used", books.cost()))
}
