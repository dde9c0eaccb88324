//! T12: a caller who leaves, at every phase of a request: what was produced is billed, once, and a caller
//! whose key drains is billed what the upstream states.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::admin::account;
use testkit::bill::{Bill, Stated, tagged};
use testkit::canned::{self, INPUT};
use testkit::gateway::{Options, Turn};
use testkit::http::{Connection, Request};
use testkit::oracle::{Books, Oracle, Row, State, holds_return};
use testkit::script::Script;
use testkit::surface::{CHAT, COMPLETIONS, Dialect, GEMINI, MESSAGES, RESPONSES, Surface};
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;

use super::{Payer, at_rest};
use crate::stage::Stage;

const PROOF: Proof = Proof::new(
    "T12",
    "P3",
    "A caller leaves at 12 phases, key set to drain or cancel, over chat, completions, messages, responses, \
     Gemini and from chat to messages",
);
const ZERO: Proof = Proof::new("T12-zero", "P3", "A usage that is stated as zero stays zero");

/// How soon a cancelled upstream must be left.
const LEFT_WITHIN: Duration = Duration::from_secs(1);
const WORDS: usize = 8;
/// Sixteen bytes, four tokens by the rule of thumb that the gateway estimates with, and as stated.
const WORD: &str = " abcdefghijklmno";
const WORD_TOKENS: u64 = 4;
const OUTPUT: u64 = WORDS as u64 * WORD_TOKENS;
const STATED: Stated = Stated { input: INPUT, output: OUTPUT };

/// The endpoints of callers, and the dialects of the accounts behind them.
const WAYS: [(Surface, Surface); 6] = [
    (CHAT, CHAT),
    (COMPLETIONS, COMPLETIONS),
    (MESSAGES, MESSAGES),
    (RESPONSES, RESPONSES),
    (GEMINI, GEMINI),
    (CHAT, MESSAGES),
];

/// When the caller leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    InHead,
    InBody,
    AtOnce,
    Waiting,
    AfterUpstreamHead,
    /// After this many words of a stream.
    Words(usize),
    /// When all but the terminal event has come.
    BeforeTerminal,
    /// When all has come but the end of the framing.
    AfterTerminal,
    /// In the middle of an answer that is no stream.
    InWholeAnswer,
}

const PHASES: [Phase; 12] = [
    Phase::InHead,
    Phase::InBody,
    Phase::AtOnce,
    Phase::Waiting,
    Phase::AfterUpstreamHead,
    Phase::Words(1),
    Phase::Words(2),
    Phase::Words(5),
    Phase::Words(WORDS),
    Phase::BeforeTerminal,
    Phase::AfterTerminal,
    Phase::InWholeAnswer,
];

/// One caller who leaves.
struct Trial {
    phase: Phase,
    surface: Surface,
    provider: Surface,
    drains: bool,
    model: String,
    upstream: Upstream,
    bill: Bill,
}

/// The frames of a stream of that many words, its usage stated.
fn frames(surface: &Surface) -> Vec<String> {
    let text = [WORD; WORDS];
    let frames = match (surface.dialect, surface.name) {
        (Dialect::Anthropic, _) => canned::message_frames("m", &text),
        (Dialect::Gemini, _) => canned::gemini_frames("m", &text),
        (_, "openai_completions") => canned::completion_frames("m", &text),
        (_, "openai_responses") => canned::response_frames("m", &text),
        _ => canned::chat_frames("m", &text, true),
    };
    frames.into_iter().map(restated).collect()
}

/// An answer with the usage of this many words.
fn restated(answer: String) -> String {
    let names = ["completion_tokens", "output_tokens", "candidatesTokenCount"];
    names.iter().fold(answer, |answer, name| {
        let stated = |tokens: u64| format!("\"{name}\":{tokens}");
        answer.replace(&stated(canned::OUTPUT), &stated(OUTPUT))
    })
}

/// How many frames are sent before the gate of a stream.
fn before_gate(phase: Phase, surface: &Surface, frames: &[String]) -> usize {
    let opening = frames.iter().position(|frame| frame.contains(WORD)).unwrap_or_default();
    match phase {
        Phase::Words(count) => opening + count,
        Phase::BeforeTerminal => frames.len() - 1,
        Phase::AfterTerminal => frames.len(),
        _ if surface.streams => 0,
        _ => frames.len(),
    }
}

fn script(phase: Phase, surface: &Surface) -> Script {
    match phase {
        Phase::InHead | Phase::InBody | Phase::AtOnce | Phase::Waiting | Phase::InWholeAnswer => {
            let body = restated(canned::body(surface, "m").to_string());
            let length = body.len().to_string();
            let head =
                canned::head(200, &[("content-type", "application/json"), ("content-length", &length)]);
            if phase == Phase::InWholeAnswer {
                let (one, two) = body.split_at(body.len() / 2);
                return Script::new().send(head + one).gate(0).send(two.to_owned());
            }
            let asked = if phase == Phase::AtOnce { Script::new() } else { Script::new().gate(0) };
            asked.send(head + &body)
        }
        _ => {
            let frames = frames(surface);
            let (now, later) = frames.split_at(before_gate(phase, surface, &frames));
            let begun = now.iter().fold(canned::stream_head(), |script, frame| script.chunk(frame));
            later.iter().fold(begun.gate(0), |script, frame| script.chunk(frame)).last_chunk()
        }
    }
}

