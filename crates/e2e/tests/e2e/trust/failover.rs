//! T10 and T27: upstreams that fail: another one answers, nobody is charged twice, nothing that may have
//! been worked on is sent again, and a storm at one of them is not a storm at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::admin::Admin;
use testkit::bill::{Bill, Stated, tag_of, tagged};
use testkit::canned::{self, INPUT, OUTPUT};
use testkit::chance::{Chance, seed};
use testkit::gateway::{Options, Turn};
use testkit::http2::{self, Act};
use testkit::load::{Told, crowd, percentile, steady, tally};
use testkit::oracle::{Books, Oracle, State, holds_return};
use testkit::script::Script;
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;

use super::{Payer, at_rest, quota, tier};
use crate::stage::Stage;

const RETRIED: Proof = Proof::new(
    "T10",
    "P4",
    "Failover across 3 upstreams that refuse, reset and lose answers: one charge each, nothing sent twice that \
     may have been worked on",
);
const STORM: Proof =
    Proof::new("T27", "P7", "One of 3 upstreams answers 529 to everything: callers do not notice");

const UPSTREAMS: usize = 3;
const CALLERS: usize = 64;
/// Requests of one go; between two of them every block has been ended.
const BATCH: u64 = 100;
const CHARGED: Stated = Stated { input: INPUT, output: OUTPUT };

/// What an upstream does with a tag, and the word for it in the bill.
fn meet(upstream: usize, tag: u64) -> (&'static str, Script) {
    let refuse = |status, headers: &[(&str, &str)]| {
        canned::json_answer(status, headers, &canned::error_body(CHAT.dialect, "some_error", "no"))
    };
    let mut chance = Chance::seeded(seed() ^ (tag * 8 + upstream as u64));
    match chance.between(0, 99) {
        0..=9 => ("refused", refuse(429, &[("retry-after", "1")])),
        10..=19 => ("refused", refuse(529, &[])),
        20..=29 => ("refused", refuse(503, &[])),
        30..=34 => ("ambiguous", Script::new().reset()),
        35..=39 => ("ambiguous", Script::new().close()),
        _ => ("served", canned::answer(&CHAT, "m", false)),
    }
}

/// Sends batches until that many requests have reached an upstream; the others met only blocked accounts.
async fn until_reached(stage: &Stage, payer: &Payer, bill: &Bill, count: usize) -> Result<Vec<Told>> {
    let (mut all, mut tag) = (Vec::new(), 0);
    while bill.by_tag().len() < count {
        let requests = (tag..tag + BATCH).map(|tag| payer.request(&CHAT, &tagged(&CHAT, "m", false, tag)));
        all.extend(crowd(stage.gateway.address(), CALLERS, requests.collect()).await?);
        tag += BATCH;
        ensure!(tag < 100 * count as u64, "the upstreams are never asked: {:?}", tally(&all));
    }
    Ok(all)
}

