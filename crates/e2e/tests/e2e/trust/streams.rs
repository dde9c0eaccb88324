//! T03: streams that together want more than the budget spend no more than it, and those that are cut
//! say so and say what they used.

use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::bill::{Bill, Stated, tag_of, tagged};
use testkit::canned;
use testkit::chance::{Chance, seed};
use testkit::gateway::{Options, Turn};
use testkit::http::Answer;
use testkit::load::crowd;
use testkit::oracle::{Books, Oracle, holds_return, used};
use testkit::outcome::Outcome;
use testkit::script::Script;
use testkit::sse;
use testkit::surface::{CHAT, Dialect, MESSAGES, Surface};
use testkit::trust::Proof;
use testkit::upstream::{Received, Upstream};
use testkit::wait;

use super::{Payer, at_rest, quota};
use crate::stage::Stage;

const PROOF: Proof = Proof::new(
    "T03",
    "P1, P5",
    "200 streams of 1,000 to 4,000 tokens against a budget of 30 % of that: no overspend, every cut explicit",
);

const STREAMS: u64 = 200;
/// Sixteen bytes: four tokens, by the rule of thumb that the gateway estimates with, and as stated.
const WORD: &str = " abcdefghijklmno";
const WORD_TOKENS: u64 = 4;
const INPUT: u64 = 20;

/// How many words the stream of a tag has.
fn words(tag: u64) -> u64 {
    Chance::seeded(seed().wrapping_add(tag)).between(1_000 / WORD_TOKENS, 4_000 / WORD_TOKENS)
}

fn surface(tag: u64) -> Surface {
    if tag.is_multiple_of(2) { CHAT } else { MESSAGES }
}

/// A stream's frames with the usage that it states.
fn frames(surface: &Surface, tag: u64) -> (Vec<String>, Stated) {
    let count = words(tag);
    let stated = Stated { input: INPUT, output: count * WORD_TOKENS };
    let text = vec![WORD; usize::try_from(count).unwrap_or_default()];
    let frames = match surface.dialect {
        Dialect::OpenAi | Dialect::Gemini => canned::chat_frames("m", &text, true),
        Dialect::Anthropic => canned::message_frames("m", &text),
    };
    let restate = |frame: String| {
        frame
            .replace(&format!("\"prompt_tokens\":{}", canned::INPUT), &format!("\"prompt_tokens\":{INPUT}"))
            .replace(&format!("\"input_tokens\":{}", canned::INPUT), &format!("\"input_tokens\":{INPUT}"))
            .replace(
                &format!("\"completion_tokens\":{}", canned::OUTPUT),
                &format!("\"completion_tokens\":{}", stated.output),
            )
            .replace(
                &format!("\"output_tokens\":{}", canned::OUTPUT),
                &format!("\"output_tokens\":{}", stated.output),
            )
    };
    (frames.into_iter().map(restate).collect(), stated)
}

/// The first frame, a wait until every stream has begun, the rest.
fn script(received: &Received, bill: &Bill) -> Script {
    let tag = tag_of(&received.body).unwrap_or_default();
    let surface = surface(tag);
    let (frames, stated) = frames(&surface, tag);
    bill.note(received, Some(stated));
    let mut frames = frames.into_iter();
    let first = frames.next().unwrap_or_default();
    frames.fold(canned::stream_head().chunk(first).gate(0), |script, frame| script.chunk(frame)).last_chunk()
}

/// The output tokens that a cut stream states of itself.
fn stated_by(answer: &Answer) -> Option<u64> {
    sse::events(&answer.body).iter().rev().find_map(|event| {
        let data = event.json();
        let places = [&data["usage"], &data["error"]["usage"]];
        let names = ["completion_tokens", "output_tokens", "output"];
        places.into_iter().flat_map(|usage| names.map(|name| usage[name].as_u64())).flatten().next()
    })
}

