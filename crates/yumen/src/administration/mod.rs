//! The administration API as the command line calls it, by one of three ways that answer alike:
//!
//! 1. over HTTP, when an address is given (`--url`, `YUMEN_URL`), with `ADMIN_TOKEN` or a sign-in;
//! 2. over the socket in the data directory, when a server runs on it;
//! 3. within this process, on the data directory itself, when none does.

mod remote;
mod socket;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use model::Secret;
use serde_json::{Value, json};

use crate::cli::Reach;
use crate::commands::{data, load, secret_file};
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

    fn request(&self) -> Result<Request<Bytes>, Problem> {
        let builder = Request::builder().method(&self.method).uri(&self.path);
        let built = match &self.body {
            Some(body) => {
                let builder = builder.header(http::header::CONTENT_TYPE, "application/json");
                builder.body(Bytes::from(body.to_string()))
            }
            None => builder.body(Bytes::new()),
        };
        built.map_err(|error| Problem::new("cannot ask for that", error.to_string(), "check the names given"))
    }
}

/// The administration API, with the credential that is shown to it.
pub struct Api {
    way: Way,
    /// Empty where none is needed, or none is known yet.
    credential: Secret<String>,
    /// What the person of `--as` signed in with.
    password: Option<Secret<String>>,
}

/// A way to the administration API.
enum Way {
    /// By HTTP.
    Remote(remote::Remote),
    /// By the socket of a running server.
    Socket(socket::Socket),
    /// Within this process.
    Offline(Box<Offline>),
}

impl Api {
    /// Finds the way, and the credential: the token of `--token-file`, a sign-in as the person of `--as`, or for
    /// an address `ADMIN_TOKEN`. The data directory needs none.
    ///
    /// # Errors
    /// The configuration, the credential or the data directory cannot be used.
    pub async fn open(reach: &Reach) -> Result<Self, Problem> {
        let flags = reach.place.data.iter().map(|data| ("data", data.clone())).collect();
        let loaded = load(reach.place.config.as_deref(), flags);
        let settings = loaded.map_err(|mut problems| problems.swap_remove(0))?.settings;
        let way = match &reach.url {
            Some(url) => Way::Remote(remote::Remote::open(url)?),
            None => Way::of_directory(&settings).await?,
        };
        let mut api = Self { way, credential: Secret::new(String::new()), password: None };
        match (&reach.token_file, &reach.sign_in_as) {
            (Some(path), _) => api.credential = secret_file(path)?,
            (None, Some(email)) => {
                if let Err(problem) = api.sign_in(email, reach).await {
                    api.close().await;
                    return Err(problem);
                }
            }
            (None, None) if reach.url.is_some() => {
                api.credential = settings.admin_token.clone().ok_or_else(no_credential)?;
            }
            (None, None) => {}
        }
        Ok(api)
    }

    async fn sign_in(&mut self, email: &str, reach: &Reach) -> Result<(), Problem> {
        let path = reach.password_file.as_ref().ok_or_else(|| {
            Problem::new(
                format!("cannot sign in as {email}"),
                "there is no password",
                "give a file that holds it with --password-file; - reads it from standard input",
            )
        })?;
        let password = secret_file(path)?;
        let mut body = json!({"email": email, "password": password.expose()});
        if let Some(code) = &reach.totp_code {
            body["totp_code"] = json!(code);
        }
        let answer = self.call(&Call::with(Method::POST, "/api/v1/auth/login", body)).await?;
        let token = answer["access_token"].as_str().unwrap_or_default();
        (self.credential, self.password) = (Secret::new(token.to_owned()), Some(password));
        Ok(())
    }

    /// What the person of `--as` signed in with.
    #[must_use]
    pub fn password(&self) -> Option<&Secret<String>> {
        self.password.as_ref()
    }

    /// Whether a running server answers.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !matches!(self.way, Way::Offline(_))
    }

    /// Sends a request and gives the JSON of its answer; `null` when the answer has no body.
    ///
    /// # Errors
    /// The API refused it, or could not be reached.
    pub async fn call(&self, call: &Call) -> Result<Value, Problem> {
        let mut request = call.request()?;
        if !self.credential.expose().is_empty() {
            let value = HeaderValue::from_str(&format!("Bearer {}", self.credential.expose()));
            let mut value = value.map_err(|_| no_credential())?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let (status, body) = match &self.way {
            Way::Remote(remote) => remote.send(request).await?,
            Way::Socket(socket) => socket.send(request).await?,
            Way::Offline(offline) => read(offline.answer(request.map(Full::new)).await).await?,
        };
        let json =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or(Value::Null) };
        if (200..300).contains(&status) { Ok(json) } else { Err(refused(call, status, &json)) }
    }

    /// Closes the way.
    pub async fn close(self) {
        if let Way::Offline(offline) = self.way {
            offline.close().await;
        }
    }
}

impl Way {
    /// The way to the data directory of `settings`, whether or not a server runs on it.
    async fn of_directory(settings: &Settings) -> Result<Self, Problem> {
        data::existing(settings)?;
        match socket::Socket::open(&settings.data).await {
            Some(socket) => Ok(Self::Socket(socket)),
            None => Ok(Self::Offline(Box::new(Offline::open(settings).await?))),
        }
    }
}

fn no_credential() -> Problem {
    Problem::new(
        "cannot ask the server",
        "there is no credential for it",
        "set ADMIN_TOKEN, or give --token-file FILE, or --as EMAIL with --password-file",
    )
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
