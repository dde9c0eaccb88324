//! `POST /v1/chat/completions`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Ask, Finish};
use super::fields::{Fields, content_text, count_messages};
use super::plan::Plan;
use super::refusal::{Dialect, Refusal};
use super::reply::{CREATED, Reply, identifier};
use super::script::Script;
use super::tool::{Choice, Tool};
use super::{CHAT, text};

/// The most choices that may be asked for (OpenAI API reference, `n`).
const MOST_CHOICES: u64 = 128;
/// The most tokens that may be asked for; more are refused as a real model would.
pub const MOST_TOKENS: u64 = 1 << 20;
/// The roles of OpenAI's specification.
const ROLES: [&str; 6] = ["developer", "system", "user", "assistant", "tool", "function"];

/// Answers a chat.
pub fn answer(fields: &Fields) -> Result<Reply, Refusal> {
    let model = fields.model(CHAT)?;
    let streamed = fields.truth("stream")?;
    let ask = read_ask(fields)?;
    let choices = fields.whole_number("n", 1, MOST_CHOICES)?.unwrap_or(1);
    let include_usage = wants_usage(fields, streamed)?;
    let plan = Plan::read(fields, streamed)?;
    let answer = Answer::compose(&ask, &plan)?;
    let usage = usage(prompt_tokens(fields)?, answer.tokens * choices);
    let exchange = Exchange { id: identifier("chatcmpl", fields.whole()), model, choices, answer };
    if !streamed {
        return Ok(Reply::planned(&exchange.whole(&usage), &plan));
    }
    Ok(exchange.stream(include_usage.then_some(usage), &plan))
}

fn read_ask(fields: &Fields) -> Result<Ask, Refusal> {
    let messages = fields.list("messages")?;
    for (i, message) in messages.iter().enumerate() {
        let role = message["role"].as_str();
        if !role.is_some_and(|role| ROLES.contains(&role)) {
            let param = format!("messages[{i}].role");
            return Err(Refusal::field(
                param.clone(),
                format!("Invalid value for '{param}': expected one of {ROLES:?}."),
            ));
        }
    }
    fields.check_range("temperature", 0.0, 2.0)?;
    fields.check_range("top_p", 0.0, 1.0)?;
    let older = fields.whole_number("max_tokens", 1, MOST_TOKENS)?;
    let newer = fields.whole_number("max_completion_tokens", 1, MOST_TOKENS)?;
    Ok(Ask {
        last: messages.last().map(|message| content_text(&message["content"])).unwrap_or_default(),
        tools: read_tools(fields)?,
        choice: read_choice(fields)?,
        most_tokens: newer.or(older),
        stops: fields.texts("stop")?,
    })
}

fn read_tools(fields: &Fields) -> Result<Vec<Tool>, Refusal> {
    let Some(tools) = fields.get("tools") else {
        return Ok(Vec::new());
    };
    let wrong = || Refusal::field("tools", "Invalid 'tools': expected an array of functions with a name.");
    let read = |tool: &Value| {
        let function = &tool["function"];
        let name = function["name"].as_str().ok_or_else(wrong)?.to_owned();
        Ok(Tool { name, schema: function["parameters"].clone() })
    };
    tools.as_array().ok_or_else(wrong)?.iter().map(read).collect()
}

fn read_choice(fields: &Fields) -> Result<Choice, Refusal> {
    let wrong = || {
        Refusal::field("tool_choice", "Invalid 'tool_choice': expected none, auto, required or a function.")
    };
    Ok(match fields.get("tool_choice") {
        None => Choice::Free,
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Choice::Free,
            "none" => Choice::None,
            "required" => Choice::Any,
            _ => return Err(wrong()),
        },
        Some(object) => Choice::Named(object["function"]["name"].as_str().ok_or_else(wrong)?.to_owned()),
    })
}

