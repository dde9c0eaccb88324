//! Recorded exchanges of real providers, replayed through a socket: the answer is the recording's, and
//! its stated usage is what the record says.
//!
//! The scanner's own tests cut every recording at every byte; here each goes through the whole gateway
//! once whole, at a spread of cuts, and byte by byte where it is short.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde_json::{Value, json};
use testkit::admin::UPSTREAM_CREDENTIAL;
use testkit::canned;
use testkit::corpus::{self, Exchange};
use testkit::environment;
use testkit::gateway::Options;
use testkit::http::{Answer, Connection};
use testkit::outcome::Outcome;
use testkit::script::{Script, chunk};
use testkit::surface::Dialect;
use testkit::trust::Proof;
use testkit::upstream::Upstream;

use crate::stage::Stage;
use crate::usage;

/// How many cuts of each recording go through the socket.
const CUTS: usize = 24;
/// Recordings up to this length are also sent one byte at a time.
const SHORT: usize = 1_500;

/// How an answer is cut into writes.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    At(usize),
    EveryByte,
}

fn served(exchange: &Exchange, cut: Cut) -> Script {
    let headers = [("content-type", exchange.content_type.as_str()), ("transfer-encoding", "chunked")];
    let head = Script::new().send(canned::head(exchange.status, &headers));
    let body = &exchange.body;
    let script = match cut {
        Cut::Whole => head.send(chunk(body)),
        Cut::At(at) => head.send(chunk(&body[..at])).wait_ms(1).send(chunk(&body[at..])),
        Cut::EveryByte => body.iter().fold(head, |script, byte| script.send(chunk(&[*byte]))),
    };
    script.last_chunk()
}

fn preset(exchange: &Exchange) -> &str {
    match (exchange.surface.dialect, exchange.vendor.as_str()) {
        (Dialect::Anthropic, _) => "anthropic",
        (_, "google") => "gemini",
        (
            _,
            vendor @ ("openai" | "azure" | "deepseek" | "groq" | "mistral" | "moonshot" | "ollama"
            | "openrouter" | "perplexity" | "together" | "xai"),
        ) => vendor,
        _ => "openai-compatible",
    }
}

fn account(exchange: &Exchange, origin: &str) -> Value {
    // Google's compatible endpoint is told apart from its own dialect by its path.
    let compatible = if preset(exchange) == "gemini" { "/openai" } else { "" };
    let mut body = json!({
        "name": exchange.id, "provider": preset(exchange),
        "base_url": format!("{origin}/{}{compatible}", exchange.id),
        "credential": {"type": "api_key", "api_key": UPSTREAM_CREDENTIAL},
        "models": [{"name": exchange.id, "upstream": exchange.model}], "allow_private": true,
    });
    if preset(exchange) == "azure" {
        body["api_version"] = json!("2024-10-21");
    }
    body
}

struct Replay {
    stage: Stage,
    _upstream: Upstream,
    cut: Arc<Mutex<Cut>>,
    exchanges: Vec<Exchange>,
}

impl Replay {
    async fn start(exchanges: Vec<Exchange>) -> Result<Self> {
        let stage = Stage::start(Options::default().env("LOG_LEVEL", "warn")).await?;
        let cut = Arc::new(Mutex::new(Cut::Whole));
        let by_id: BTreeMap<String, Exchange> = exchanges.iter().map(|e| (e.id.clone(), e.clone())).collect();
        let current = Arc::clone(&cut);
        let upstream = Upstream::start(move |received| {
            let id = received.target.split('/').nth(1).unwrap_or_default();
            let cut = current.lock().map_or(Cut::Whole, |cut| *cut);
            by_id.get(id).map_or_else(|| Script::new().close(), |exchange| served(exchange, cut))
        })
        .await?;
        for exchange in &exchanges {
            stage
                .admin
                .create_account(&account(exchange, &upstream.url()))
                .await
                .context(exchange.id.clone())?;
        }
        let models: Vec<String> = exchanges.iter().map(|exchange| exchange.id.clone()).collect();
        stage.gateway.offers(&stage.key, &models, Duration::from_secs(5)).await?;
        Ok(Self { stage, _upstream: upstream, cut, exchanges })
    }

    async fn play(&self, connection: &mut Connection, exchange: &Exchange, cut: Cut) -> Result<Answer> {
        if let Ok(mut current) = self.cut.lock() {
            *current = cut;
        }
        connection.call(&self.stage.request(&exchange.surface, &exchange.request)).await
    }
}

/// Recorded answers that are whole by the rules of their dialect.
fn is_whole(exchange: &Exchange) -> bool {
    let foreign_stream = exchange.vendor == "writer";
    exchange.status == 200 && !foreign_stream && !exchange.features.iter().any(|f| f == "error_in_stream")
}

fn read() -> Result<Option<Vec<Exchange>>> {
    let Some(folder) = environment::corpus() else {
        println!("skipped: the corpus is not there");
        return Ok(None);
    };
    let corpus = corpus::read(&folder)?;
    println!("{} recordings, skipped by name: {}", corpus.exchanges.len(), corpus.skipped.join(", "));
    ensure!(corpus.exchanges.len() > 100, "only {} recordings", corpus.exchanges.len());
    Ok(Some(corpus.exchanges))
}

/// Whether the answer that came through is the recording's, but for a usage chunk nobody asked for.
fn ensure_same(exchange: &Exchange, answer: &Answer) -> Result<()> {
    ensure!(answer.status() == exchange.status, "{} {}", answer.status(), answer.text());
    let expected = without_unasked_usage(exchange);
    ensure!(
        answer.body == exchange.body || answer.body == expected,
        "the bytes differ:\n  got      {}\n  recorded {}",
        answer.body.escape_ascii(),
        exchange.body.escape_ascii()
    );
    let outcome = Outcome::of(exchange.surface.dialect, exchange.stream, answer);
    let without_marker = exchange.stream && !contains(&exchange.body, "[DONE]");
    if exchange.surface.dialect == Dialect::Anthropic || !without_marker {
        ensure!(outcome == Outcome::Complete, "{outcome:?}");
    }
    Ok(())
}

