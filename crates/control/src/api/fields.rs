//! What a text or a number must be, by the name of its field, where the handler's type alone does not say it.
//!
//! The checks themselves are in [`super::check`] and [`super::page`]; a name means the same in every operation.

use serde_json::{Value, json};

use super::describe::ID_PATTERN;

/// One line, not empty.
const NAME: &str = r"^[^\u0000-\u0020\u007f-\u00a0][^\u0000-\u001f\u007f-\u009f]*$";
const DOLLARS: &str = r"^[+-]?[0-9]{1,9}(\.[0-9]{1,9})?$";

/// What a parameter of a query must be.
fn of_query(name: &str) -> Option<Value> {
    match name {
        "limit" => Some(json!({"minimum": 1, "maximum": store::page::MAX_LIMIT})),
        "cursor" => Some(json!({"pattern": r"^[0-9]{1,15}\.[A-Za-z0-9_\-]{0,64}$"})),
        "from" | "to" => Some(json!({"format": "date-time"})),
        "start_date" | "end_date" => Some(json!({"format": "date"})),
        _ => of_both(name),
    }
}

/// What a field of a body must be.
fn of_body(name: &str) -> Option<Value> {
    match name {
        "id" => Some(json!({"pattern": "^[a-z0-9_-]{1,64}$"})),
        "name" | "reason" => Some(json!({"pattern": NAME, "minLength": 1, "maxLength": 200})),
        "email" => Some(json!({"pattern": r"^[^@\s]+@[^@\s]+$", "maxLength": 254})),
        "amount" | "balance" => Some(json!({"pattern": DOLLARS})),
        "expires_at" => Some(json!({"format": "date-time"})),
        _ => of_both(name),
    }
}

fn of_both(name: &str) -> Option<Value> {
    match name {
        "key_id" | "user_id" => Some(json!({"pattern": ID_PATTERN})),
        "request_id" => Some(json!({"pattern": "^req-[0-9A-Fa-f]{32}$"})),
        _ => None,
    }
}

/// Adds to the schema of a parameter what its name says.
pub fn complete_parameter(name: &str, schema: &mut Value) {
    add(of_query(name), schema);
}

/// Adds to the fields of a body, at the top and below, what their names say.
pub fn complete_body(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            if let Some(Value::Object(fields)) = keywords.get_mut("properties") {
                fields.iter_mut().for_each(|(name, field)| add(of_body(name), field));
            }
            keywords.values_mut().for_each(complete_body);
        }
        Value::Array(items) => items.iter_mut().for_each(complete_body),
        _ => {}
    }
}

/// What a schema says already stays.
fn add(more: Option<Value>, schema: &mut Value) {
    let plain = |kind: &Value| kind == "string" || kind == "integer";
    let kind = &schema["type"];
    let is_plain = plain(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().any(plain));
    if !is_plain || schema.get("enum").is_some() {
        return;
    }
    for (keyword, value) in more.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let stays = schema.get(keyword).is_some() && keyword != "minimum" && keyword != "maximum";
        if !stays {
            schema[keyword] = value.clone();
        }
    }
}
