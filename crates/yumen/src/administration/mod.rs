//! The administration API as the command line calls it, by one of three ways that answer alike:
//!
//! 1. over HTTP, when an address is given (`--url`, `YUMEN_URL`), with `ADMIN_TOKEN` or a sign-in;
//! 2. over the socket in the data directory, when a server runs on it;
//! 3. within this process, on the data directory itself, when none does.

mod remote;
mod socket;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;

use crate::cli::Reach;
use crate::commands::{data, load};
use crate::config::Settings;
use crate::problem::Problem;
use crate::wiring::offline::Offline;

/// The most bytes of an answer that are read: a page of 200 records with their attempts is below 2 MiB.
const LARGEST_ANSWER: usize = 64 << 20;

/// A request to the administration API.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: String,
    /// The body.
    pub body: Option<Value>,
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None }
    }

    /// A request with a body.
    pub fn with(method: Method, path: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(method, path) }
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, Problem> {
        let builder = Request::builder().method(&self.method).uri(&self.path);
        let built = match &self.body {
            Some(body) => {
                let builder = builder.header(http::header::CONTENT_TYPE, "application/json");
                builder.body(Full::from(body.to_string()))
            }
            None => builder.body(Full::default()),
        };
        built.map_err(|error| Problem::new("cannot ask for that", error.to_string(), "check the names given"))
    }
}

/// A way to the administration API.
pub enum Api {
    /// By HTTP.
    Remote(remote::Remote),
    /// By the socket of a running server.
    Socket(socket::Socket),
    /// Within this process.
    Offline(Box<Offline>),
}

impl Api {
    /// Finds the way.
    ///
    /// # Errors
    /// The configuration, the credential or the data directory cannot be used.
    pub async fn open(reach: &Reach) -> Result<Self, Problem> {
        let flags = reach.place.data.iter().map(|data| ("data", data.clone())).collect();
        let loaded = load(reach.place.config.as_deref(), flags);
        let settings = loaded.map_err(|mut problems| problems.swap_remove(0))?.settings;
        match &reach.url {
            Some(url) => Ok(Self::Remote(remote::Remote::open(url, reach, &settings).await?)),
            None => Self::of_directory(&settings).await,
        }
    }

    /// The way to the data directory of `settings`, whether or not a server runs on it.
    ///
    /// # Errors
    /// There is no data, or another process holds it.
    pub async fn of_directory(settings: &Settings) -> Result<Self, Problem> {
        data::existing(&settings.data)?;
        match socket::Socket::open(&settings.data).await {
            Some(socket) => Ok(Self::Socket(socket)),
            None => Ok(Self::Offline(Box::new(Offline::open(settings).await?))),
        }
    }

    /// Whether a running server answers.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !matches!(self, Self::Offline(_))
    }

    /// Sends a request and gives the JSON of its answer; `null` when the answer has no body.
    ///
    /// # Errors
    /// The API refused it, or could not be reached.
    pub async fn call(&self, call: &Call) -> Result<Value, Problem> {
        let request = call.request()?;
        let (status, body) = match self {
            Self::Remote(remote) => remote.send(request).await?,
            Self::Socket(socket) => socket.send(request).await?,
            Self::Offline(offline) => read(offline.answer(request).await).await?,
        };
        let json =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or(Value::Null) };
        if (200..300).contains(&status) { Ok(json) } else { Err(refused(call, status, &json)) }
    }

    /// Closes the way.
    pub async fn close(self) {
        if let Self::Offline(offline) = self {
            offline.close().await;
        }
    }
}

/// Reads an answer whole.
async fn read<B>(response: http::Response<B>) -> Result<(u16, Bytes), Problem>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let status = response.status().as_u16();
    let body = http_body_util::Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
    match body {
        Ok(body) => Ok((status, body.to_bytes())),
        Err(error) => Err(Problem::new("the answer was cut off", error.to_string(), "try again")),
    }
}

/// A refusal in the native envelope, in the three parts of a problem.
fn refused(call: &Call, status: u16, json: &Value) -> Problem {
    let text = |name: &str| json[name].as_str().filter(|text| !text.is_empty());
    let path = call.path.split('?').next().unwrap_or_default();
    let code = text("code").map_or_else(|| status.to_string(), str::to_owned);
    Problem::new(
        text("message").map_or_else(|| format!("{} {path} was refused", call.method), str::to_owned),
        format!("{code} ({} {path})", call.method),
        text("hint").unwrap_or("see `--help` of the command, and the log of the server"),
    )
}