/// Whether the stream ends with its usage (`stream_options.include_usage`).
pub fn wants_usage(fields: &Fields, streamed: bool) -> Result<bool, Refusal> {
    let Some(options) = fields.get("stream_options") else {
        return Ok(false);
    };
    if !streamed {
        return Err(Refusal::field(
            "stream_options",
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        ));
    }
    Ok(options["include_usage"].as_bool().unwrap_or(false))
}

/// The tokens of the messages and of the tools' descriptions.
fn prompt_tokens(fields: &Fields) -> Result<u64, Refusal> {
    let tools = fields.get("tools").map_or(0, |tools| text::count(&tools.to_string()));
    Ok(count_messages(fields.list("messages")?) + tools)
}

/// A usage object as OpenAI writes it.
pub fn usage(prompt: u64, completion: u64) -> Value {
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    })
}

struct Exchange {
    id: String,
    model: String,
    choices: u64,
    answer: Answer,
}

impl Exchange {
    fn finish(&self) -> &'static str {
        match self.answer.finish {
            Finish::Stop | Finish::StopText(_) => "stop",
            Finish::Length => "length",
            Finish::Tool => "tool_calls",
        }
    }

    fn whole(&self, usage: &Value) -> Value {
        let message = match &self.answer.tool {
            Some(name) => json!({"role": "assistant", "content": null, "refusal": null,
                "tool_calls": [{"id": self.call_id(), "type": "function",
                    "function": {"name": name, "arguments": self.answer.text()}}]}),
            None => {
                json!({"role": "assistant", "content": self.answer.text(), "refusal": null, "annotations": []})
            }
        };
        let choices: Vec<Value> = (0..self.choices)
            .map(
                |i| json!({"index": i, "message": message, "logprobs": null, "finish_reason": self.finish()}),
            )
            .collect();
        json!({
            "id": self.id, "object": "chat.completion", "created": CREATED, "model": self.model,
            "choices": choices, "usage": usage, "service_tier": "default", "system_fingerprint": "fp_demo",
        })
    }

    fn stream(self, usage: Option<Value>, plan: &Plan) -> Reply {
        let counts = usage.is_some();
        let mut head = self.chunks(&json!({"role": "assistant", "content": if self.answer.tool.is_some() { Value::Null } else { json!("") }, "refusal": null}), None, counts);
        if let Some(name) = &self.answer.tool {
            let call = json!({"tool_calls": [{"index": 0, "id": self.call_id(), "type": "function",
                "function": {"name": name, "arguments": ""}}]});
            head += &self.chunks(&call, None, counts);
        }
        let mut tail = self.chunks(&json!({}), Some(self.finish()), counts);
        if let Some(usage) = usage {
            tail += &self.event(&json!([]), Some(&usage));
        }
        tail += "data: [DONE]\n\n";
        let pieces = self.answer.pieces();
        let exchange = Arc::new(self);
        let piece = move |i| exchange.piece(i, counts);
        Script { head, pieces, piece, tail }.play(Dialect::OpenAi, plan)
    }

    fn piece(&self, i: usize, counts: bool) -> String {
        let text = self.answer.piece(i);
        let delta = match self.answer.tool {
            Some(_) => json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]}),
            None => json!({"content": text}),
        };
        self.chunks(&delta, None, counts)
    }

    /// One event for each choice; with `counts`, each says that the usage is still to come.
    fn chunks(&self, delta: &Value, finish: Option<&str>, counts: bool) -> String {
        (0..self.choices)
            .map(|i| {
                let choice = json!([{"index": i, "delta": delta, "logprobs": null, "finish_reason": finish}]);
                self.event(&choice, counts.then_some(&Value::Null))
            })
            .collect()
    }

    fn event(&self, choices: &Value, usage: Option<&Value>) -> String {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": CREATED, "model": self.model,
            "choices": choices, "service_tier": "default", "system_fingerprint": "fp_demo",
        });
        if let Some(usage) = usage {
            chunk["usage"] = usage.clone();
        }
        format!("data: {chunk}\n\n")
    }

    fn call_id(&self) -> String {
        self.id.replace("chatcmpl", "call")
    }
}
