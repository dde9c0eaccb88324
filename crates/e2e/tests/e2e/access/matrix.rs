//! T50 for the data plane: every endpoint under every name × every kind of caller × every way to carry a credential,
//! against a golden table. A new endpoint or alias without a row fails. The control plane has its own table.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use testkit::admin::{Admin, unlimited};
use testkit::gateway::Options;
use testkit::http::{Request, call};
use testkit::trust::Proof;
use testkit::wait;

use crate::signing::{Signer, now};
use crate::stage::{IN_FORCE, Stage, in_seconds};

const PROOF: Proof = Proof::new(
    "T50-data",
    "R10",
    "Every endpoint of the data plane, under every name, lets exactly those in whom the golden table names, for \
     every kind of caller and every carrier of a credential",
);

const ADMIN_TOKEN: &str = "matrix-0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "correct horse battery";
const ROLES: [&str; 6] = ["owner", "admin", "operator", "billing", "viewer", "user"];

/// The last two carry nothing here; `signed` is `hmac-v1`.
const CARRIERS: [&str; 9] =
    ["bearer", "x-api-key", "x-goog-api-key", "api-key", "x-trial-key", "query", "signed", "cookie", "basic"];

/// Where the golden table is, below the crate.
const GOLDEN: &str = "tests/e2e/access/data_plane.csv";

/// A kind of caller: what they present, and what they sign with.
#[derive(Clone)]
struct Actor {
    name: &'static str,
    credential: Option<String>,
    signer: Option<Signer>,
}

impl Actor {
    fn holding(name: &'static str, credential: &str) -> Self {
        Self { name, credential: Some(credential.to_owned()), signer: None }
    }

    /// The holder of a new key without limits.
    async fn with_key(stage: &Stage, name: &'static str, more: Value) -> Result<(Self, String)> {
        let mut body = json!({"name": name, "rate_limit": unlimited()});
        for (field, value) in more.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        let shown = stage.admin.post("api-keys", &body).await?;
        let text = |field: &str| shown[field].as_str().with_context(|| format!("no {field}: {shown}"));
        let signer = shown["signing_secret"].is_string().then(|| Signer::of(&shown)).transpose()?;
        let actor = Self { signer, ..Self::holding(name, text("key")?) };
        Ok((actor, text("id")?.to_owned()))
    }

    /// A request without a body worth mentioning, with what this actor presents.
    fn request(&self, method: &str, path: &str, carrier: &str, number: usize) -> Request {
        let body = if method == "POST" { "{}" } else { "" };
        let Some(credential) = &self.credential else { return bare(method, path, body) };
        let target = if carrier == "query" { format!("{path}?key={credential}") } else { path.to_owned() };
        let request = bare(method, &target, body);
        let stated = now(&format!("{}-{number}", self.name));
        match (carrier, &self.signer) {
            ("bearer", _) => request.bearer(credential),
            ("query", _) => request,
            ("cookie", _) => request.header("cookie", &format!("access_token={credential}")),
            ("basic", _) => request.header("authorization", &format!("Basic {credential}")),
            ("signed", Some(signer)) => signer.sign(request, body, &stated),
            ("signed", None) => {
                request.header("x-api-key", credential).header("x-signature", &"0".repeat(64))
            }
            _ => request.header(carrier, credential),
        }
    }
}

fn bare(method: &str, target: &str, body: &str) -> Request {
    let request = Request::new(method, target).body(body.to_owned());
    if body.is_empty() { request } else { request.header("content-type", "application/json") }
}

async fn key_holders(stage: &Stage) -> Result<Vec<Actor>> {
    let signing = |more: Value| {
        let mut body = json!({"signing": "hmac-v1", "bearer": true});
        for (field, value) in more.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        body
    };
    stage.admin.create_tenant("acme", &json!({"name": "Acme"})).await?;
    let mut actors = vec![Actor::holding("bad", "sk-ym-nobody-has-this-key")];
    for (name, more) in [
        ("key", signing(json!({}))),
        ("signing-key", signing(json!({"bearer": false}))),
        ("trial-key", json!({"kind": "trial"})),
        ("internal-key", signing(json!({"kind": "internal"}))),
        ("other-tenant", signing(json!({"tenant_id": "acme"}))),
    ] {
        actors.push(Actor::with_key(stage, name, more).await?.0);
    }
    let (expired, _) =
        Actor::with_key(stage, "expired", signing(json!({"expires_at": in_seconds(1)}))).await?;
    let (revoked, id) = Actor::with_key(stage, "revoked", signing(json!({}))).await?;
    stage.admin.post(&format!("api-keys/{id}/revoke"), &json!({})).await?;
    for (actor, code) in [(&expired, "API_KEY_EXPIRED"), (&revoked, "API_KEY_REVOKED")] {
        let request = actor.request("GET", "/v1/models", "bearer", 0);
        wait::until(code, IN_FORCE * 3, async || {
            Ok((stage.gateway.call(&request).await?.code() == Some(code)).then_some(()))
        })
        .await?;
    }
    actors.extend([expired, revoked]);
    Ok(actors)
}

