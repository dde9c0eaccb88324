//! `GET /api/openapi.json`: the table of routes as an OpenAPI 3.1 document.
//!
//! Everything comes from the table and from the types of the handlers. Types are named after the first operation
//! that takes or gives them.

use std::collections::BTreeMap;

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::context::Context;
use super::describe::Writer;
use super::examples;
use super::fields;
use super::permission::Permission;
use super::route::Route;
use crate::answer::{Json, ok};

/// The document.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Document(Value);

/// Shows the document.
pub async fn handler(_: Context) -> Json<Document> {
    std::future::ready(ok(Document(document(&super::routes())))).await
}

/// The document of these routes.
#[must_use]
pub fn document(routes: &[Route]) -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut writing = Writing::default();
    for route in routes {
        let operation = writing.operation(route);
        let path = route.path.replace("{*", "{");
        paths.entry(path).or_default().insert(route.method.as_str().to_ascii_lowercase(), operation);
    }
    writing.schemas.insert("Error".to_owned(), error());
    writing.schemas.insert("CallerError".to_owned(), caller_error());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Yumen administration",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": writing.schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "An access token of POST /api/v1/auth/login, or ADMIN_TOKEN.",
                },
                "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
            },
            "responses": {
                "Error": refusal("The refusal, in the native envelope.", "Error"),
                "CallerError": refusal("The refusal, as callers of models get it.", "CallerError"),
            },
        },
    })
}

/// The native envelope.
fn error() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "properties": {
            "code": text, "message": text, "source": {"enum": ["gateway", "upstream", "client"]},
            "trace_id": text, "hint": text, "param": {"type": ["string", "null"]}, "resets_at": text,
            "upstream_status": {"type": ["integer", "null"]}, "upstream_code": {"type": ["string", "null"]},
        },
        "required": ["code", "message", "source", "trace_id"],
    })
}

/// What refuses the key of a caller answers in the envelope of `OpenAI`, whatever the path.
fn caller_error() -> Value {
    let text = json!({"type": "string"});
    let inner = json!({
        "type": "object",
        "properties": {
            "message": text, "type": text,
            "param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]},
        },
        "required": ["message", "type"],
    });
    let envelope = json!({"type": "object", "properties": {"error": inner}, "required": ["error"]});
    json!({"anyOf": [{"$ref": "#/components/schemas/Error"}, envelope]})
}

fn refusal(description: &str, schema: &str) -> Value {
    let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

/// The document under way.
#[derive(Default)]
struct Writing {
    /// By the name under which others refer to it.
    schemas: BTreeMap<String, Value>,
    /// The names of what was written, by its text.
    named: BTreeMap<String, String>,
}

impl Writing {
    fn operation(&mut self, route: &Route) -> Value {
        let takes = &route.operation;
        let mut operation = json!({
            "operationId": camel(route.name, false),
            "summary": route.summary,
            "tags": [route.name.split('.').next().unwrap_or_default()],
            "x-yumen-permission": permission(route.permission),
            "x-yumen-roles": route.permission.roles().iter().map(|role| role.name()).collect::<Vec<_>>(),
            "responses": self.responses(route),
            "security": security(route.permission),
        });
        let parameters = parameters(route);
        if !parameters.is_empty() {
            operation["parameters"] = Value::Array(parameters);
        }
        if let Some((writer, optional)) = takes.body {
            let schema =
                self.refer(writer, Contract::Deserialize, &format!("{}Body", camel(route.name, true)));
            let mut content = json!({"application/json": {"schema": schema}});
            if let Some(example) = examples::body(route.name) {
                content["application/json"]["example"] = example;
            }
            operation["requestBody"] = json!({"required": !optional, "content": content});
        }
        operation
    }

    fn responses(&mut self, route: &Route) -> Value {
        let (status, writer) = route.operation.answer;
        let mut answer = json!({"description": route.summary});
        if let Some(writer) = writer {
            let name = format!("{}Answer", camel(route.name, true));
            let schema = self.refer(writer, Contract::Serialize, &name);
            answer["content"] = json!({"application/json": {"schema": schema}});
        }
        let mut responses = Map::new();
        if route.path.contains("ready") || route.path.contains("readiness") {
            responses.insert("503".to_owned(), answer.clone());
        }
        responses.insert(status.to_string(), answer);
        for status in refusals(route) {
            let by = if route.permission == Permission::CallerKey { "CallerError" } else { "Error" };
            let refusal = json!({"$ref": format!("#/components/responses/{by}")});
            responses.entry(status.to_string()).or_insert(refusal);
        }
        Value::Object(responses)
    }

    /// Writes a type, unless it is there already, and refers to it.
    fn refer(&mut self, writer: Writer, contract: Contract, name: &str) -> Value {
        let mut schema = schema(writer, contract.clone());
        if contract == Contract::Deserialize {
            fields::complete_body(&mut schema);
        }
        let text = schema.to_string();
        let name = self.named.entry(text).or_insert_with(|| name.to_owned()).clone();
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        self.schemas.entry(name).or_insert(schema);
        reference
    }
}

fn schema(writer: Writer, contract: Contract) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    settings.contract = contract;
    let mut schema = writer(&mut SchemaGenerator::new(settings)).to_value();
    tidy(&mut schema);
    schema
}