fn contains(body: &Bytes, text: &str) -> bool {
    String::from_utf8_lossy(body).contains(text)
}

/// The recording without chunks that carry usage and no choice, for callers who did not ask for them.
fn without_unasked_usage(exchange: &Exchange) -> Bytes {
    let asked = exchange.request["stream_options"]["include_usage"] == true;
    if asked || !exchange.stream || exchange.surface.dialect == Dialect::Anthropic {
        return exchange.body.clone();
    }
    let text = String::from_utf8_lossy(&exchange.body).into_owned();
    let kept = text.split_inclusive("\n\n").filter(|event| {
        let data = event.trim().strip_prefix("data:").unwrap_or_default();
        let chunk: Value = serde_json::from_str(data.trim()).unwrap_or_default();
        !(chunk["usage"].is_object() && chunk["choices"].as_array().is_some_and(Vec::is_empty))
    });
    Bytes::from(kept.collect::<String>())
}

#[tokio::test]
async fn every_recording_comes_through_whole_with_its_stated_usage() -> Result<()> {
    let Some(exchanges) = read()? else { return Ok(()) };
    let replay = Replay::start(exchanges).await?;
    let mut connection = replay.stage.gateway.connect().await?;
    let (mut failures, mut measured) = (Vec::new(), 0);
    for exchange in replay.exchanges.iter().filter(|exchange| is_whole(exchange)) {
        let answer = replay.play(&mut connection, exchange, Cut::Whole).await.context(exchange.id.clone())?;
        let checked = async {
            ensure_same(exchange, &answer)?;
            let record = replay.stage.record(&answer).await?;
            ensure!(record["status"] == 200 && record["code"].is_null(), "{record}");
            usage::ensure_stated(exchange, &record["usage"])
        };
        match checked.await {
            Ok(stated) => measured += usize::from(stated),
            Err(error) => failures.push(format!("{} ({}): {error:#}", exchange.id, exchange.vendor)),
        }
    }
    println!("{measured} recordings state a usage; {} failures", failures.len());
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

#[tokio::test]
async fn recorded_failures_stay_failures() -> Result<()> {
    let Some(exchanges) = read()? else { return Ok(()) };
    let replay = Replay::start(exchanges).await?;
    let mut connection = replay.stage.gateway.connect().await?;
    let mut failures = Vec::new();
    for exchange in replay.exchanges.iter().filter(|exchange| !is_whole(exchange)) {
        let answer = replay.play(&mut connection, exchange, Cut::Whole).await.context(exchange.id.clone())?;
        let outcome = Outcome::of(exchange.surface.dialect, exchange.stream, &answer);
        // A model that the provider does not know is asked elsewhere, and here is nowhere else.
        let switches = ["model_not_found", "\"model: "].iter().any(|mark| contains(&exchange.body, mark));
        let expected = match exchange.status {
            400 | 404 | 413 | 422 if !switches => {
                answer.status() == exchange.status && answer.body == exchange.body
            }
            401..=403 => answer.status() == 502,
            _ => outcome != Outcome::Complete && outcome != Outcome::SilentlyShort,
        };
        let record = replay.stage.record(&answer).await?;
        let recorded = record["code"].is_string() || record["status"] == exchange.status;
        if !expected || !recorded {
            failures.push(format!(
                "{}: {} {outcome:?} {}\n{record}",
                exchange.id,
                answer.status(),
                answer.text()
            ));
        }
        if answer.header("connection") == Some("close") || outcome == Outcome::Cut {
            connection = replay.stage.gateway.connect().await?;
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

#[tokio::test]
async fn the_bytes_are_the_same_however_they_arrive() -> Result<()> {
    let Some(exchanges) = read()? else { return Ok(()) };
    let replay = Replay::start(exchanges).await?;
    let mut connection = replay.stage.gateway.connect().await?;
    let (mut failures, mut replays) = (Vec::new(), 0);
    for exchange in replay.exchanges.iter().filter(|exchange| is_whole(exchange)) {
        for cut in cuts(exchange) {
            let answer = replay.play(&mut connection, exchange, cut).await.context(exchange.id.clone())?;
            replays += 1;
            if let Err(error) = ensure_same(exchange, &answer) {
                failures.push(format!("{} cut {cut:?}: {error:#}", exchange.id));
                break;
            }
        }
    }
    println!("{replays} replays, {} failures", failures.len());
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    let what =
        "Recorded answers cut at many places, short ones at every byte, reach the caller as the same bytes";
    let whole = replay.exchanges.iter().filter(|exchange| is_whole(exchange)).count();
    Proof::new("T21", "P5", what).held(&format!("{whole} recordings, {replays} replays: 0 differences"))
}

/// A spread of cuts that differs from recording to recording and is the same in every run.
fn cuts(exchange: &Exchange) -> Vec<Cut> {
    let length = exchange.body.len();
    if length < 2 {
        return vec![Cut::Whole];
    }
    let offset: usize = exchange.id.bytes().map(usize::from).sum();
    let step = (length / CUTS).max(1);
    let mut cuts: Vec<Cut> =
        (0..CUTS).map(|number| Cut::At(1 + (offset + number * step) % (length - 1))).collect();
    if length <= SHORT {
        cuts.push(Cut::EveryByte);
    }
    cuts
}
