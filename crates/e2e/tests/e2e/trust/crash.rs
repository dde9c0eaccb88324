//! T07: `kill -9` at a random moment under load, again and again: nothing is lost, nothing counted twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::bill::{Bill, Stated, tag_of, tagged};
use testkit::canned::{self, INPUT, OUTPUT};
use testkit::chance::{Chance, seed};
use testkit::gateway::{Folder, Gateway, Turn};
use testkit::http::Connection;
use testkit::oracle::holds_return;
use testkit::script::Script;
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;

use super::ground::{acknowledged, founded, offer, options, settled, started, survived};
use super::{Payer, quota, tier};

const PROOF: Proof = Proof::new("T07", "P3", "kill -9 at a random 20 to 300 ms under 64-way load");

const CALLERS: u64 = 64;
/// How soon a start must serve, journal and all (reliability.md T07). Half of all starts must: the machine is
/// not ours alone.
const READY: Duration = Duration::from_secs(1);

/// Calls one after the other until the connection dies; gives the requests that were answered whole.
async fn call(address: String, payer: Arc<Payer>, tags: Arc<AtomicU64>) -> Vec<String> {
    let mut known = Vec::new();
    let Ok(mut connection) = Connection::open(&address).await else { return known };
    loop {
        let tag = tags.fetch_add(1, Ordering::SeqCst);
        let stream = tag.is_multiple_of(2);
        let request = payer.request(&CHAT, &tagged(&CHAT, "m", stream, tag));
        match connection.call(&request).await {
            Ok(answer) => match acknowledged(&answer) {
                Some(request) => known.push(request),
                None => return known,
            },
            Err(_) => return known,
        }
    }
}

/// Loads the gateway and kills it; gives the requests that were answered whole.
async fn kill_under_load(
    gateway: &mut Gateway,
    payer: &Arc<Payer>,
    bill: &Bill,
    after: Duration,
) -> Result<Vec<String>> {
    let tags = Arc::new(AtomicU64::new(1));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| tokio::spawn(call(gateway.address().to_owned(), Arc::clone(payer), Arc::clone(&tags))))
        .collect();
    wait::until("the load to begin", wait::PATIENCE, async || Ok((bill.count() > 8).then_some(()))).await?;
    wait::pass(after).await;
    gateway.signal("KILL").await?;
    gateway.ended(wait::PATIENCE).await?;
    let mut known = Vec::new();
    for caller in callers {
        known.extend(caller.await?);
    }
    Ok(known)
}

/// An upstream that takes a moment and notes what it charges. The bill is exchanged for every round.
async fn upstream(bill: &Arc<std::sync::Mutex<Bill>>) -> Result<Upstream> {
    let bill = Arc::clone(bill);
    Upstream::start(move |received| {
        let tag = tag_of(&received.body).unwrap_or_default();
        let bill = bill.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        bill.note(received, Some(Stated { input: INPUT, output: OUTPUT }));
        let whole = canned::answer(&CHAT, "m", tag.is_multiple_of(2)).steps().to_vec();
        let slow = Script::new().wait_ms(Chance::seeded(tag).between(0, 8));
        whole.into_iter().fold(slow, Script::then)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() -> Result<()> {
    let rounds = tier(5, 150);
    let folder = Folder::temporary()?;
    let shared = Arc::new(std::sync::Mutex::new(Bill::default()));
    let upstream = upstream(&shared).await?;
    let mut stage = founded(&folder, Turn::Alone).await?;
    offer(&stage, &CHAT, &upstream, &["m"]).await?;
    let mut payers = Vec::new();
    for round in 0..rounds {
        let terms = quota("tokens", "daily", &json!(1_000_000_000));
        payers.push(Arc::new(Payer::create(&stage, &format!("round-{round}"), &terms).await?));
    }
    stage.gateway.terminate().await?;
    let mut chance = Chance::seeded(seed());
    let (mut ready, mut sums) = (Vec::new(), [0; 4]);
    let (mut gateway, _, _) = started(options(&folder)).await?;
    for (round, payer) in payers.iter().enumerate() {
        let bill = Bill::default();
        bill.clone_into(&mut shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let after = Duration::from_millis(chance.between(20, 300));
        let known = kill_under_load(&mut gateway, payer, &bill, after).await?;
        let (again, admin, took) = started(options(&folder)).await?;
        gateway = again;
        ready.push(took);
        let shown = || format!("round {round} of seed {}, killed after {after:?}", seed());
        holds_return(&gateway).await.with_context(shown)?;
        let reached = bill.by_tag().len();
        let books = settled((&gateway, &admin), payer, reached).await.with_context(shown)?;
        let (estimated, answered) = survived(&books, &bill, &known, CALLERS as usize).with_context(shown)?;
        for (sum, figure) in sums.iter_mut().zip([known.len(), reached, estimated, answered]) {
            *sum += figure;
        }
    }
    ready.sort_unstable();
    let (median, longest) = (ready[ready.len() / 2], ready[ready.len() - 1]);
    ensure!(median < READY, "half of the starts took {median:?} or more");
    let [known, reached, estimated, answered] = sums;
    PROOF.held(&format!(
        "{rounds} rounds: {known} acknowledged, 0 lost; {reached} reached an upstream, 0 without a charge, 0 \
         charged twice; {estimated} estimated, {answered} of them just answered; ready after {} ms (median), {} ms \
         (longest)",
        median.as_millis(),
        longest.as_millis()
    ))
}
