//! T13: usage as providers state it, in more than two hundred shapes, is booked to the token; where none is
//! stated, the entry says that it is estimated.
//!
//! Recorded exchanges are checked by `crate::corpus`; these shapes are made here, every combination of them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::bill::{tag_of, tagged};
use testkit::canned;
use testkit::gateway::Options;
use testkit::load::crowd;
use testkit::oracle::{Books, State};
use testkit::script::Script;
use testkit::surface::{CHAT, COMPLETIONS, Dialect, EMBEDDINGS, MESSAGES, Surface};
use testkit::trust::Proof;
use testkit::upstream::Upstream;

use super::Payer;
use crate::stage::Stage;

const PROOF: Proof = Proof::new(
    "T13",
    "P3",
    "Usage in every combination of shape, place and kind of token that providers use (recordings: crates/llm/tests)",
);

const PROMPT: u64 = 1_000;
const OUTPUT: u64 = 300;
const READ: u64 = 400;
const WRITTEN: u64 = 100;
const THOUGHT: u64 = 120;

/// Where an answer states its usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Whole,
    /// In a chunk of its own.
    Apart,
    /// In the last chunk that has a choice.
    WithEnd,
    /// First running, then final figures.
    Running,
    /// As Groq does.
    Groq,
}

/// One way to state a usage, and what must be booked: input, cache read, cache write, output.
struct Shape {
    name: String,
    surface: Surface,
    place: Place,
    usage: Option<Value>,
    booked: [u64; 4],
}

impl Shape {
    fn streams(&self) -> bool {
        self.place != Place::Whole
    }

    fn script(&self) -> Script {
        if !self.streams() {
            let mut body = canned::body(&self.surface, "m");
            match &self.usage {
                Some(usage) => body["usage"] = usage.clone(),
                None => drop(body.as_object_mut().map(|fields| fields.remove("usage"))),
            }
            return canned::json_answer(200, &[], &body.to_string());
        }
        let frames = match self.surface.dialect {
            Dialect::OpenAi | Dialect::Gemini => self.chunks(),
            Dialect::Anthropic => self.events(),
        };
        canned::stream_answer(&frames)
    }

    /// A stream of OpenAI's shape: its canned usage is taken out, this one is put in its place.
    fn chunks(&self) -> Vec<String> {
        let frames = canned::frames(&self.surface, "m");
        let mut chunks: Vec<Value> = frames
            .iter()
            .filter_map(|frame| serde_json::from_str(frame.trim_start_matches("data: ").trim()).ok())
            .collect();
        chunks.retain(|chunk| chunk["choices"].as_array().is_some_and(|choices| !choices.is_empty()));
        for chunk in &mut chunks {
            chunk["usage"] = Value::Null;
        }
        let last = chunks.len() - 1;
        let apart = |usage: &Value| json!({"id": "c", "object": "chunk", "choices": [], "usage": usage});
        match (&self.usage, self.place) {
            (None, _) => {}
            (Some(usage), Place::WithEnd) => chunks[last]["usage"] = usage.clone(),
            (Some(usage), Place::Groq) => chunks[last]["x_groq"] = json!({"id": "g", "usage": usage}),
            (Some(usage), Place::Running) => {
                chunks[1]["usage"] = json!({"prompt_tokens": PROMPT, "completion_tokens": 1});
                chunks.push(apart(usage));
            }
            (Some(usage), _) => chunks.push(apart(usage)),
        }
        let mut frames: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        frames.push("data: [DONE]\n\n".to_owned());
        frames
    }

