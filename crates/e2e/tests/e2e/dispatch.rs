//! Which account is asked, when another one is, and what the caller hears when none is left.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::admin::account;
use testkit::canned::{self, WORDS};
use testkit::gateway::Options;
use testkit::outcome::Outcome;
use testkit::script::Script;
use testkit::surface::{CHAT, Dialect, MESSAGES, Surface};
use testkit::upstream::{ClosedPort, Upstream};
use testkit::wait;

use crate::stage::{IN_FORCE, Stage, ensure_complete, ensure_error, in_seconds, with};

fn good(surface: &Surface) -> Script {
    canned::answer(surface, "m", false)
}

fn bad(surface: &Surface, status: u16, headers: &[(&str, &str)]) -> Script {
    canned::json_answer(status, headers, &canned::error_body(surface.dialect, "some_error", "no"))
}

/// Creates accounts for one model, one for each upstream, in order of priority.
async fn ranked(
    stage: &Stage,
    surface: &Surface,
    model: &str,
    upstreams: &[&Upstream],
) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for (rank, upstream) in upstreams.iter().enumerate() {
        let body = account(&format!("{model}-{rank}"), surface, &upstream.url(), &json!([model]));
        ids.push(stage.create(&with(body, "priority", json!(rank + 1))).await?);
    }
    in_force(stage).await?;
    Ok(ids)
}

static MARKERS: AtomicU32 = AtomicU32::new(0);

/// Waits until the data plane has seen the last change: a marker that was made after it.
async fn in_force(stage: &Stage) -> Result<()> {
    let marker = format!("marker-{}", MARKERS.fetch_add(1, Ordering::SeqCst));
    let (_, key) = stage.admin.create_key(&json!({"name": marker})).await?;
    stage.gateway.offers(&key, &[], IN_FORCE).await
}

#[tokio::test]
async fn weights_share_a_thousand_calls() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let (one, three) = (Upstream::always(good(&CHAT)).await?, Upstream::always(good(&CHAT)).await?);
    for (name, upstream, weight) in [("one", &one, 1), ("three", &three, 3)] {
        let body = account(name, &CHAT, &upstream.url(), &json!(["m"]));
        stage.create(&with(body, "weight", json!(weight))).await?;
    }
    in_force(&stage).await?;
    let mut connection = stage.gateway.connect().await?;
    for _ in 0..1_000 {
        let answer = connection.call(&stage.request(&CHAT, &CHAT.request("m", false))).await?;
        ensure!(answer.status() == 200, "{}", answer.text());
    }
    // Four standard deviations of 1,000 draws at 1 to 3 are 55.
    let share = one.count();
    println!("weights 1 and 3: {share} and {} of 1000", three.count());
    ensure!((195..=305).contains(&share), "{share} of 1,000, about 250 expected");
    ensure!(share + three.count() == 1_000, "{} calls in all", share + three.count());
    Ok(())
}

#[tokio::test]
async fn lower_priority_numbers_go_first() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let (first, second) = (Upstream::always(good(&CHAT)).await?, Upstream::always(good(&CHAT)).await?);
    ranked(&stage, &CHAT, "m", &[&first, &second]).await?;
    for _ in 0..20 {
        ensure_complete(&CHAT, false, &stage.ask(&CHAT, "m", false).await?)?;
    }
    ensure!((first.count(), second.count()) == (20, 0), "{} and {}", first.count(), second.count());
    Ok(())
}

#[tokio::test]
async fn an_account_of_weight_zero_takes_nothing_new() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let (drained, open) = (Upstream::always(good(&CHAT)).await?, Upstream::always(good(&CHAT)).await?);
    let body = account("drained", &CHAT, &drained.url(), &json!(["m"]));
    stage.create(&with(body, "weight", json!(0))).await?;
    stage.account("open", &CHAT, &open, "m").await?;
    in_force(&stage).await?;
    for _ in 0..20 {
        ensure_complete(&CHAT, false, &stage.ask(&CHAT, "m", false).await?)?;
    }
    ensure!(drained.count() == 0, "{}", drained.count());
    Ok(())
}

#[tokio::test]
async fn a_rate_limited_account_rests_as_long_as_it_asked() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let first = Upstream::always(good(&CHAT)).await?;
    first.next([bad(&CHAT, 429, &[("retry-after", "2")])]);
    let second = Upstream::always(good(&CHAT)).await?;
    ranked(&stage, &CHAT, "m", &[&first, &second]).await?;
    let started = tokio::time::Instant::now();
    let answer = stage.ask(&CHAT, "m", false).await?;
    ensure_complete(&CHAT, false, &answer)?;
    let record = stage.record(&answer).await?;
    ensure!(record["attempts"].as_array().map(Vec::len) == Some(2), "{record}");
    ensure!(
        record["attempts"][0]["class"] == "refused" && record["attempts"][0]["status"] == 429,
        "{record}"
    );
    let back = wait::until("the account to be asked again", Duration::from_secs(5), async || {
        ensure_complete(&CHAT, false, &stage.ask(&CHAT, "m", false).await?)?;
        Ok((first.count() > 1).then(|| started.elapsed()))
    })
    .await?;
    println!("Retry-After 2: asked again after {back:?}");
    ensure!(back >= Duration::from_millis(1_900) && back < Duration::from_millis(3_500), "{back:?}");
    Ok(())
}

