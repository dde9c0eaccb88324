//! Calls over HTTP, with the static token or as somebody who signs in.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use egress::{Class, Egress, Origin, Pool, SystemResolver, Target, Timers};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use model::Secret;
use serde_json::json;

use super::{Call, read, refused};
use crate::cli::Reach;
use crate::commands::secret_file;
use crate::config::Settings;
use crate::problem::Problem;

/// How long a command waits for a server: a backup or a rotation of many secrets takes its time.
const PATIENCE: Duration = Duration::from_mins(10);

/// A server somewhere.
pub struct Remote {
    pool: Rc<Pool>,
    target: Target,
    /// Empty while it is not known.
    credential: Secret<String>,
}

impl Remote {
    /// Prepares calls to the server at `url`, with the token of `--token-file` or `ADMIN_TOKEN`, or as the
    /// person of `--as`.
    ///
    /// # Errors
    /// There is no credential, or it is refused.
    pub async fn open(url: &str, reach: &Reach, settings: &Settings) -> Result<Self, Problem> {
        let origin = Origin::parse(url).map_err(|error| {
            Problem::new(
                format!("{url} is not the address of a server"),
                error.to_string(),
                "write it like http://127.0.0.1:8787",
            )
        })?;
        // Who types the address of their own server may mean a private one.
        let target = Target::new(origin, Class::Backend, true);
        let pool = Pool::new(Arc::new(Egress::new(Arc::new(SystemResolver))));
        let mut remote = Self { pool, target, credential: Secret::new(String::new()) };
        let token = match (&reach.token_file, &reach.sign_in_as) {
            (Some(path), _) => secret_file(path)?,
            (None, Some(email)) => remote.sign_in(email, reach).await?,
            (None, None) => settings.admin_token.clone().ok_or_else(no_credential)?,
        };
        remote.credential = token;
        Ok(remote)
    }

    async fn sign_in(&self, email: &str, reach: &Reach) -> Result<Secret<String>, Problem> {
        let path = reach.password_file.as_ref().ok_or_else(|| {
            Problem::new(
                format!("cannot sign in as {email}"),
                "there is no password",
                "give a file that holds it with --password-file; - reads it from standard input",
            )
        })?;
        let password = secret_file(path)?;
        let body = json!({"email": email, "password": password.expose()});
        let call = Call::with(Method::POST, "/api/v1/auth/login", body);
        let (status, body) = self.send(call.request()?).await?;
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        match answer["access_token"].as_str() {
            Some(token) => Ok(Secret::new(token.to_owned())),
            None => Err(refused(&call, status, &answer)),
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<(u16, Bytes), Problem> {
        if !self.credential.expose().is_empty() {
            let value = HeaderValue::from_str(&format!("Bearer {}", self.credential.expose()));
            let mut value = value.map_err(|_| no_credential())?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let timers = Timers { first_byte: PATIENCE, idle: PATIENCE, ..Timers::standard() };
        let response = self.pool.send(&self.target, request, &timers).await.map_err(|error| {
            Problem::new(
                format!("cannot reach the server at {}", self.target.origin),
                error.to_string(),
                "check the address given with --url, and that the server runs",
            )
        })?;
        read(response).await
    }
}

fn no_credential() -> Problem {
    Problem::new(
        "cannot ask the server",
        "there is no credential for it",
        "set ADMIN_TOKEN, or give --token-file FILE, or --as EMAIL with --password-file",
    )
}
