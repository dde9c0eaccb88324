//! T65: whatever callers write where a text is read becomes no SQL, breaks nothing and holds nobody up.
//!
//! That no SQL is put together from texts, `cargo xtask tidy` sees to.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use testkit::environment::nightly;
use testkit::gateway::{Options, Turn};
use testkit::http::{Connection, Request};
use testkit::surface::CHAT;
use testkit::trust::Proof;

use super::payloads::{encoded, payloads, printable};
use crate::stage::Stage;

const PROOF: Proof = Proof::new(
    "T65",
    "R13",
    "500 texts that are SQL elsewhere, in every text of every body, path, filter and credential: none is answered 5xx \
     or takes more than 100 ms",
);

/// The longest that an answer may take.
const LIMIT: Duration = Duration::from_millis(100);
/// Passwords are hashed slowly on purpose.
const SLOW: [&str; 3] = ["/auth/login", "/auth/totp", "password"];

/// A place where a text is read, and the request that puts one there.
struct Place {
    name: String,
    make: Box<dyn Fn(&str) -> Request + Send>,
}

impl Place {
    fn new(name: String, make: impl Fn(&str) -> Request + Send + 'static) -> Self {
        Self { name, make: Box::new(make) }
    }
}

/// The schema that `place` is or refers to.
fn schema<'a>(document: &'a Value, place: &'a Value) -> &'a Value {
    match place["$ref"].as_str() {
        Some(name) => &document["components"]["schemas"][name.rsplit('/').next().unwrap_or_default()],
        None => place,
    }
}

fn is_text(schema: &Value) -> bool {
    schema["type"] == "string"
        || schema["type"].as_array().is_some_and(|types| types.contains(&json!("string")))
}

/// Something that a schema allows, as far as that is simple.
fn sample(document: &Value, place: &Value) -> Value {
    let schema = schema(document, place);
    match (&schema["enum"][0], schema["type"].as_str()) {
        (first, _) if !first.is_null() => first.clone(),
        (_, Some("string")) => json!("x@example.org"),
        (_, Some("integer")) => json!(1),
        (_, Some("boolean")) => json!(true),
        (_, Some("array")) => json!([]),
        (_, Some("object")) => body(document, schema, None),
        _ => Value::Null,
    }
}

/// A body with all that is required, and with `text` for one of its fields.
fn body(document: &Value, schema: &Value, text: Option<(&str, &str)>) -> Value {
    let mut body = Map::new();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        body.insert(name.to_owned(), sample(document, &schema["properties"][name]));
    }
    if let Some((field, text)) = text {
        body.insert(field.to_owned(), json!(text));
    }
    Value::Object(body)
}

/// Every place of one operation: its path, its filters, the texts of its body.
fn places_of(document: &Value, (method, path): (&str, &str), operation: &Value, token: &str) -> Vec<Place> {
    let schema = schema(document, &operation["requestBody"]["content"]["application/json"]["schema"]).clone();
    let (method, token) = (method.to_uppercase(), token.to_owned());
    let filled = path.replace("{model}", "gpt-5").replace("{id}", &"a".repeat(26));
    let whole = schema.is_object().then(|| body(document, &schema, None));
    let send = move |target: &str, body: Option<&Value>| {
        let request = Request::new(&method, target).bearer(&token);
        match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        }
    };
    let mut places = Vec::new();
    if path.contains('{') {
        let (send, whole, pattern) = (send.clone(), whole.clone(), path.to_owned());
        places.push(Place::new(format!("{path} in the path"), move |text| {
            let target = pattern.replace("{model}", &encoded(text)).replace("{id}", &encoded(text));
            send(&target, whole.as_ref())
        }));
    }
    for filter in operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query")
    {
        let (send, filled) = (send.clone(), filled.clone());
        let name = filter["name"].as_str().unwrap_or_default().to_owned();
        places.push(Place::new(format!("{path}?{name}"), move |text| {
            send(&format!("{filled}?{name}={}", encoded(text)), None)
        }));
    }
    for (field, inner) in schema["properties"].as_object().into_iter().flatten() {
        if is_text(super::sql::schema(document, inner)) {
            let (send, filled, field) = (send.clone(), filled.clone(), field.clone());
            let (document, schema) = (document.clone(), schema.clone());
            places.push(Place::new(format!("{path} {field}"), move |text| {
                send(&filled, Some(&body(&document, &schema, Some((&field, text)))))
            }));
        }
    }
    places
}