/// Takes out what says nothing to a reader in JSON: the widths of Rust's integers.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let width = fields.get("format").and_then(Value::as_str).unwrap_or_default();
            let most = match width {
                "uint32" => Some(u64::from(u32::MAX)),
                "uint64" | "uint" => Some(u64::MAX),
                _ => None,
            };
            if width.starts_with("uint") || width.starts_with("int") {
                fields.remove("format");
            }
            if let Some(most) = most {
                fields.entry("maximum").or_insert(json!(most));
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn parameters(route: &Route) -> Vec<Value> {
    let takes = &route.operation;
    let mut parameters = Vec::new();
    if let (Some(schema), Some((_, rest))) = (&takes.in_path, route.path.split_once('{')) {
        let name = rest.split_once('}').map_or(rest, |(name, _)| name).trim_start_matches('*');
        parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
    } else if let Some((_, rest)) = route.path.split_once('{') {
        let name = rest.split_once('}').map_or(rest, |(name, _)| name);
        parameters.push(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    }
    if let Some(writer) = takes.query {
        let object = schema(writer, Contract::Deserialize);
        let required = object["required"].as_array().cloned().unwrap_or_default();
        for (name, schema) in object["properties"].as_object().into_iter().flatten() {
            let mut schema = schema.clone();
            without_null(&mut schema);
            fields::complete_parameter(name, &mut schema);
            let needed = required.iter().any(|field| field == name);
            parameters.push(json!({"name": name, "in": "query", "required": needed, "schema": schema}));
        }
    }
    if route.method == http::Method::POST && route.permission.needs_credential() {
        let schema = json!({"type": "string", "pattern": "^[!-~]{1,255}$"});
        let about = "The same key with the same request gives the first answer again, for a day.";
        parameters.push(json!({"name": "Idempotency-Key", "in": "header", "required": false,
            "description": about, "schema": schema}));
    }
    if checks_state(route) {
        let about = "Makes the change only of the state that carried this ETag.";
        parameters.push(json!({"name": "If-Match", "in": "header", "required": false,
            "description": about, "schema": {"type": "string"}}));
    }
    parameters
}

/// Whether an operation looks at `If-Match`: what changes something that has an `ETag`.
fn checks_state(route: &Route) -> bool {
    const ACTIONS: [&str; 9] = [
        "account.disable",
        "account.enable",
        "api-key.disable",
        "api-key.enable",
        "api-key.revoke",
        "api-key.rotate",
        "user.balance",
        "user.disable",
        "user.enable",
    ];
    const WITHOUT_STATE: [&str; 3] = ["jwt-key.delete", "trial-key.revoke", "user.totp"];
    match route.method {
        http::Method::PATCH | http::Method::PUT | http::Method::DELETE => {
            !WITHOUT_STATE.contains(&route.name)
        }
        _ => ACTIONS.contains(&route.name),
    }
}

/// A parameter of a query is left out rather than null.
fn without_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [only] = &types[..] {
            schema["type"] = only.clone();
        }
    }
    for list in ["anyOf", "enum"] {
        if let Some(choices) = schema.get_mut(list).and_then(Value::as_array_mut) {
            choices.retain(|choice| !choice.is_null() && choice["type"] != "null");
        }
    }
}

/// The statuses that an operation refuses with.
fn refusals(route: &Route) -> Vec<u16> {
    let takes = &route.operation;
    let mut statuses = vec![500, 503];
    if takes.query.is_some() || takes.body.is_some() || takes.in_path.is_some() {
        statuses.push(400);
    }
    if route.permission.needs_credential() || route.path.contains("/auth/") {
        statuses.push(401);
    }
    if !route.permission.roles().is_empty() {
        statuses.push(403);
    }
    if route.path.contains('{') || route.name == "price.explain" {
        statuses.push(404);
    }
    if !route.method.is_safe() {
        statuses.extend([400, 409, 412, 422]);
    }
    if takes.body.is_some() {
        statuses.extend([413, 415]);
    }
    if route.path.contains("/auth/") {
        statuses.push(429);
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn permission(permission: Permission) -> &'static str {
    match permission {
        Permission::Public => "public",
        Permission::SignedIn => "signed-in",
        Permission::ReadOwn => "read-own",
        Permission::Read => "read",
        Permission::Operate => "operate",
        Permission::Bill => "bill",
        Permission::Administer => "administer",
        Permission::CallerKey => "key",
    }
}

fn security(permission: Permission) -> Value {
    match permission {
        Permission::Public => json!([]),
        Permission::CallerKey => json!([{"key": []}]),
        _ => json!([{"bearer": []}]),
    }
}

/// `api-key.create` as `apiKeyCreate`, or `ApiKeyCreate` for a type.
fn camel(name: &str, first_too: bool) -> String {
    let mut upper = first_too;
    let mut text = String::new();
    for character in name.chars() {
        if matches!(character, '-' | '.') {
            upper = true;
        } else if upper {
            text.extend(character.to_uppercase());
            upper = false;
        } else {
            text.push(character);
        }
    }
    text
}
