//! T20: every fault of the table, in every dialect, streamed and not: it ends in time, says what it must,
//! is recorded as what it was, and leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use testkit::admin::{UPSTREAM_CREDENTIAL, account};
use testkit::badup::{Case, Expectation, Fault, GRACE, TIMERS, Told, faults};
use testkit::gateway::{Options, Turn};
use testkit::http::{Answer, Ended};
use testkit::oracle::{Oracle, has_none};
use testkit::outcome::Outcome;
use testkit::surface::Dialect;
use testkit::trust::Proof;
use testkit::upstream::{ClosedPort, Upstream};
use tokio::task::{JoinSet, LocalSet};

use crate::stage::Stage;

const PROOF: Proof = Proof::new(
    "T20",
    "P5",
    "Upstreams that are wrong in every way that is known: no answer is late, none that is cut looks whole",
);

/// So many trials run at the same time: few enough that none is late because of the others.
const AT_A_TIME: usize = 16;

/// One fault meeting one kind of request.
struct Trial {
    fault: Fault,
    case: Case,
    model: String,
    upstream: Option<Upstream>,
    _nobody: ClosedPort,
    origin: String,
}

impl Trial {
    async fn prepare(number: usize, fault: Fault, case: Case) -> Result<Self> {
        let upstream = match fault.script {
            Some(script) => Some(Upstream::always(script(&case)).await?),
            None => None,
        };
        let nobody = ClosedPort::take()?;
        let origin = match &upstream {
            Some(upstream) => upstream.url(),
            None => nobody.url()?,
        };
        Ok(Self { fault, case, model: format!("fault-{number}"), upstream, _nobody: nobody, origin })
    }

    fn name(&self) -> String {
        let kind = if self.case.stream { "streamed" } else { "whole" };
        format!("{} {kind}: upstream {}", self.case.surface.name, self.fault.name)
    }
}

async fn prepare(stage: &Stage) -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for fault in faults() {
        for case in Case::ALL {
            let trial = Trial::prepare(trials.len(), fault, case).await?;
            let models = json!([case.surface.model(&trial.model)]);
            let body = account(&trial.model, &case.surface, &trial.origin, &models);
            stage.admin.create_account(&body).await?;
            trials.push(trial);
        }
    }
    let models: Vec<String> = trials.iter().map(|trial| trial.model.clone()).collect();
    stage.gateway.offers(&stage.key, &models, Duration::from_secs(5)).await?;
    Ok(trials)
}

/// One request and one search, so that what is opened once is open before anything is counted.
async fn warm_up(stage: &Stage) -> Result<()> {
    let answer = stage.ask(&testkit::surface::CHAT, "no-such-model", false).await?;
    stage.record(&answer).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_ends_in_time_with_its_code_and_leaves_nothing_behind() -> Result<()> {
    let options = Options::default().turn(Turn::Alone).env("LOG_LEVEL", "debug");
    let options = TIMERS.iter().fold(options, |options, (name, ms)| options.timer(name, *ms));
    let stage = Arc::new(Stage::start(options).await?);
    let trials: Arc<[Trial]> = prepare(&stage).await?.into();
    warm_up(&stage).await?;
    let oracle = Oracle::before(&stage.gateway)?;
    let mut failures = meet_all(&stage, &trials).await;
    let idle: usize = trials.iter().map(|trial| trial.upstream.as_ref().map_or(0, Upstream::open)).sum();
    if let Err(error) = oracle.descriptors_return(&stage.gateway, idle).await {
        failures.push(format!("{error:#}"));
    }
    let log = stage.gateway.log();
    let secrets =
        [("the account's credential", UPSTREAM_CREDENTIAL), ("the caller's key", stage.key.as_str())];
    has_none("the log", log.as_bytes(), &secrets)?;
    if log.contains("panicked at") {
        failures.push(format!("a panic in the log:\n{log}"));
    }
    println!("{} trials of {} faults, {} failed", trials.len(), faults().len(), failures.len());
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    PROOF.held(&format!(
        "{} faults × {} dialects, streamed and not: {} trials ended in time with their codes; no panic, nothing kept",
        faults().len(),
        Case::ALL.len() / 2,
        trials.len()
    ))
}

/// Meets them all, some at the same time, since most of it is waiting for a timer; what failed.
async fn meet_all(stage: &Arc<Stage>, trials: &Arc<[Trial]>) -> Vec<String> {
    let next = Arc::new(AtomicUsize::new(0));
    let (local, mut turns) = (LocalSet::new(), JoinSet::new());
    for _ in 0..AT_A_TIME {
        let (stage, trials, next) = (Arc::clone(stage), Arc::clone(trials), Arc::clone(&next));
        let turn = async move {
            let mut failures = Vec::new();
            while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = meet(&stage, trial).await {
                    failures.push(format!("{}: {error:#}", trial.name()));
                }
            }
            failures
        };
        turns.spawn_local_on(turn, &local);
    }
    local.run_until(turns.join_all()).await.concat()
}

