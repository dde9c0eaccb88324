//! No stall from Nagle and delayed acknowledgement: it shows only on busy keep-alive connections, as
//! gaps of about 40 ms.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::canned;
use testkit::gateway::{Options, Turn};
use testkit::http::Connection;
use testkit::surface::{CHAT, MESSAGES, Surface};
use testkit::upstream::Upstream;

use crate::stage::Stage;

/// The pace of the upstream's frames.
const PACE_MS: u64 = 5;
/// A pause this much longer than the pace has the signature of a delayed acknowledgement (40 ms on Linux).
const SIGNATURE: Duration = Duration::from_millis(35);
const WORDS: usize = 40;
const ROUNDS: usize = 8;
const CALLERS: usize = 8;

/// The pauses between the pieces of several answers on one keep-alive connection.
async fn pauses(mut connection: Connection, request: testkit::http::Request) -> Result<Vec<Duration>> {
    let mut pauses = Vec::new();
    for _ in 0..ROUNDS {
        let answer = connection.call(&request).await?;
        ensure!(answer.status() == 200, "{}", answer.text());
        pauses.extend(answer.pieces.windows(2).map(|pair| pair[1].at - pair[0].at));
    }
    Ok(pauses)
}

async fn measure(stage: &Stage, surface: &Surface, frames: Vec<String>) -> Result<()> {
    let upstream = Upstream::always(canned::paced_answer(&frames, PACE_MS)).await?;
    stage.account(surface.name, surface, &upstream, surface.name).await?;
    let request = stage.request(surface, &surface.request(surface.name, true));
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        callers.push(tokio::spawn(pauses(stage.gateway.connect().await?, request.clone())));
    }
    let mut all = Vec::new();
    for caller in callers {
        all.extend(caller.await??);
    }
    all.sort_unstable();
    let at = |part: usize| all.get(all.len() * part / 100).copied().context("no pause");
    let stalls = all.iter().filter(|pause| **pause >= SIGNATURE).count();
    let (median, p99) = (at(50)?, at(99)?);
    println!(
        "{}: {} pauses, median {median:?}, p99 {p99:?}, {stalls} of 35 ms or more",
        surface.name,
        all.len()
    );
    ensure!(all.len() >= CALLERS * ROUNDS * WORDS / 2, "frames were merged: {} pauses", all.len());
    ensure!(median <= Duration::from_millis(PACE_MS + 5), "median {median:?}");
    ensure!(stalls * 1_000 <= all.len(), "{stalls} stalls among {} pauses", all.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paced_frames_do_not_stall_on_busy_connections() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let words = vec![" word"; WORDS];
    measure(&stage, &CHAT, canned::chat_frames("m", &words, false)).await?;
    measure(&stage, &MESSAGES, canned::message_frames("m", &words)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_answers_do_not_stall_on_busy_connections() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let mut connection = stage.gateway.connect().await?;
    let request = stage.request(&CHAT, &CHAT.request("m", false));
    let mut slow = 0;
    for _ in 0..300 {
        let started = std::time::Instant::now();
        ensure!(connection.call(&request).await?.status() == 200, "refused");
        slow += usize::from(started.elapsed() >= SIGNATURE);
    }
    println!("300 short answers, {slow} of 35 ms or more");
    ensure!(slow <= 1, "{slow} of 300 answers took 35 ms or more");
    Ok(())
}