    /// A stream of Anthropic's shape: the prompt's part at the start, the answer's at the end, or all at the
    /// end.
    fn events(&self) -> Vec<String> {
        let Some(usage) = &self.usage else { return canned::message_frames("m", &canned::WORDS) };
        let mut start = usage.clone();
        start["output_tokens"] = json!(1);
        let end = if self.place == Place::Running {
            usage.clone()
        } else {
            json!({"output_tokens": usage["output_tokens"]})
        };
        let frames = canned::message_frames("m", &canned::WORDS).into_iter();
        let restated = |frame: String| {
            let Some((name, data)) = frame.split_once("\ndata: ") else { return frame };
            let mut data: Value = serde_json::from_str(data.trim()).unwrap_or_default();
            match data["type"].as_str() {
                Some("message_start") => data["message"]["usage"] = start.clone(),
                Some("message_delta") => data["usage"] = end.clone(),
                _ => return frame,
            }
            format!("{name}\ndata: {data}\n\n")
        };
        frames.map(restated).collect()
    }
}

/// How OpenAI-compatible providers state what was read from the cache.
fn openai_cache(kind: &str, usage: &mut Value) -> u64 {
    match kind {
        "details" => usage["prompt_tokens_details"] = json!({"cached_tokens": READ}),
        "deepseek" => {
            usage["prompt_cache_hit_tokens"] = json!(READ);
            usage["prompt_cache_miss_tokens"] = json!(PROMPT - READ);
        }
        "moonshot" => usage["cached_tokens"] = json!(READ),
        "mistral" => usage["num_cached_tokens"] = json!(READ),
        "null" => {
            usage["prompt_tokens_details"] = Value::Null;
            return 0;
        }
        _ => return 0,
    }
    READ
}

fn openai(surface: Surface, place: Place) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for cache in ["none", "details", "deepseek", "moonshot", "mistral", "null"] {
        for extra in ["none", "reasoning", "audio", "more"] {
            let mut usage = json!({"prompt_tokens": PROMPT, "completion_tokens": OUTPUT, "total_tokens": PROMPT + OUTPUT});
            let read = openai_cache(cache, &mut usage);
            match extra {
                "reasoning" => usage["completion_tokens_details"] = json!({"reasoning_tokens": THOUGHT}),
                "audio" => usage["completion_tokens_details"] = json!({"audio_tokens": 50}),
                "more" => usage["never_heard_of"] = json!({"tokens": [1, 2, {"prompt_tokens": 7}]}),
                _ => {}
            }
            let name = format!("{} {place:?}: cache {cache}, {extra}", surface.name);
            let booked = [PROMPT - read, read, 0, OUTPUT];
            shapes.push(Shape { name, surface, place, usage: Some(usage), booked });
        }
    }
    shapes
}

fn anthropic(place: Place) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for read in [None, Some(0), Some(READ)] {
        for written in ["none", "flat", "tiers"] {
            for extra in ["none", "search", "tier", "thinking"] {
                let mut usage = json!({"input_tokens": PROMPT, "output_tokens": OUTPUT});
                if let Some(read) = read {
                    usage["cache_read_input_tokens"] = json!(read);
                }
                if written != "none" {
                    usage["cache_creation_input_tokens"] = json!(WRITTEN);
                }
                if written == "tiers" {
                    usage["cache_creation"] =
                        json!({"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40});
                }
                match extra {
                    "search" => usage["server_tool_use"] = json!({"web_search_requests": 2}),
                    "tier" => usage["service_tier"] = json!("priority"),
                    "thinking" => usage["output_tokens_details"] = json!({"thinking_tokens": THOUGHT}),
                    _ => {}
                }
                let name = format!("messages {place:?}: read {read:?}, written {written}, {extra}");
                let booked =
                    [PROMPT, read.unwrap_or_default(), if written == "none" { 0 } else { WRITTEN }, OUTPUT];
                shapes.push(Shape { name, surface: MESSAGES, place, usage: Some(usage), booked });
            }
        }
    }
    shapes
}

fn zeros_and_nothing() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for (surface, zero) in [
        (CHAT, json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})),
        (COMPLETIONS, json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})),
        (EMBEDDINGS, json!({"prompt_tokens": 0, "total_tokens": 0})),
        (MESSAGES, json!({"input_tokens": 0, "output_tokens": 0})),
    ] {
        let name = |what: &str| format!("{}: {what}", surface.name);
        let place = Place::Whole;
        let usage = Some(zero);
        shapes.push(Shape { name: name("zero"), surface, place, usage, booked: [0; 4] });
        shapes.push(Shape { name: name("nothing"), surface, place, usage: None, booked: [0; 4] });
    }
    for surface in [CHAT, COMPLETIONS] {
        let name = format!("{}: nothing in a stream", surface.name);
        shapes.push(Shape { name, surface, place: Place::Apart, usage: None, booked: [0; 4] });
    }
    let usage = Some(json!({"prompt_tokens": PROMPT, "total_tokens": PROMPT}));
    let (name, place) = ("embeddings".to_owned(), Place::Whole);
    shapes.push(Shape { name, surface: EMBEDDINGS, place, usage, booked: [PROMPT, 0, 0, 0] });
    shapes
}