/// Accounts contract §3: a time that is named as a point in time is obeyed like one in seconds.
#[tokio::test]
async fn a_rate_limited_account_rests_until_the_time_that_it_names() -> Result<()> {
    let reset = in_seconds(3_600);
    for headers in [
        [("retry-after", http_date(&reset)), ("x-ratelimit-remaining-requests", "5".to_owned())],
        [
            ("anthropic-ratelimit-requests-remaining", "0".to_owned()),
            ("anthropic-ratelimit-requests-reset", reset.clone()),
        ],
    ] {
        let stage = Stage::start(Options::default()).await?;
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let limited = Upstream::always(bad(&MESSAGES, 429, &headers)).await?;
        ranked(&stage, &MESSAGES, "m", &[&limited]).await?;
        for status in [429, 503] {
            let answer = stage.ask(&MESSAGES, "m", false).await?;
            ensure!(answer.status() == status, "{headers:?}: {} {}", answer.status(), answer.text());
            let seconds: u64 = answer.header("retry-after").context("no retry-after")?.parse()?;
            ensure!((3_500..=3_600).contains(&seconds), "{headers:?}: {status} after {seconds}");
        }
        ensure!(limited.count() == 1, "a blocked account was asked again");
    }
    Ok(())
}

/// The time as HTTP headers write it. Nobody reads the day of the week.
fn http_date(rfc3339: &str) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month: usize = rfc3339[5..7].parse().unwrap_or(1);
    let (year, day, time) = (&rfc3339[..4], &rfc3339[8..10], &rfc3339[11..19]);
    format!("Mon, {day} {} {year} {time} GMT", MONTHS[month - 1])
}

#[tokio::test]
async fn an_administrator_ends_a_cooldown() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(good(&CHAT)).await?;
    upstream.next([bad(&CHAT, 429, &[("retry-after", "600")])]);
    let ids = ranked(&stage, &CHAT, "m", &[&upstream]).await?;
    ensure!(stage.ask(&CHAT, "m", false).await?.status() == 429, "the limit is not told");
    let blocked = stage.ask(&CHAT, "m", false).await?;
    ensure_error(Dialect::OpenAi, &blocked, 503, "NO_AVAILABLE_UPSTREAM")?;
    ensure!(upstream.count() == 1, "a blocked account was asked");
    stage.admin.post(&format!("accounts/{}/reset", ids[0]), &json!({})).await?;
    ensure_complete(&CHAT, false, &stage.ask(&CHAT, "m", false).await?)
}

#[tokio::test]
async fn when_all_are_limited_the_smallest_wait_is_told() -> Result<()> {
    for surface in [CHAT, MESSAGES] {
        let stage = Stage::start(Options::default()).await?;
        let long = Upstream::always(bad(&surface, 429, &[("retry-after", "90")])).await?;
        let short = Upstream::always(bad(&surface, 429, &[("retry-after", "30")])).await?;
        ranked(&stage, &surface, "m", &[&long, &short]).await?;
        // First both are asked, then none can be.
        for (status, code) in [(429, "RATE_LIMIT_UPSTREAM"), (503, "NO_AVAILABLE_UPSTREAM")] {
            let answer = stage.ask(&surface, "m", false).await?;
            ensure_error(surface.dialect, &answer, status, code)?;
            let seconds: u64 = answer.header("retry-after").context("no retry-after")?.parse()?;
            ensure!((28..=30).contains(&seconds), "{code}: {seconds}");
        }
        ensure!((long.count(), short.count()) == (1, 1), "blocked accounts were asked again");
    }
    Ok(())
}

