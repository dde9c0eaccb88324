//! Which tool the simulator calls, and with which arguments.

use serde_json::{Map, Value, json};

/// A tool that the request offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// The JSON schema of its arguments.
    pub schema: Value,
}

/// Whether a tool has to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The simulator answers in words unless `x_demo.tool` names one.
    Free,
    /// None may be called.
    None,
    /// Some tool: the first.
    Any,
    /// This one.
    Named(String),
}

/// How deep arguments are made up: deeper schemas get an empty object.
const DEEPEST: usize = 4;

/// Arguments that fit the schema: each property its first choice, else the simplest value of its type.
pub fn arguments(schema: &Value) -> Value {
    value_for(schema, "", DEEPEST)
}

fn value_for(schema: &Value, name: &str, depth: usize) -> Value {
    if let Some(first) = schema["enum"].get(0).or_else(|| schema.get("const")) {
        return first.clone();
    }
    match kind(schema) {
        "string" => json!(if name.is_empty() { "demo".to_owned() } else { format!("demo {name}") }),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "boolean" => json!(true),
        "array" => json!([]),
        "null" => Value::Null,
        _ if depth == 0 => json!({}),
        _ => object_for(schema, depth),
    }
}

fn object_for(schema: &Value, depth: usize) -> Value {
    let Some(properties) = schema["properties"].as_object() else {
        return json!({});
    };
    let members =
        properties.iter().map(|(name, property)| (name.clone(), value_for(property, name, depth - 1)));
    Value::Object(members.collect::<Map<_, _>>())
}

/// The schema's type; of several, the first.
fn kind(schema: &Value) -> &str {
    schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or("object")
}