impl Trial {
    async fn prepare(
        number: usize,
        phase: Phase,
        (surface, provider): (Surface, Surface),
        drains: bool,
    ) -> Result<Self> {
        let bill = Bill::default();
        let upstream = {
            let bill = bill.clone();
            Upstream::start(move |received| {
                bill.note(received, Some(STATED));
                script(phase, &provider)
            })
            .await?
        };
        Ok(Self { phase, surface, provider, drains, model: format!("leaving-{number}"), upstream, bill })
    }

    fn name(&self) -> String {
        let mode = if self.drains { "drain" } else { "cancel" };
        format!("{} at {} {:?} {mode}", self.surface.name, self.provider.name, self.phase)
    }

    /// Plays the caller up to the phase, and lets them go.
    async fn leave(&self, stage: &Stage, payer: &Payer) -> Result<()> {
        let stream = !matches!(self.phase, Phase::InWholeAnswer | Phase::Waiting);
        let body = tagged(&self.surface, &self.model, stream, 1).to_string();
        let path = self.surface.path_for(&self.model, stream);
        let request = Request::post(&path, body).bearer(&payer.key);
        let mut connection = stage.gateway.connect().await?;
        match self.phase {
            Phase::InHead | Phase::InBody => return self.break_off(connection, &request).await,
            Phase::AtOnce => return connection.send(&request).await,
            Phase::Waiting | Phase::AfterUpstreamHead | Phase::InWholeAnswer => {
                connection.send(&request).await?;
                self.upstream.wait_for(1).await?;
            }
            Phase::Words(count) => {
                connection.send(&request).await?;
                read_until(&mut connection, |text| text.matches(WORD).count() >= count).await?;
            }
            Phase::BeforeTerminal => {
                connection.send(&request).await?;
                read_until(&mut connection, |text| self.is_before_terminal(text)).await?;
            }
            Phase::AfterTerminal => {
                connection.send(&request).await?;
                let ends = ["[DONE]", "message_stop", "response.completed", "finishReason"];
                read_until(&mut connection, |text| ends.iter().any(|end| text.contains(end))).await?;
            }
        }
        drop(connection);
        if self.drains {
            self.upstream.open_gate(1);
        } else if self.phase != Phase::AfterTerminal {
            self.upstream.wait_abandoned(1, LEFT_WITHIN).await?;
        }
        Ok(())
    }

    /// Whether all that comes before the end of an answer is in `text`.
    fn is_before_terminal(&self, text: &str) -> bool {
        match (self.surface.dialect, self.surface.name) {
            (Dialect::Gemini, _) => text.matches(WORD).count() >= WORDS,
            (_, "openai_responses") => text.contains("response.output_item.done"),
            _ => text.contains("end_turn") || text.contains("\"stop\""),
        }
    }

    async fn break_off(&self, mut connection: Connection, request: &Request) -> Result<()> {
        let bytes = request.to_bytes();
        let cut = if self.phase == Phase::InHead { 40 } else { bytes.len() - 5 };
        connection.send_raw(&bytes[..cut]).await
    }

    /// What the gateway must bill: `None` when no upstream was asked.
    fn judge(&self, charges: &[&Row]) -> Result<()> {
        let reached = self.bill.count();
        ensure!(charges.len() <= 1, "{} charges", charges.len());
        ensure!(reached <= charges.len(), "it reached the upstream and has no charge");
        let Some(charge) = charges.first() else {
            let may_be_free = matches!(self.phase, Phase::InHead | Phase::InBody | Phase::AtOnce);
            ensure!(may_be_free, "it has no charge");
            return Ok(());
        };
        let never = matches!(self.phase, Phase::InHead | Phase::InBody);
        ensure!(!never, "half a request was charged: {charge:?}");
        if self.phase == Phase::AtOnce {
            return Ok(());
        }
        ensure!(charge.state != State::Void, "it was void: {charge:?}");
        if self.drains || self.phase == Phase::AfterTerminal {
            ensure!(
                charge.state == State::Measured && charge.used == STATED,
                "{STATED:?} stated: {charge:?}"
            );
            return Ok(());
        }
        let produced = match self.phase {
            Phase::Words(count) => count as u64 * WORD_TOKENS,
            Phase::BeforeTerminal => OUTPUT,
            // What was read of a whole answer is estimated from its bytes, framing included.
            Phase::InWholeAnswer => return Ok(()),
            _ => 0,
        };
        let off = charge.used.output.abs_diff(produced);
        ensure!(off <= WORD_TOKENS, "{produced} tokens were produced, {off} off: {charge:?}");
        Ok(())
    }
}

