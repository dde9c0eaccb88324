//! The debugging paths that the manuals of earlier gateways name, on the operator's listener:
//! `/tool/setLogLevel`, `/mosng/config`, `/mosng/config/query`, `/console/config`.
//!
//! They ask for no credential, so they show no secret, change nothing but the log level, and answer only
//! requests that were addressed to this machine by a loopback name: a page in a browser on it cannot reach
//! them through a name of its own.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use model::resource::Account;
use model::resource::key::DEFAULT_TENANT;
use model::{Clock as _, Code, Rejection, RequestId};
use proxy::ControlBody;
use serde_json::{Value, json};
use store::{Note, Scope, Store};
use telemetry::log::LevelHandle;

use crate::config::{Given, SETTINGS};
use crate::system_clock::SystemClock;

/// What stands in a secret's place.
const SECRET: &str = "(secret)";

/// A path of a manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    SetLogLevel,
    Config,
    Query,
}

const PATHS: [(&str, Path); 4] = [
    ("/tool/setLogLevel", Path::SetLogLevel),
    ("/mosng/config", Path::Config),
    ("/mosng/config/query", Path::Query),
    ("/console/config", Path::Config),
];

/// Whether `path` is one of them.
#[must_use]
pub fn names(path: &str) -> bool {
    PATHS.iter().any(|(known, _)| *known == path)
}

/// What these paths show and change.
#[derive(Clone)]
pub struct ManualPaths {
    settings: Arc<Vec<Value>>,
    store: Arc<Store>,
    log: LevelHandle,
}

impl ManualPaths {
    /// Shows what was set at the start and what is stored now.
    #[must_use]
    pub fn new(given: &[Given], store: &Arc<Store>, log: &LevelHandle) -> Self {
        let settings = given.iter().map(|given| {
            let is_secret = SETTINGS.iter().any(|setting| setting.name == given.name && setting.secret);
            let value = if is_secret { SECRET } else { given.text.expose().as_str() };
            json!({"name": given.name, "value": value, "place": given.place})
        });
        Self { settings: Arc::new(settings.collect()), store: Arc::clone(store), log: log.clone() }
    }

    /// Answers a request to one of the paths.
    pub async fn answer(&self, request: &Request<()>, request_id: RequestId) -> Response<ControlBody> {
        let answered = match check(request) {
            Ok(()) => self.answer_path(request.uri(), request_id).await,
            Err(rejection) => Err(rejection),
        };
        match answered {
            Ok(value) => response(StatusCode::OK, &value),
            Err(rejection) => refused(&rejection, request_id),
        }
    }

    async fn answer_path(&self, uri: &Uri, request_id: RequestId) -> Result<Value, Rejection> {
        let query = uri.query().unwrap_or("");
        match PATHS.iter().find(|(path, _)| *path == uri.path()) {
            Some((_, Path::SetLogLevel)) => self.set_level(query, request_id).await,
            Some((_, Path::Config)) => self.config().await,
            Some((_, Path::Query)) => Ok(chosen(&self.config().await?, query)),
            None => Err(Rejection::new(Code::NotFound)),
        }
    }

    async fn set_level(&self, query: &str, request_id: RequestId) -> Result<Value, Rejection> {
        let level = parameter(query, "level").unwrap_or_default();
        let lower = level.to_ascii_lowercase();
        // As log levels are called elsewhere.
        let name = match lower.as_str() {
            "warning" => "warn",
            "fatal" | "critical" => "error",
            other => other,
        };
        let refuse =
            |error: String| Rejection::because(Code::InvalidRequest, format!("{error}.")).at("level");
        self.log.set(name).map_err(|error| refuse(error.to_string()))?;
        tracing::info!(target: "audit", actor = "operator", verb = "log-level.set", object = name, "audit");
        // As the change by the API has it, whoever made it.
        let note = Note::new("settings.log-level", SystemClock.now_ms());
        note.object("log-level");
        note.request(request_id.to_string(), None);
        let scope = Scope::new(DEFAULT_TENANT, "operator").noted(&note);
        if let Err(error) = self.store.write_audit(&scope).await {
            tracing::error!(cause = %error, "a change of the log level is not in the audit log");
        }
        Ok(json!({"ok": true, "level": name.to_ascii_uppercase()}))
    }