/// Three upstreams, each with an account for the model `m`. Gives the accounts' ids too.
async fn three(
    stage: &Stage,
    bill: &Bill,
    meet: impl Fn(usize, u64) -> (&'static str, Script) + Clone + Send + Sync + 'static,
) -> Result<(Vec<Upstream>, Vec<String>)> {
    let (mut upstreams, mut ids) = (Vec::new(), Vec::new());
    for number in 0..UPSTREAMS {
        let (bill, meet) = (bill.clone(), meet.clone());
        let upstream = Upstream::start(move |received| {
            let (how, script) = meet(number, tag_of(&received.body).unwrap_or_default());
            bill.note_as(received, (how == "served").then_some(CHARGED), how);
            script
        })
        .await?;
        ids.push(stage.account(&format!("up-{number}"), &CHAT, &upstream, "m").await?);
        upstreams.push(upstream);
    }
    Ok((upstreams, ids))
}

/// An administrator who ends every block as soon as it stands, so that all three are asked all the time.
async fn unblock(admin: Admin, ids: Vec<String>, stop: Arc<AtomicBool>) -> Result<()> {
    while !stop.load(Ordering::SeqCst) {
        for id in &ids {
            admin.post(&format!("accounts/{id}/reset"), &json!({})).await?;
        }
        wait::pass(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Nothing that an upstream may have worked on was sent again.
fn sent_once(bill: &Bill) -> Result<(usize, usize)> {
    let (mut again, mut ambiguous) = (0, 0);
    for (tag, calls) in bill.by_tag() {
        again += calls.len() - 1;
        let earlier = &calls[..calls.len() - 1];
        let only_refusals = earlier.iter().all(|call| call.how == "refused");
        ensure!(only_refusals, "tag {tag} was sent again after it may have been worked on: {calls:?}");
        ambiguous += calls.iter().filter(|call| call.how == "ambiguous").count();
    }
    Ok((again, ambiguous))
}

/// Plays until `count` requests of a new key have reached an upstream, with the accounts `ids` unblocked all
/// the while; what their callers were told, and the books when nothing is held any more.
async fn played(
    stage: &Stage,
    name: &str,
    ids: Vec<String>,
    bill: &Bill,
    count: usize,
) -> Result<(Vec<Told>, Books)> {
    let terms = quota("tokens", "daily", &json!(1_000_000_000));
    let payer = Payer::create(stage, name, &terms).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let unblocking = tokio::spawn(unblock(stage.admin.clone(), ids, Arc::clone(&stop)));
    let told = until_reached(stage, &payer, bill, count).await?;
    stop.store(true, Ordering::SeqCst);
    unblocking.await??;
    holds_return(&stage.gateway).await?;
    let books = Books::with_charges(&stage.admin, &payer.filter(), bill.by_tag().len()).await?;
    books.cover(bill, 0)?;
    Ok((told, books))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_never_charges_twice_and_never_repeats_work() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let bill = Bill::default();
    let (upstreams, ids) = three(&stage, &bill, meet).await?;
    let oracle = Oracle::before(&stage.gateway)?;
    let count = tier(1_000, 10_000);
    let begun = Instant::now();
    let (told, books) = played(&stage, "retried", ids, &bill, count).await?;
    let (again, ambiguous) = sent_once(&bill)?;
    let tens = usize::try_from(begun.elapsed().as_secs() / 10)?;
    let allowed = bill.by_tag().len() / 5 + 100 * (tens + 2);
    ensure!(again <= allowed, "{again} were sent again, of which the budget allows {allowed}");
    let attempts = books.attempts().count();
    ensure!(attempts == bill.count(), "{attempts} attempts booked, {} made", bill.count());
    let served = bill.charged().iter().filter(|call| call.how == "served").count();
    let tally = tally(&told);
    let whole = told.iter().filter(|told| told.answer.as_ref().is_ok_and(|a| a.status() == 200)).count();
    ensure!(whole == served, "{served} were served, {whole} callers have an answer: {tally:?}");
    let [measured, estimated, _] = books.states();
    ensure!(measured == served, "{measured} measured, {served} served");
    ensure!(estimated == ambiguous, "{estimated} estimated, {ambiguous} may have been worked on");
    let measured = books.charges().filter(|row| row.state == State::Measured);
    ensure!(measured.map(|row| row.used).all(|used| used == CHARGED), "a charge is not what was stated");
    ensure!(again * 20 > count && ambiguous * 20 > count, "{again} switches and {ambiguous} ambiguous ends");
    at_rest(&oracle, &stage, upstreams.iter().map(Upstream::open).sum()).await?;
    RETRIED.held(&format!(
        "{} requests reached an upstream, {again} switches, {ambiguous} ambiguous ends: 1 charge each, 0 sent again after an \
         ambiguous end",
        bill.by_tag().len()
    ))
}

/// What an upstream of HTTP/2 does with a tag, and the word for it in the bill.
fn meet_http2(upstream: usize, tag: u64) -> (&'static str, Act) {
    let mut chance = Chance::seeded(seed() ^ (tag * 8 + upstream as u64));
    match chance.between(0, 99) {
        0..=19 => ("refused", Act::GoAwayBefore),
        20..=29 => ("refused", Act::RefuseStream),
        30..=34 => ("ambiguous", Act::GoAwayBehind),
        35..=37 => ("ambiguous", Act::BreakStream),
        38..=39 => ("ambiguous", Act::Close),
        _ => ("served", Act::Answer(canned::body(&CHAT, "m").to_string())),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_goes_away_is_left_for_another_where_it_did_no_work() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let bill = Bill::default();
    let (mut upstreams, mut ids) = (Vec::new(), Vec::new());
    for number in 0..UPSTREAMS {
        let bill = bill.clone();
        let upstream = http2::Upstream::start(move |received| {
            let (how, act) = meet_http2(number, tag_of(&received.body).unwrap_or_default());
            bill.note_as(received, (how == "served").then_some(CHARGED), how);
            act
        })
        .await?;
        let account = testkit::admin::account(&format!("up-{number}"), &CHAT, &upstream.url(), &json!(["m"]));
        ids.push(stage.create(&account).await?);
        upstreams.push(upstream);
    }
    let oracle = Oracle::before(&stage.gateway)?;
    let count = tier(500, 10_000);
    let (told, books) = played(&stage, "left", ids, &bill, count).await?;
    let (again, ambiguous) = sent_once(&bill)?;
    let served = bill.charged().iter().filter(|call| call.how == "served").count();
    let whole = told.iter().filter(|told| told.answer.as_ref().is_ok_and(|a| a.status() == 200)).count();
    ensure!(whole == served, "{served} were served, {whole} have an answer: {:?}", tally(&told));
    let [measured, estimated, _] = books.states();
    ensure!(measured == served, "{measured} measured, {served} served");
    ensure!(estimated == ambiguous, "{estimated} estimated, {ambiguous} may have been worked on");
    ensure!(again * 20 > count && ambiguous * 20 > count, "{again} switches and {ambiguous} ambiguous ends");
    let open = upstreams.iter().map(|upstream| upstream.connections() - upstream.ended()).sum();
    at_rest(&oracle, &stage, open).await?;
    let connections: usize = upstreams.iter().map(http2::Upstream::connections).sum();
    println!(
        "{} requests over {connections} connections of HTTP/2, {again} switches, {ambiguous} ambiguous ends, 0 sent \
         again after one",
        bill.by_tag().len()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_at_one_of_three_upstreams_is_not_noticed() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let bill = Bill::default();
    let storms = Arc::new(AtomicBool::new(false));
    let bad = {
        let storms = Arc::clone(&storms);
        move |upstream: usize, _: u64| {
            if upstream == 0 && storms.load(Ordering::SeqCst) {
                let body = canned::error_body(CHAT.dialect, "overloaded_error", "no");
                return ("refused", canned::json_answer(529, &[], &body));
            }
            ("served", canned::answer(&CHAT, "m", false))
        }
    };
    let (upstreams, _) = three(&stage, &bill, bad).await?;
    let oracle = Oracle::before(&stage.gateway)?;
    let request = |tag: usize| stage.request(&CHAT, &tagged(&CHAT, "m", false, tag as u64));
    let (per_second, seconds) = (200, tier(4, 60));
    steady(stage.gateway.address(), per_second, Duration::from_secs(1), request).await?;
    storms.store(true, Ordering::SeqCst);
    steady(stage.gateway.address(), per_second, Duration::from_secs(1), request).await?;
    let before = bill.count();
    let told = steady(stage.gateway.address(), per_second, Duration::from_secs(seconds), request).await?;
    let calls = bill.count() - before;
    let refused = bill.charged()[before..].iter().filter(|call| call.how == "refused").count();
    let tally = tally(&told);
    let good = tally.get(&(200, String::new())).copied().unwrap_or_default();
    println!("{good} of {} served with {calls} calls, {refused} refused: {tally:?}", told.len());
    ensure!(good * 1_000 >= told.len() * 999, "{good} of {} served: {tally:?}", told.len());
    ensure!(calls * 10 <= told.len() * 12, "{calls} calls for {} requests", told.len());
    // The account's blocks of 5, 10, 20 and 40 s end three times within a minute; until the first refusal
    // renews one, no more calls go than a circuit tries, which is three every 30 s.
    let probes = 3 * (1 + usize::try_from(seconds)? / 30);
    ensure!(refused <= probes, "{refused} calls went into the storm");
    at_rest(&oracle, &stage, upstreams.iter().map(Upstream::open).sum()).await?;
    STORM.held(&format!(
        "{good} of {} served from 1 s on, {calls} upstream calls, {refused} of them into the storm; p99 {} ms",
        told.len(),
        percentile(&told, 99).as_millis()
    ))
}
