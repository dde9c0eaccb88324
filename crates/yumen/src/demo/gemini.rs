//! `POST /v1beta/models/{model}:…` of Gemini: content whole and as a stream, counting, embeddings.

use serde_json::{Value, json};

use super::answer::{Answer, Ask, Finish};
use super::chat::MOST_TOKENS;
use super::fields::{Fields, whole_number};
use super::plan::Plan;
use super::refusal::{Dialect, Refusal};
use super::reply::{Reply, identifier};
use super::script::Script;
use super::tool::{Choice, Tool};
use super::{CHAT, EMBED, MODELS, text};

/// Numbers of an embedding.
const DIMENSIONS: usize = 8;

/// Answers what `action` (`model:verb`) asks; `events` says whether a stream is one of events.
pub fn answer(action: &str, events: bool, fields: &Fields) -> Result<Reply, Refusal> {
    let (model, verb) = action.rsplit_once(':').unwrap_or((action, ""));
    let known = if verb.ends_with("mbedContent") || verb.ends_with("mbedContents") { EMBED } else { CHAT };
    if model != known {
        let message = match MODELS.contains(&model) {
            true => format!("models/{model} is not supported for {verb}; use models/{known}."),
            false => format!("models/{model} is not found for API version v1beta."),
        };
        return Err(Refusal::new(404, message));
    }
    match verb {
        "generateContent" | "streamGenerateContent" => {
            generate(model, verb == "streamGenerateContent", events, fields)
        }
        "countTokens" => {
            let plan = Plan::read(fields, false)?;
            Ok(Reply::planned(&json!({"totalTokens": input(fields)}), &plan))
        }
        "embedContent" => {
            Ok(Reply::json(200, &json!({"embedding": embedding(&content(&fields.whole()["content"]))})))
        }
        "batchEmbedContents" => {
            let requests = fields.list("requests")?;
            let all: Vec<Value> = requests.iter().map(|one| embedding(&content(&one["content"]))).collect();
            Ok(Reply::json(200, &json!({"embeddings": all})))
        }
        _ => Err(Refusal::new(404, format!("models/{model} has no method {verb}."))),
    }
}

fn generate(model: &str, streamed: bool, events: bool, fields: &Fields) -> Result<Reply, Refusal> {
    let config = fields.get("generationConfig").cloned().unwrap_or_default();
    let most = config.get("maxOutputTokens").filter(|most| !most.is_null());
    let contents = fields.list("contents")?;
    let ask = Ask {
        last: contents.last().map(content).unwrap_or_default(),
        tools: read_tools(fields),
        choice: read_choice(fields),
        most_tokens: whole_number("generationConfig.maxOutputTokens", most, 1, MOST_TOKENS)?,
        stops: texts(&config["stopSequences"]),
    };
    let plan = Plan::read(fields, streamed)?;
    let answer = Answer::compose(&ask, &plan)?;
    let id = identifier("demo", fields.whole());
    let exchange = Exchange { id, model: model.to_owned(), input: input(fields), answer };
    if !streamed {
        return Ok(Reply::planned(&exchange.whole(), &plan));
    }
    Ok(exchange.stream(events, &plan))
}