/// Where credentials and models are read.
fn places_of_callers(key: &str) -> Vec<Place> {
    let chat = || Request::post(CHAT.path, CHAT.request("demo-chat", false).to_string());
    let mut places = Vec::new();
    for name in ["authorization", "x-api-key", "x-goog-api-key", "api-key", "x-trial-key", "cookie"] {
        places.push(Place::new(format!("header {name}"), move |text| chat().header(name, &printable(text))));
    }
    for name in ["traceparent", "user-agent", "idempotency-key", "x-forwarded-for", "x-request-id"] {
        let key = key.to_owned();
        places.push(Place::new(format!("header {name}"), move |text| {
            chat().bearer(&key).header(name, &printable(text))
        }));
    }
    places.push(Place::new("bearer".to_owned(), move |text| chat().bearer(&printable(text))));
    places.push(Place::new("bearer of an administrator".to_owned(), |text| {
        Request::get("/api/v1/admin/users").bearer(&printable(text))
    }));
    places.push(Place::new("key in the query".to_owned(), |text| {
        Request::get(&format!("/v1/models?key={}", encoded(text)))
    }));
    let (one, other) = (key.to_owned(), key.to_owned());
    places.push(Place::new("model".to_owned(), move |text| {
        Request::post(CHAT.path, CHAT.request(text, false).to_string()).bearer(&one)
    }));
    places.push(Place::new("model in the path".to_owned(), move |text| {
        Request::get(&format!("/v1/models/{}", encoded(text))).bearer(&other)
    }));
    places
}

/// Whether an answer came in time; one that did not is asked for twice more, since machines are shared.
async fn in_time(connection: &mut Connection, stage: &Stage, request: &Request, slow: bool) -> Result<u16> {
    for _ in 0..3 {
        let before = Instant::now();
        let answer = connection.call(request).await?;
        let took = before.elapsed();
        if answer.header("connection").is_some_and(|value| value == "close") {
            *connection = stage.gateway.connect().await?;
        }
        ensure!(answer.status() < 500, "{} {}", answer.status(), answer.text());
        if took <= LIMIT || slow {
            return Ok(answer.status());
        }
    }
    anyhow::bail!("it took more than {LIMIT:?} three times")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_of_a_caller_becomes_sql() -> Result<()> {
    let stage = Stage::start(Options::demo().turn(Turn::Alone)).await?;
    let asked = Request::get("/api/openapi.json").bearer(stage.admin.token());
    let document = stage.gateway.call(&asked).await?.json();
    let mut places = places_of_callers(&stage.key);
    for (path, operations) in document["paths"].as_object().context("no paths")? {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            places.extend(places_of(&document, (method, path), operation, stage.admin.token()));
        }
    }
    let payloads = payloads();
    // Every place takes all of them in the long round; on a commit each takes the next few.
    let each = if nightly() { payloads.len() } else { payloads.len().div_ceil(40) };
    let (mut next, mut sent) = (0, 0);
    let mut connection = stage.gateway.connect().await?;
    for place in &places {
        let slow = SLOW.iter().any(|word| place.name.contains(word));
        for _ in 0..if slow { each.min(4) } else { each } {
            let text = &payloads[next % payloads.len()];
            let request = (place.make)(text);
            let answered = in_time(&mut connection, &stage, &request, slow).await;
            answered.with_context(|| format!("{} with {text:.80}", place.name))?;
            (next, sent) = (next + 1, sent + 1);
        }
    }
    ensure!(places.len() > 150 && next >= payloads.len(), "{} places, {next} texts", places.len());
    // The tables are all there, and nobody came in or went.
    let users = stage.admin.get("users?role=owner").await;
    let all = stage.admin.get("users").await?;
    ensure!(all["items"].as_array().is_some_and(|items| !items.is_empty()), "{all} {users:?}");
    ensure!(stage.admin.get("audit-log/verify").await?["ok"] == true);
    let (count, kinds) = (places.len(), payloads.len());
    PROOF.held(&format!("{kinds} texts, {count} places, {sent} requests: 0 answered 5xx, none over 100 ms"))
}
