//! Recorded exchanges of real providers, read at run time from the corpus folder and never copied here.
//!
//! It turns a recording into what a test needs: the request as a caller of this gateway sends it, the
//! answer's bytes as an upstream sends them, and the usage that the answer states.

use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::surface::{self, Surface};

/// The folders of the corpus that hold exchanges of our surfaces.
const FOLDERS: [&str; 7] = [
    "anthropic-messages",
    "azure-openai",
    "openai-chat",
    "openai-compat",
    "openai-completions",
    "openai-embeddings",
    "openai-other",
];

/// One recorded exchange, ready to be replayed.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its id in the corpus.
    pub id: String,
    /// The provider that was recorded.
    pub vendor: String,
    /// Our endpoint of the same kind.
    pub surface: Surface,
    /// Whether the answer is an event stream.
    pub stream: bool,
    /// The caller's body, its model replaced by the id.
    pub request: Value,
    /// Whether the recording has a request; if not, `request` is a minimal one.
    pub has_request: bool,
    /// The model that the recorded request names.
    pub model: String,
    /// The answer's status.
    pub status: u16,
    /// The answer's `content-type`.
    pub content_type: String,
    /// The answer's body.
    pub body: Bytes,
    /// What is special about it.
    pub features: Vec<String>,
}

/// What reading the corpus gave.
#[derive(Debug, Default)]
pub struct Corpus {
    /// What can be replayed.
    pub exchanges: Vec<Exchange>,
    /// Recordings of endpoints that are not ours, by id and path.
    pub skipped: Vec<String>,
}

#[derive(Deserialize)]
struct Index {
    items: Vec<IndexItem>,
}

#[derive(Deserialize)]
struct IndexItem {
    file: String,
    dialect: String,
}

#[derive(Deserialize)]
struct Recording {
    id: String,
    vendor: String,
    model: Option<String>,
    features: Vec<String>,
    request: Option<RecordedRequest>,
    response: RecordedResponse,
}

#[derive(Deserialize)]
struct RecordedRequest {
    path: String,
    body: Option<Value>,
}

#[derive(Deserialize)]
struct RecordedResponse {
    status: u16,
    #[serde(default)]
    headers: serde_json::Map<String, Value>,
    body: Option<Box<RawValue>>,
    sse: Option<String>,
}

/// Reads every recording of our surfaces.
///
/// # Errors
/// When a file is missing or is not what the corpus says it is.
pub fn read(folder: &Path) -> Result<Corpus> {
    let index: Index = serde_json::from_slice(&std::fs::read(folder.join("index.json"))?)?;
    let mut corpus = Corpus::default();
    for item in index.items.iter().filter(|item| FOLDERS.contains(&item.dialect.as_str())) {
        let text = std::fs::read(folder.join(&item.file)).with_context(|| item.file.clone())?;
        let recording: Recording = serde_json::from_slice(&text).with_context(|| item.file.clone())?;
        let path = recording.request.as_ref().map_or("", |request| request.path.as_str()).to_owned();
        match surface_of(&item.dialect, &path) {
            Some(surface) => corpus.exchanges.push(exchange(recording, surface)),
            None => corpus.skipped.push(format!("{} ({path})", recording.id)),
        }
    }
    Ok(corpus)
}

/// Our endpoint for a recorded path; `None` for endpoints of others.
fn surface_of(dialect: &str, path: &str) -> Option<Surface> {
    let path = path.split('?').next().unwrap_or_default();
    let ends = |end: &str| path.ends_with(end);
    match dialect {
        "anthropic-messages" if path.is_empty() || path == "/v1/messages" => Some(surface::MESSAGES),
        "anthropic-messages" if path == "/v1/messages/count_tokens" => Some(surface::COUNT_TOKENS),
        "openai-completions" if ends("/completions") => Some(surface::COMPLETIONS),
        "openai-embeddings" if ends("/embeddings") => Some(surface::EMBEDDINGS),
        "openai-other" if ends("/moderations") => Some(surface::MODERATIONS),
        "openai-chat" | "openai-compat" | "azure-openai" if path.is_empty() || ends("/chat/completions") => {
            Some(surface::CHAT)
        }
        _ => None,
    }
}

fn exchange(recording: Recording, surface: Surface) -> Exchange {
    let stream = recording.response.sse.is_some();
    let recorded = recording.request.and_then(|request| request.body).filter(Value::is_object);
    let has_request = recorded.is_some();
    let mut request = recorded.unwrap_or_else(|| surface.request("", stream));
    let named = request["model"].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
    let model = named.or(recording.model).unwrap_or_default();
    request["model"] = Value::String(recording.id.clone());
    let (body, kind) = match (recording.response.sse, recording.response.body) {
        (Some(events), _) => (Bytes::from(events), "text/event-stream"),
        (None, body) => {
            let text = body.map_or_else(String::new, |body| body.get().to_owned());
            (Bytes::from(text), "application/json")
        }
    };
    let content_type = recording.response.headers.get("content-type").and_then(Value::as_str).unwrap_or(kind);
    Exchange {
        id: recording.id,
        vendor: recording.vendor,
        surface,
        stream,
        request,
        has_request,
        model,
        status: recording.response.status,
        content_type: content_type.to_owned(),
        body,
        features: recording.features,
    }
}
