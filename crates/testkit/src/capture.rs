//! Requests that real clients were captured sending, read at run time from the corpus folder and never
//! copied here.

use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::http::Request;

/// Headers that a gateway sees anew on each hop, or that the test sets itself.
const NOT_REPLAYED: [&str; 7] = [
    "host",
    "connection",
    "content-length",
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "transfer-encoding",
];

/// One captured request.
#[derive(Clone, Debug)]
pub struct Capture {
    /// Its place in the corpus (`claude-code/002`).
    pub id: String,
    /// The program that sent it.
    pub client: String,
    /// Its method.
    pub method: String,
    /// Its path, query included.
    pub path: String,
    /// Its headers as sent.
    pub headers: Vec<(String, String)>,
    /// Its body, as the capture keeps it.
    pub body: Bytes,
    /// Whether it asks for a web socket.
    pub websocket: bool,
}

#[derive(Deserialize)]
struct Index {
    items: Vec<IndexItem>,
}

#[derive(Deserialize)]
struct IndexItem {
    file: String,
    client: String,
    #[serde(default)]
    websocket: bool,
}

#[derive(Deserialize)]
struct File {
    request: Captured,
}

#[derive(Deserialize)]
struct Captured {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Box<RawValue>>,
}

impl Capture {
    /// The body as JSON; null when there is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The model that it asks for: of the body, or of the path at Google.
    #[must_use]
    pub fn model(&self) -> Option<String> {
        let named = self.json()["model"].as_str().map(str::to_owned);
        let of_path = || {
            let (_, rest) = self.path.split_once("/models/")?;
            Some(rest.split([':', '?']).next()?.to_owned())
        };
        named.or_else(of_path)
    }

    /// The request as it is sent again, with `key` where the client had its own, in the same carrier.
    #[must_use]
    pub fn request(&self, key: &str) -> Request {
        let mut request = Request::new(&self.method, &self.path).body(self.body.clone());
        for (name, value) in &self.headers {
            let lower = name.to_ascii_lowercase();
            match lower.as_str() {
                "authorization" => request = request.header(name, &format!("Bearer {key}")),
                "x-api-key" | "x-goog-api-key" => request = request.header(name, key),
                other if NOT_REPLAYED.contains(&other) => {}
                _ => request = request.header(name, value),
            }
        }
        request
    }

    /// The headers that the client set for its provider, not for the hop or for authentication.
    pub fn own_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let hop = |name: &str| {
            let lower = name.to_ascii_lowercase();
            NOT_REPLAYED.contains(&lower.as_str()) || lower == "accept-encoding"
        };
        let all = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(move |(name, _)| !hop(name))
    }
}

/// Reads every captured request.
///
/// # Errors
/// When a file is missing or is not what the corpus says it is.
pub fn read(folder: &Path) -> Result<Vec<Capture>> {
    let folder = folder.join("clients");
    let index: Index = serde_json::from_slice(&std::fs::read(folder.join("index.json"))?)?;
    let mut captures = Vec::with_capacity(index.items.len());
    for item in index.items {
        let name = item.file.strip_prefix("clients/").unwrap_or(&item.file);
        let text = std::fs::read(folder.join(name)).with_context(|| item.file.clone())?;
        let file: File = serde_json::from_slice(&text).with_context(|| item.file.clone())?;
        let body = file.request.body.filter(|body| body.get() != "null");
        captures.push(Capture {
            id: name.trim_end_matches(".json").to_owned(),
            client: item.client,
            method: file.request.method,
            path: file.request.path,
            headers: file.request.headers,
            body: body.map_or_else(Bytes::new, |body| Bytes::from(body.get().to_owned())),
            websocket: item.websocket,
        });
    }
    Ok(captures)
}