/// Judges one stream: whether it is whole; a cut one must be explicit.
fn is_whole(tag: u64, answer: &Answer) -> Result<bool> {
    let code = Some("QUOTA_TOKEN_EXCEEDED".to_owned());
    match Outcome::of(surface(tag).dialect, true, answer) {
        Outcome::Complete => return Ok(true),
        // Its first read brought more than it could pay for: nothing was forwarded.
        Outcome::Refused { status: 403, code: told } => {
            let named = told == code || answer.text().contains("quota of this key");
            ensure!(named, "stream {tag} is refused as {told:?}");
            return Ok(false);
        }
        Outcome::ErrorEvent { code: told } => {
            // Anthropic's error event has a type in place of a code; the text names ours.
            let named = told == code || answer.text().contains("QUOTA_TOKEN_EXCEEDED");
            ensure!(named || surface(tag).dialect == Dialect::Anthropic, "stream {tag} says {told:?}");
        }
        other => anyhow::bail!("stream {tag} ended as {other:?}: …{}", tail(answer)),
    }
    stated_by(answer).with_context(|| format!("cut stream {tag} states no usage: …{}", tail(answer)))?;
    Ok(false)
}

fn tail(answer: &Answer) -> String {
    let text = answer.text();
    text.chars().skip(text.chars().count().saturating_sub(600)).collect()
}

static DEMAND: OnceLock<u64> = OnceLock::new();

fn demand() -> u64 {
    *DEMAND.get_or_init(|| (0..STREAMS).map(|tag| INPUT + words(tag) * WORD_TOKENS).sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_do_not_spend_more_than_their_budget() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let bill = Bill::default();
    let upstream = {
        let bill = bill.clone();
        Upstream::start(move |received| script(received, &bill)).await?
    };
    for (name, surface) in [("chat", CHAT), ("messages", MESSAGES)] {
        stage.account(name, &surface, &upstream, name).await?;
    }
    let budget = demand() * 30 / 100;
    let payer = Payer::create(&stage, "streams", &quota("tokens", "never", &json!(budget))).await?;
    let oracle = Oracle::before(&stage.gateway)?;
    let requests = (0..STREAMS).map(|tag| {
        let surface = surface(tag);
        let model = if surface == CHAT { "chat" } else { "messages" };
        let mut body = tagged(&surface, model, true, tag);
        body["max_tokens"] = json!(4_096);
        payer.request(&surface, &body)
    });
    let opened = async {
        wait::until("every stream to begin", wait::PATIENCE, async || {
            Ok((bill.count() as u64 >= STREAMS).then_some(()))
        })
        .await?;
        upstream.open_gate(1);
        anyhow::Ok(())
    };
    let told = crowd(stage.gateway.address(), usize::try_from(STREAMS)?, requests.collect());
    let (told, opened) = tokio::join!(told, opened);
    let told = told?;
    opened?;
    let mut cut = 0;
    for one in &told {
        let answer = one.answer.as_ref().map_err(|error| anyhow::anyhow!("{}: {error:#}", one.index))?;
        if !is_whole(one.index as u64, answer)? {
            cut += 1;
        }
    }
    holds_return(&stage.gateway).await?;
    let books = Books::with_charges(&stage.admin, &payer.filter(), usize::try_from(STREAMS)?).await?;
    books.cover(&bill, 0)?;
    let spent = books.tokens();
    let counter = used(&stage.gateway, &payer.key, "tokens", "never").await?;
    ensure!(counter == json!(spent), "{counter} in the window, {spent} booked");
    let over = spent.saturating_sub(budget);
    println!("budget {budget} of {}, spent {spent}, {over} over, {cut} of {STREAMS} cut", demand());
    ensure!(over * 1_000 <= budget * 5, "{over} over a budget of {budget}");
    ensure!(spent * 100 >= budget * 80, "only {spent} of {budget} could be spent");
    ensure!(cut > 0, "no stream was cut");
    at_rest(&oracle, &stage, upstream.open()).await?;
    PROOF.held(&format!(
        "spent {spent} of a budget of {budget} ({over} over); {cut} of {STREAMS} streams cut, each with its \
         error event and usage"
    ))
}