async fn meet(stage: &Stage, trial: &Trial) -> Result<()> {
    let expected = (trial.fault.expectation)(&trial.case);
    once(stage, trial, &expected).await?;
    if expected.told == Told::Whole {
        // What was left on the connection must not become the next answer.
        once(stage, trial, &expected).await.context("the second time")?;
    }
    Ok(())
}

async fn once(stage: &Stage, trial: &Trial, expected: &Expectation) -> Result<()> {
    let (surface, stream) = (trial.case.surface, trial.case.stream);
    let started = Instant::now();
    let answer = stage.ask(&surface, &trial.model, stream).await?;
    let took = started.elapsed();
    let record = stage.record(&answer).await?;
    let outcome = Outcome::of(surface.dialect, stream, &answer);
    let shown = || format!("{outcome:?} after {took:?}\n  answer: {}\n  record: {record}", brief(&answer));
    if !expected.is_met(surface.dialect, &outcome, record["code"].as_str()) {
        bail!("{:?} {:?} expected, got {}", expected.told, expected.codes, shown());
    }
    if took > expected.within + GRACE {
        bail!("at most {:?} expected, got {}", expected.within, shown());
    }
    if let Some(seconds) = trial.fault.retry_after
        && answer.header("retry-after") != Some(seconds)
    {
        bail!("retry-after {seconds} expected, got {:?}: {}", answer.header("retry-after"), shown());
    }
    agrees(trial, &answer, &record).with_context(shown)
}

/// Whether the record tells the same story as the answer.
fn agrees(trial: &Trial, answer: &Answer, record: &Value) -> Result<()> {
    if answer.status() != 200 {
        if record["status"] != answer.status() {
            bail!("the record's status differs");
        }
        let body = answer.json();
        let kind = match trial.case.surface.dialect {
            Dialect::OpenAi => &body["error"]["code"],
            Dialect::Anthropic => &body["error"]["type"],
            Dialect::Gemini => &body["error"]["status"],
        };
        if !kind.is_string() || answer.ended != Ended::Clean {
            bail!("the refusal is not in the dialect's envelope");
        }
        if answer.code() != record["code"].as_str() {
            bail!("the record's code differs from x-yumen-code");
        }
    }
    if record["attempts"].as_array().is_none_or(Vec::is_empty) {
        bail!("the record has no attempt");
    }
    if answer.text().contains(UPSTREAM_CREDENTIAL) || record.to_string().contains(UPSTREAM_CREDENTIAL) {
        bail!("the credential shows");
    }
    Ok(())
}

fn brief(answer: &Answer) -> String {
    let text = answer.text();
    let start: String = text.chars().take(400).collect();
    format!("{} {:?} {} bytes, {:?}: {start}", answer.status(), answer.code(), text.len(), answer.ended)
}