    async fn config(&self) -> Result<Value, Rejection> {
        let stored = self.store.configuration().await;
        let stored = stored.map_err(|error| *control::answer::Refusal::from(error).0)?;
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "revision": stored.revision,
            "settings": *self.settings,
            "accounts": stored.accounts.iter().map(|account| shown(account)).collect::<Vec<_>>(),
            "groups": stored.groups.iter().map(|group| &group.id).collect::<Vec<_>>(),
            "tenants": stored.tenants.iter().map(|tenant| &tenant.id).collect::<Vec<_>>(),
            "keys": stored.keys.len(),
            "prices": stored.prices.len(),
        }))
    }
}

/// A refusal in the gateway's own envelope.
pub fn refused(rejection: &Rejection, request_id: RequestId) -> Response<ControlBody> {
    let info = rejection.code.info();
    let body = json!({"code": info.name, "message": rejection.message,
        "source": rejection.blame.name(), "trace_id": request_id.to_string(), "hint": info.hint});
    response(StatusCode::from_u16(info.http).unwrap_or(StatusCode::BAD_REQUEST), &body)
}

/// An account without its credential.
fn shown(account: &Account) -> Value {
    json!({
        "id": account.id,
        "name": account.name,
        "provider": account.provider,
        "base_url": account.base_url,
        "credential": account.credential.as_ref().map(|_| SECRET),
        "models": account.models,
        "priority": account.priority,
        "weight": account.weight,
        "concurrency": account.concurrency,
        "enabled": account.enabled,
        "group_id": account.group_id,
        "family": account.family,
        "tenant_id": account.tenant_id,
    })
}

/// The settings and accounts whose name has the text of `name=` (or `key=`) in it; all without one.
fn chosen(config: &Value, query: &str) -> Value {
    let wanted = parameter(query, "name").or_else(|| parameter(query, "key")).unwrap_or_default();
    let matching = |list: &Value| -> Vec<Value> {
        let items = list.as_array().map_or(&[][..], Vec::as_slice);
        items
            .iter()
            .filter(|item| item["name"].as_str().is_some_and(|name| name.contains(wanted)))
            .cloned()
            .collect()
    };
    json!({"settings": matching(&config["settings"]), "accounts": matching(&config["accounts"])})
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn check<B>(request: &Request<B>) -> Result<(), Rejection> {
    if request.method() != Method::GET {
        return Err(Rejection::new(Code::MethodNotAllowed));
    }
    if !is_addressed_here(request.headers()) {
        let message = "This path answers only requests whose Host is a loopback address or localhost.";
        return Err(Rejection::because(Code::ScopeDenied, message));
    }
    Ok(())
}

/// Whether the `Host` is one by which only this machine can be meant.
fn is_addressed_here(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let host = host.to_str().unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn response(status: StatusCode, body: &Value) -> Response<ControlBody> {
    let body = Full::from(body.to_string()).map_err(|never: std::convert::Infallible| match never {});
    let mut response = Response::new(ControlBody::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_answered() {
        for (host, here) in [
            ("127.0.0.1:8788", true),
            ("localhost", true),
            ("LOCALHOST:8788", true),
            ("[::1]:8788", true),
            ("127.8.8.8", true),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:8788", false),
            ("evil.example", false),
            ("10.0.0.1:8788", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            assert_eq!(is_addressed_here(&headers), here, "{host}");
        }
        assert!(!is_addressed_here(&HeaderMap::new()));
    }

    #[test]
    fn a_query_chooses_by_name() {
        let config =
            json!({"settings": [{"name": "listen"}, {"name": "log.level"}], "accounts": [{"name": "a"}]});
        assert_eq!(chosen(&config, "name=log")["settings"], json!([{"name": "log.level"}]));
        assert_eq!(chosen(&config, "")["accounts"], json!([{"name": "a"}]));
    }
}