#[tokio::test]
async fn when_all_are_overloaded_the_answer_is_503_or_529() -> Result<()> {
    for (surface, status) in [(CHAT, 503), (MESSAGES, 529)] {
        for upstream_status in [503, 529] {
            let stage = Stage::start(Options::default()).await?;
            let upstream = Upstream::always(bad(&surface, upstream_status, &[])).await?;
            ranked(&stage, &surface, "m", &[&upstream]).await?;
            let answer = stage.ask(&surface, "m", false).await?;
            ensure!(answer.status() == status, "{} {}", answer.status(), answer.text());
            if surface.dialect == Dialect::Anthropic {
                ensure!(answer.json()["error"]["type"] == "overloaded_error", "{}", answer.text());
            }
            let blocked = stage.ask(&surface, "m", false).await?;
            ensure_error(surface.dialect, &blocked, 503, "NO_AVAILABLE_UPSTREAM")?;
            ensure!(blocked.header("retry-after").is_some(), "no retry-after: {:?}", blocked.head);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_next_account_answers_when_the_first_refuses() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    for surface in [CHAT, MESSAGES] {
        for status in [401, 402, 403, 408, 429, 500, 502, 503, 529] {
            for stream in [false, true] {
                let model = format!("{}-{status}-{stream}", surface.name);
                let first = Upstream::always(bad(&surface, status, &[])).await?;
                let second = Upstream::always(canned::answer(&surface, "m", stream)).await?;
                ranked(&stage, &surface, &model, &[&first, &second]).await?;
                let answer = stage.ask(&surface, &model, stream).await?;
                ensure_complete(&surface, stream, &answer).context(model)?;
                ensure!((first.count(), second.count()) == (1, 1), "{} {}", first.count(), second.count());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_500_does_not_block_the_account() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let first = Upstream::always(good(&CHAT)).await?;
    first.next([bad(&CHAT, 500, &[])]);
    let second = Upstream::always(good(&CHAT)).await?;
    ranked(&stage, &CHAT, "m", &[&first, &second]).await?;
    for _ in 0..2 {
        ensure_complete(&CHAT, false, &stage.ask(&CHAT, "m", false).await?)?;
    }
    ensure!((first.count(), second.count()) == (2, 1), "{} and {}", first.count(), second.count());
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_down_is_passed_over() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let nobody = ClosedPort::take()?;
    let body = account("down", &CHAT, &nobody.url()?, &json!(["m"]));
    stage.create(&with(body, "priority", json!(1))).await?;
    let upstream = Upstream::always(good(&CHAT)).await?;
    stage.account("up", &CHAT, &upstream, "m").await?;
    in_force(&stage).await?;
    let answer = stage.ask(&CHAT, "m", false).await?;
    ensure_complete(&CHAT, false, &answer)?;
    let record = stage.record(&answer).await?;
    ensure!(record["attempts"][0]["class"] == "refused", "{record}");
    Ok(())
}

#[tokio::test]
async fn an_error_event_before_content_switches_and_after_content_does_not() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    for surface in [CHAT, MESSAGES] {
        let error = canned::error_frame(surface.dialect, "overloaded_error", "busy");
        let frames = canned::frames(&surface, "m");
        let content = frames.iter().position(|frame| frame.contains(WORDS[0])).context("no content")?;
        for (name, kept, switches) in [("before", content, true), ("after", content + 1, false)] {
            let model = format!("{}-{name}", surface.name);
            let mut sent = frames[..kept].to_vec();
            sent.push(error.clone());
            let first = Upstream::always(canned::stream_answer(&sent)).await?;
            let second = Upstream::always(canned::stream_answer(&frames)).await?;
            ranked(&stage, &surface, &model, &[&first, &second]).await?;
            let answer = stage.ask(&surface, &model, true).await?;
            let outcome = Outcome::of(surface.dialect, true, &answer);
            ensure!((outcome == Outcome::Complete) == switches, "{model}: {outcome:?}\n{}", answer.text());
            ensure!(second.count() == usize::from(switches), "{model}: the second was asked");
            if !switches {
                ensure!(
                    matches!(outcome, Outcome::ErrorEvent { .. }),
                    "{model}: {outcome:?}\n{}",
                    answer.text()
                );
                let record = stage.record(&answer).await?;
                ensure!(record["attempts"][0]["class"] == "begun" && record["code"].is_string(), "{record}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_may_have_been_done_is_not_asked_again() -> Result<()> {
    let stage = Stage::start(Options::default().timer("first_byte", 300)).await?;
    for surface in [CHAT, MESSAGES] {
        let scripts = [
            ("reset", Script::new().reset(), 502),
            ("closed", Script::new().close(), 502),
            ("silent", Script::new().hold(), 504),
            ("late", bad(&surface, 504, &[]), 504),
        ];
        for (name, script, status) in scripts {
            let model = format!("{}-{name}", surface.name);
            let first = Upstream::always(script).await?;
            let second = Upstream::always(good(&surface)).await?;
            ranked(&stage, &surface, &model, &[&first, &second]).await?;
            let answer = stage.ask(&surface, &model, false).await?;
            let fits = answer.status() == status || (name == "late" && answer.status() == 502);
            ensure!(fits, "{model}: {} {}", answer.status(), answer.text());
            ensure!(second.count() == 0, "{model}: bought twice");
            let record = stage.record(&answer).await?;
            ensure!(record["attempts"][0]["class"] == "ambiguous", "{record}");
            ensure!(record["usage"]["source"] == "estimated", "{record}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_model_that_an_account_lost_is_asked_elsewhere() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let gone = |code: &str| {
        let body = json!({"error": {"message": "gone", "type": "invalid_request_error", "code": code}});
        canned::json_answer(404, &[], &body.to_string())
    };
    for code in ["model_not_found", "DeploymentNotFound"] {
        let first = Upstream::always(gone(code)).await?;
        let second = Upstream::always(good(&CHAT)).await?;
        ranked(&stage, &CHAT, code, &[&first, &second]).await?;
        for _ in 0..3 {
            ensure_complete(&CHAT, false, &stage.ask(&CHAT, code, false).await?)?;
        }
        ensure!((first.count(), second.count()) == (1, 3), "{} and {}", first.count(), second.count());
    }
    Ok(())
}

#[tokio::test]
async fn at_most_three_switches_are_made() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let mut upstreams = Vec::new();
    for _ in 0..6 {
        upstreams.push(Upstream::always(bad(&CHAT, 500, &[])).await?);
    }
    ranked(&stage, &CHAT, "m", &upstreams.iter().collect::<Vec<_>>()).await?;
    let answer = stage.ask(&CHAT, "m", false).await?;
    ensure_error(Dialect::OpenAi, &answer, 502, "UPSTREAM_ERROR")?;
    let asked: usize = upstreams.iter().map(Upstream::count).sum();
    ensure!(asked == 4, "{asked} accounts were asked");
    Ok(())
}

#[tokio::test]
async fn a_circuit_opens_after_five_failures() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(Script::new().close()).await?;
    ranked(&stage, &CHAT, "m", &[&upstream]).await?;
    let mut last = None;
    for _ in 0..8 {
        last = Some(stage.ask(&CHAT, "m", false).await?);
    }
    let answer = last.context("no answer")?;
    ensure_error(Dialect::OpenAi, &answer, 503, "CIRCUIT_OPEN")?;
    ensure!(answer.header("retry-after").is_some(), "{:?}", answer.head);
    ensure!(upstream.count() == 5, "{} calls", upstream.count());
    Ok(())
}

#[tokio::test]
async fn connections_to_an_upstream_are_used_again() -> Result<()> {
    let stage = Stage::start(Options::default().env("YUMEN_WORKERS", "1")).await?;
    let upstream = Upstream::start(|received| {
        let stream = received.json()["stream"] == true;
        canned::answer(&CHAT, "m", stream)
    })
    .await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    for stream in [false, true].repeat(25) {
        ensure_complete(&CHAT, stream, &stage.ask(&CHAT, "m", stream).await?)?;
    }
    ensure!(upstream.connections() == 1, "{} connections for 50 calls", upstream.connections());
    let answer = stage.ask(&CHAT, "m", false).await?;
    ensure!(stage.record(&answer).await?["attempts"][0]["reused"] == true, "not reused");
    Ok(())
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_is_replaced_unseen() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(good(&CHAT).wait_ms(20).close()).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    for _ in 0..20 {
        ensure_complete(&CHAT, false, &stage.ask(&CHAT, "m", false).await?)?;
        wait::until("the upstream to close", wait::PATIENCE, async || {
            Ok((upstream.open() == 0).then_some(()))
        })
        .await?;
    }
    ensure!(upstream.count() == 20, "{} requests", upstream.count());
    Ok(())
}

#[tokio::test]
async fn an_account_at_its_limit_is_passed_over() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let (small, large) =
        (Upstream::always(Script::new().gate(0)).await?, Upstream::always(good(&CHAT)).await?);
    let body = account("small", &CHAT, &small.url(), &json!(["m"]));
    let body = with(with(body, "concurrency", json!(1)), "priority", json!(1));
    stage.create(&body).await?;
    stage.account("large", &CHAT, &large, "m").await?;
    in_force(&stage).await?;
    let mut waiting = stage.gateway.connect().await?;
    waiting.send(&stage.request(&CHAT, &CHAT.request("m", false))).await?;
    small.wait_for(1).await?;
    let answer = stage.ask(&CHAT, "m", false).await?;
    ensure_complete(&CHAT, false, &answer)?;
    ensure!((small.count(), large.count()) == (1, 1), "{} and {}", small.count(), large.count());
    let record = stage.record(&answer).await?;
    let reasons: BTreeSet<&str> = record["candidates"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c: &Value| c["reason"].as_str())
        .collect();
    ensure!(reasons.contains("at_capacity"), "{record}");
    Ok(())
}