/// The text of a content: of its parts, and of what tools have said.
fn content(content: &Value) -> String {
    let part = |part: &Value| match part["text"].as_str() {
        Some(text) => text.to_owned(),
        None => part["functionResponse"]["response"].as_object().map_or_else(String::new, |response| {
            response
                .values()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect()
        }),
    };
    let parts = content["parts"].as_array().into_iter().flatten();
    parts.map(part).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn input(fields: &Fields) -> u64 {
    ["contents", "systemInstruction", "tools"]
        .iter()
        .filter_map(|name| fields.get(name))
        .map(|value| text::count(&value.to_string()))
        .sum()
}

fn read_tools(fields: &Fields) -> Vec<Tool> {
    let groups = fields.get("tools").and_then(Value::as_array).into_iter().flatten();
    let functions = groups.filter_map(|group| group["functionDeclarations"].as_array()).flatten();
    let tool = |function: &Value| {
        // Clients mix both spellings.
        let names = ["parametersJsonSchema", "parameters_json_schema", "parameters"];
        let schema = names.iter().find_map(|name| function.get(*name));
        let schema = lower_types(schema.cloned().unwrap_or_default());
        Some(Tool { name: function["name"].as_str()?.to_owned(), schema })
    };
    functions.filter_map(tool).collect()
}

/// Google's older schemas write their types in capitals.
fn lower_types(mut schema: Value) -> Value {
    if let Some(kind) = schema["type"].as_str().map(str::to_ascii_lowercase) {
        schema["type"] = json!(kind);
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(|property| *property = lower_types(property.take()));
    }
    schema
}

fn read_choice(fields: &Fields) -> Choice {
    let config = fields.get("toolConfig").map(|config| &config["functionCallingConfig"]);
    let Some(config) = config else { return Choice::Free };
    match (config["mode"].as_str(), config["allowedFunctionNames"][0].as_str()) {
        (Some("NONE"), _) => Choice::None,
        (Some("ANY"), Some(name)) => Choice::Named(name.to_owned()),
        (Some("ANY"), None) => Choice::Any,
        _ => Choice::Free,
    }
}

/// Numbers that depend on the text alone.
fn embedding(text: &str) -> Value {
    let seed = text::hash(text);
    let number = |i: usize| {
        let byte = u8::try_from((seed >> (8 * i)) & 0xff).unwrap_or(0);
        f64::from(byte) / 255.0
    };
    json!({"values": (0..DIMENSIONS).map(number).collect::<Vec<_>>()})
}

struct Exchange {
    id: String,
    model: String,
    input: u64,
    answer: Answer,
}

impl Exchange {
    fn whole(&self) -> Value {
        self.chunk(Some(self.part(self.answer.text())), true)
    }

    fn part(&self, text: &str) -> Value {
        match &self.answer.tool {
            Some(name) => {
                let args: Value = serde_json::from_str(self.answer.text()).unwrap_or_default();
                json!({"functionCall": {"id": self.id, "name": name, "args": args}})
            }
            None => json!({"text": text}),
        }
    }

    fn chunk(&self, part: Option<Value>, last: bool) -> Value {
        let mut candidate = json!({"index": 0});
        let parts: Vec<Value> = part.into_iter().collect();
        candidate["content"] = json!({"parts": parts, "role": "model"});
        if last {
            let cut = self.answer.finish == Finish::Length;
            candidate["finishReason"] = json!(if cut { "MAX_TOKENS" } else { "STOP" });
        }
        let output = self.answer.tokens;
        json!({
            "candidates": [candidate], "modelVersion": self.model, "responseId": self.id,
            "usageMetadata": {"promptTokenCount": self.input, "candidatesTokenCount": output,
                "totalTokenCount": self.input + output},
        })
    }

    /// A call of a tool is one chunk, because Google sends it whole.
    fn stream(self, events: bool, plan: &Plan) -> Reply {
        let pieces = if self.answer.tool.is_some() { 1 } else { self.answer.pieces() };
        let framed = move |data: &Value, i: usize| match (events, i) {
            (true, _) => format!("data: {data}\r\n\r\n"),
            (false, 0) => format!("[{data}\n"),
            (false, _) => format!(",\r\n{data}\n"),
        };
        let mut tail = framed(&self.chunk(None, true), pieces);
        if !events {
            tail.push_str("]\n");
        }
        let piece = move |i| {
            let text = if self.answer.tool.is_some() { "" } else { self.answer.piece(i) };
            framed(&self.chunk(Some(self.part(text)), false), i)
        };
        let script = Script { head: String::new(), pieces, piece, tail };
        let reply = script.play(Dialect::Gemini, plan);
        if events { reply } else { Reply { content_type: "application/json", ..reply } }
    }
}