/// Holders of access tokens, and of the administration token.
async fn token_holders(stage: &Stage, internal: &Actor) -> Result<Vec<Actor>> {
    let address = stage.gateway.address();
    let mut actors = Vec::new();
    let signed_in = async |email: &str, role: &str| -> Result<(Admin, String)> {
        let body = json!({"email": email, "password": PASSWORD, "role": role, "balance": "0"});
        let id = stage.admin.create_user(&body).await?;
        Ok((Admin::sign_in(address, email, PASSWORD).await?, id))
    };
    for role in ROLES {
        let (admin, _) = signed_in(&format!("{role}@example.com"), role).await?;
        actors.push(Actor::holding(role, admin.token()));
    }
    let (gone, id) = signed_in("gone@example.com", "user").await?;
    stage.admin.send("DELETE", &format!("users/{id}"), None).await?;
    let gone = Actor::holding("disabled-user", gone.token());
    let request = gone.request("GET", "/internal/v1/models", "bearer", 0);
    wait::until("the user to be out", IN_FORCE * 3, async || {
        Ok((stage.gateway.call(&request).await?.status() == 401).then_some(()))
    })
    .await?;
    actors.push(gone);
    let exchange = internal.request("POST", "/api/v1/auth/token", "bearer", 0);
    let exchanged = call(address, &exchange).await?.json();
    let token = exchanged["access_token"].as_str().context("the key is not exchanged")?;
    actors.push(Actor::holding("exchanged", token));
    actors.push(Actor::holding("admin-token", ADMIN_TOKEN));
    Ok(actors)
}

/// What an actor is told at every endpoint, by every carrier.
async fn column(address: String, routes: Vec<(String, String)>, actor: Actor) -> Result<Vec<String>> {
    let mut cells = Vec::with_capacity(routes.len() * CARRIERS.len());
    for (method, path) in &routes {
        for carrier in CARRIERS {
            let request = actor.request(method, path, carrier, cells.len() + 1);
            let answer =
                call(&address, &request).await.with_context(|| format!("{method} {path} {carrier}"))?;
            let refused = [401, 403].contains(&answer.status());
            let code = answer.code().unwrap_or("no code");
            cells.push(if refused { code.to_owned() } else { "in".to_owned() });
        }
    }
    Ok(cells)
}

/// What an endpoint answers to whom: the carriers that are told the same, and what each actor is told.
type Answers<'a> = Vec<(Vec<&'static str>, Vec<&'a str>)>;

fn answers(columns: &[Vec<String>], endpoint: usize) -> Answers<'_> {
    let mut answers: Answers = Vec::new();
    for (index, carrier) in CARRIERS.into_iter().enumerate() {
        let at = endpoint * CARRIERS.len() + index;
        let cells: Vec<&str> = columns.iter().map(|column| column[at].as_str()).collect();
        match answers.iter_mut().find(|(_, known)| *known == cells) {
            Some((carriers, _)) => carriers.push(carrier),
            None => answers.push((vec![carrier], cells)),
        }
    }
    answers
}

/// The table as text, in two parts: what is answered, each kind once and named after the first endpoint that answers
/// so; then every endpoint with the one that it answers like.
fn table(routes: &[(String, String)], names: &[&str], columns: &[Vec<String>]) -> Result<String> {
    let mut table = format!("like,carriers,{}\n", names.join(","));
    let mut endpoints = "\nmethod,path,like\n".to_owned();
    let mut known: Vec<(String, Answers)> = Vec::new();
    for (at, (method, path)) in routes.iter().enumerate() {
        let seen = answers(columns, at);
        let like = match known.iter().find(|(_, answers)| *answers == seen) {
            Some((like, _)) => like.clone(),
            None => {
                let like = format!("{method} {path}");
                for (carriers, cells) in &seen {
                    writeln!(table, "{like},{},{}", carriers.join(" "), cells.join(","))?;
                }
                known.push((like.clone(), seen));
                like
            }
        };
        writeln!(endpoints, "{method},{path},{like}")?;
    }
    Ok(table + &endpoints)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_lets_exactly_those_in_whom_the_golden_table_names() -> Result<()> {
    let options = Options::demo().env("ADMIN_TOKEN", ADMIN_TOKEN).env("RATE_LIMIT_INTERNAL_RPM", "unlimited");
    let stage = Stage::start(options).await?;
    let mut actors = vec![Actor { name: "anonymous", credential: None, signer: None }];
    actors.extend(key_holders(&stage).await?);
    let internal = actors.iter().find(|actor| actor.name == "internal-key").context("no internal key")?;
    let holders = token_holders(&stage, internal).await?;
    actors.extend(holders);
    let listed = proxy::listed_routes().into_iter();
    let routes: Vec<(String, String)> = listed.map(|(method, path)| (method.to_string(), path)).collect();
    let running: Vec<_> = actors
        .iter()
        .map(|actor| tokio::spawn(column(stage.gateway.address().to_owned(), routes.clone(), actor.clone())))
        .collect();
    let mut columns = Vec::new();
    for (task, actor) in running.into_iter().zip(&actors) {
        columns.push(task.await?.context(actor.name)?);
    }
    let names: Vec<&str> = actors.iter().map(|actor| actor.name).collect();
    let seen = table(&routes, &names, &columns)?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if seen != golden {
        let kept = std::env::temp_dir().join("yumen-data-plane.csv");
        std::fs::write(&kept, &seen)?;
        let differs = seen.lines().find(|line| !golden.lines().any(|known| known == *line));
        bail!("{GOLDEN} does not say {differs:?}; if it should, take {}", kept.display());
    }
    PROOF.held(&format!(
        "{} endpoints × {} kinds of callers × {} carriers: {} answers as the table says",
        routes.len(),
        actors.len(),
        CARRIERS.len(),
        routes.len() * actors.len() * CARRIERS.len()
    ))
}
