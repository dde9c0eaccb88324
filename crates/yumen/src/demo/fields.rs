//! Reads a request's fields and refuses what a real provider would refuse.

use bytes::Bytes;
use serde_json::Value;

use super::refusal::Refusal;
use super::{MODELS, text};

/// A request's body: a JSON object.
pub struct Fields(Value);

impl Fields {
    /// Reads the body.
    pub fn parse(body: &Bytes) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(value @ Value::Object(_)) => Ok(Self(value)),
            _ => Err(Refusal::new(
                400,
                "We could not parse the JSON body of your request: it must be a JSON object.",
            )),
        }
    }

    /// The body as it came.
    pub fn whole(&self) -> &Value {
        &self.0
    }

    /// A field that is there and not null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The model, which must be `known`; `absent` stands for none.
    pub fn model(&self, known: &str) -> Result<String, Refusal> {
        match self.get("model") {
            None => Err(Refusal::field("model", "you must provide a model parameter")),
            Some(Value::String(model)) if model == known => Ok(model.clone()),
            Some(Value::String(model)) if MODELS.contains(&model.as_str()) => Err(Refusal::field(
                "model",
                format!("The model `{model}` does not support this endpoint; use `{known}`."),
            )),
            Some(Value::String(model)) => Err(Refusal::unknown_model(model)),
            Some(_) => Err(Refusal::field("model", "Invalid type for 'model': expected a string.")),
        }
    }

    /// A switch; absent is off.
    pub fn truth(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(_) => Err(Refusal::field(name, format!("Invalid type for '{name}': expected a boolean."))),
        }
    }

    /// A whole number from `least` to `most`.
    pub fn whole_number(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Refusal> {
        whole_number(name, self.get(name), least, most)
    }

    /// Refuses a number outside its range; the simulator does not use it further.
    pub fn check_range(&self, name: &str, least: f64, most: f64) -> Result<(), Refusal> {
        let fits = |n: f64| (least..=most).contains(&n);
        match self.get(name) {
            None => Ok(()),
            Some(value) if value.as_f64().is_some_and(fits) => Ok(()),
            Some(_) => Err(Refusal::field(
                name,
                format!("Invalid '{name}': expected a number from {least} to {most}."),
            )),
        }
    }

    /// A list that must be there and hold something.
    pub fn list(&self, name: &str) -> Result<&Vec<Value>, Refusal> {
        match self.get(name) {
            Some(Value::Array(list)) if !list.is_empty() => Ok(list),
            Some(Value::Array(_)) => Err(Refusal::field(name, format!("Invalid '{name}': empty array."))),
            Some(_) => Err(Refusal::field(name, format!("Invalid type for '{name}': expected an array."))),
            None => Err(Refusal::field(name, format!("Missing required parameter: '{name}'."))),
        }
    }

    /// A text or a list of texts; absent is none.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Refusal> {
        let wrong = || {
            Refusal::field(
                name,
                format!("Invalid type for '{name}': expected a string or an array of strings."),
            )
        };
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(list)) => {
                list.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }
}

/// A whole number from `least` to `most`, anywhere in a body.
pub fn whole_number(
    name: &str,
    value: Option<&Value>,
    least: u64,
    most: u64,
) -> Result<Option<u64>, Refusal> {
    match value {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(n) if (least..=most).contains(&n) => Ok(Some(n)),
            _ => Err(Refusal::field(
                name,
                format!("Invalid '{name}': expected an integer from {least} to {most}."),
            )),
        },
    }
}

/// The text of a message's content: a string, or the texts of its parts, tool results included.
pub fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().map(part_text).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

fn part_text(part: &Value) -> String {
    match (part.get("text"), part.get("content")) {
        (Some(Value::String(text)), _) => text.clone(),
        // One level deeper only: a tool result holds parts, parts hold texts.
        (_, Some(Value::Array(inner))) => {
            inner.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join(" ")
        }
        (_, Some(Value::String(text))) => text.clone(),
        _ => String::new(),
    }
}

/// The tokens of a conversation: its texts, and what each message costs beside them.
pub fn count_messages(messages: &[Value]) -> u64 {
    messages.iter().map(|message| text::count(&content_text(&message["content"])) + MESSAGE_TOKENS).sum()
}

/// What a message costs beside its text (OpenAI cookbook, "How to count tokens with tiktoken").
const MESSAGE_TOKENS: u64 = 3;