fn shapes() -> Vec<Shape> {
    let mut shapes = zeros_and_nothing();
    for place in [Place::Whole, Place::Apart, Place::WithEnd, Place::Running, Place::Groq] {
        shapes.extend(openai(CHAT, place));
    }
    for place in [Place::Whole, Place::Apart] {
        shapes.extend(openai(COMPLETIONS, place));
    }
    for place in [Place::Whole, Place::Apart, Place::Running] {
        shapes.extend(anthropic(place));
    }
    shapes
}

fn judge(shape: &Shape, books: &Books, request: &str) -> Result<()> {
    let charge = books.charge_of(request).context("no charge")?;
    if shape.usage.is_none() {
        ensure!(charge.state == State::Estimated, "nothing was stated: {charge:?}");
        ensure!(charge.used.total() > 0, "nothing was estimated: {charge:?}");
        return Ok(());
    }
    let figure = |name: &str| charge.usage[name].as_u64().unwrap_or_default();
    let booked = ["input", "cache_read", "cache_write", "output"].map(figure);
    ensure!(charge.state == State::Measured, "it was stated: {charge:?}");
    ensure!(booked == shape.booked, "{:?} stated, {booked:?} booked", shape.booked);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_of_usage_is_booked_to_the_token() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let shapes = Arc::new(shapes());
    let upstream = {
        let shapes = Arc::clone(&shapes);
        Upstream::start(move |received| {
            let tag = tag_of(&received.body).unwrap_or_default();
            shapes[usize::try_from(tag).unwrap_or_default()].script()
        })
        .await?
    };
    for surface in [CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES] {
        stage.account(surface.name, &surface, &upstream, surface.name).await?;
    }
    let quota = json!({"quota": [{"unit": "requests", "period": "never", "limit": 1_000_000}]});
    let payer = Payer::create(&stage, "shapes", &quota).await?;
    let requests = shapes.iter().enumerate().map(|(number, shape)| {
        let surface = shape.surface;
        payer.request(&surface, &tagged(&surface, surface.name, shape.streams(), number as u64))
    });
    let told = crowd(stage.gateway.address(), 4, requests.collect()).await?;
    let books = Books::with_charges(&stage.admin, &payer.filter(), shapes.len()).await?;
    books.once_each()?;
    let mut failures = Vec::new();
    for (shape, told) in shapes.iter().zip(&told) {
        let answer = told.answer.as_ref().map_err(|error| anyhow::anyhow!("{}: {error:#}", shape.name))?;
        if let Err(error) = judge(shape, &books, answer.request_id()?) {
            failures.push(format!("{}: {error:#}", shape.name));
        }
    }
    ensure!(failures.is_empty(), "{} of {}:\n{}", failures.len(), shapes.len(), failures.join("\n"));
    ensure!(shapes.len() >= 200, "only {} shapes", shapes.len());
    PROOF.held(&format!("{} of {} shapes booked to the token", shapes.len(), shapes.len()))
}