async fn read_until(connection: &mut Connection, enough: impl Fn(&str) -> bool) -> Result<()> {
    let mut arriving = connection.arriving().await?;
    let mut text = String::new();
    while !enough(&text) {
        let Some(piece) = connection.piece(&mut arriving).await? else {
            bail!("the answer ended early: {text}");
        };
        text.push_str(&String::from_utf8_lossy(&piece.bytes));
    }
    Ok(())
}

async fn prepare(stage: &Stage) -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for drains in [false, true] {
        for way in WAYS {
            for phase in PHASES {
                let trial = Trial::prepare(trials.len(), phase, way, drains).await?;
                let models = json!([trial.provider.model(&trial.model)]);
                let body = account(&trial.model, &trial.provider, &trial.upstream.url(), &models);
                stage.admin.create_account(&body).await?;
                trials.push(trial);
            }
        }
    }
    let models: Vec<String> = trials.iter().map(|trial| trial.model.clone()).collect();
    stage.gateway.offers(&stage.key, &models, Duration::from_secs(5)).await?;
    Ok(trials)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_is_billed_for_what_was_produced() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let trials = prepare(&stage).await?;
    let quota = json!([{"unit": "tokens", "period": "daily", "limit": 1_000_000_000}]);
    let drain = json!({"action": "drain", "seconds": 10});
    let cancels = Payer::create(&stage, "cancels", &json!({"quota": quota})).await?;
    let drains = Payer::create(&stage, "drains", &json!({"quota": quota, "on_disconnect": drain})).await?;
    let oracle = Oracle::before(&stage.gateway)?;
    let mut failures = Vec::new();
    for trial in &trials {
        let payer = if trial.drains { &drains } else { &cancels };
        if let Err(error) = trial.leave(&stage, payer).await {
            failures.push(format!("{}: {error:#}", trial.name()));
        }
    }
    if let Err(error) = drained(&stage).await {
        failures.push(format!("{error:#}"));
    }
    let books = both(&stage, &trials, [&cancels, &drains]).await?;
    for trial in &trials {
        let charges: Vec<&Row> = books.charges().filter(|row| row.model == trial.model).collect();
        if let Err(error) = trial.judge(&charges) {
            failures.push(format!("{}: {error:#}", trial.name()));
        }
    }
    ensure!(failures.is_empty(), "{} of {}:\n{}", failures.len(), trials.len(), failures.join("\n"));
    at_rest(&oracle, &stage, trials.iter().map(|trial| trial.upstream.open()).sum()).await?;
    PROOF.held(&format!(
        "{} trials: drained ones equal what the upstream stated, cancelled ones are at most one frame off and \
         left the upstream within 1 s",
        trials.len()
    ))
}

/// Waits until what drains has ended too, then nothing may be held.
async fn drained(stage: &Stage) -> Result<()> {
    wait::until("all requests to end", wait::PATIENCE, async || {
        Ok((stage.gateway.metrics().await?.sum("gateway_in_flight") <= 1.0).then_some(()))
    })
    .await?;
    holds_return(&stage.gateway).await.map(|_| ())
}

async fn both(stage: &Stage, trials: &[Trial], payers: [&Payer; 2]) -> Result<Books> {
    let mut all = Books::default();
    for (payer, drains) in payers.into_iter().zip([false, true]) {
        let reached = trials.iter().filter(|trial| trial.drains == drains && trial.bill.count() > 0).count();
        let books = Books::with_charges(&stage.admin, &payer.filter(), reached).await?;
        books.once_each()?;
        all.rows.extend(books.rows);
    }
    Ok(all)
}

/// A whole answer of a surface that states zero for everything.
fn zero(surface: &Surface) -> String {
    let mut body = canned::body(surface, "m");
    let member = if surface.dialect == Dialect::Gemini { "usageMetadata" } else { "usage" };
    let usage: Value = match (surface.dialect, surface.name) {
        (Dialect::Anthropic, _) => json!({"input_tokens": 0, "output_tokens": 0}),
        (Dialect::Gemini, _) => {
            json!({"promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0})
        }
        (_, "openai_responses") => json!({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}),
        _ => json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
    };
    body[member] = usage;
    body.to_string()
}

#[tokio::test]
async fn a_stated_zero_stays_zero() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let surfaces = [CHAT, COMPLETIONS, MESSAGES, RESPONSES, GEMINI];
    for surface in surfaces {
        let upstream = Upstream::always(canned::json_answer(200, &[], &zero(&surface))).await?;
        stage.account(surface.name, &surface, &upstream, surface.name).await?;
        let answer = stage.ask(&surface, surface.name, false).await?;
        let filter = format!("request_id={}", answer.request_id()?);
        let books = Books::with_charges(&stage.admin, &filter, 1).await?;
        let charge = books.charges().next().context("no charge")?;
        let zero = charge.state == State::Measured && charge.used == Stated::default();
        ensure!(zero, "{}: {charge:?}", surface.name);
    }
    ZERO.held(&format!("{} surfaces: measured, 0 tokens", surfaces.len()))
}
