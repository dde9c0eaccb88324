//! `POST /v1/messages` and `POST /v1/messages/count_tokens`.

use serde_json::{Value, json};

use super::answer::{Answer, Ask, Finish};
use super::chat::MOST_TOKENS;
use super::fields::{Fields, content_text, count_messages};
use super::plan::Plan;
use super::refusal::{Dialect, Refusal};
use super::reply::{Reply, identifier};
use super::script::Script;
use super::tool::{Choice, Tool};
use super::{CHAT, text};

/// Answers a conversation.
pub fn answer(fields: &Fields) -> Result<Reply, Refusal> {
    let model = fields.model(CHAT)?;
    let streamed = fields.truth("stream")?;
    let most = fields.whole_number("max_tokens", 1, MOST_TOKENS)?;
    let most = most.ok_or_else(|| Refusal::field("max_tokens", "max_tokens: Field required"))?;
    fields.check_range("temperature", 0.0, 1.0)?;
    let messages = read_messages(fields)?;
    let ask = Ask {
        last: messages.last().map(|message| content_text(&message["content"])).unwrap_or_default(),
        tools: read_tools(fields)?,
        choice: read_choice(fields)?,
        most_tokens: Some(most),
        stops: fields.texts("stop_sequences")?,
    };
    let plan = Plan::read(fields, streamed)?;
    let answer = Answer::compose(&ask, &plan)?;
    let exchange =
        Exchange { id: identifier("msg", fields.whole()), model, input: input_tokens(fields)?, answer };
    if !streamed {
        return Ok(Reply::planned(&exchange.whole(), &plan));
    }
    Ok(exchange.stream(&plan))
}

/// Counts the tokens that a conversation would cost.
pub fn count_tokens(fields: &Fields) -> Result<Reply, Refusal> {
    fields.model(CHAT)?;
    read_messages(fields)?;
    let plan = Plan::read(fields, false)?;
    Ok(Reply::planned(&json!({"input_tokens": input_tokens(fields)?}), &plan))
}

fn read_messages(fields: &Fields) -> Result<&Vec<Value>, Refusal> {
    let messages = fields.list("messages")?;
    let wrong = messages
        .iter()
        .position(|message| !matches!(message["role"].as_str(), Some("user" | "assistant" | "system")));
    match wrong {
        None => Ok(messages),
        Some(i) => Err(Refusal::field(
            "messages",
            format!("messages.{i}.role: Input should be 'user' or 'assistant'"),
        )),
    }
}

fn read_tools(fields: &Fields) -> Result<Vec<Tool>, Refusal> {
    let Some(tools) = fields.get("tools") else {
        return Ok(Vec::new());
    };
    let wrong = || Refusal::field("tools", "tools: Input should be a list of tools with a name");
    let read = |tool: &Value| {
        let name = tool["name"].as_str().ok_or_else(wrong)?.to_owned();
        Ok(Tool { name, schema: tool["input_schema"].clone() })
    };
    tools.as_array().ok_or_else(wrong)?.iter().map(read).collect()
}

fn read_choice(fields: &Fields) -> Result<Choice, Refusal> {
    let Some(choice) = fields.get("tool_choice") else {
        return Ok(Choice::Free);
    };
    Ok(match (choice["type"].as_str(), choice["name"].as_str()) {
        (Some("auto"), _) => Choice::Free,
        (Some("none"), _) => Choice::None,
        (Some("any"), _) => Choice::Any,
        (Some("tool"), Some(name)) => Choice::Named(name.to_owned()),
        _ => {
            return Err(Refusal::field(
                "tool_choice",
                "tool_choice: Input should be auto, any, none or a tool with a name",
            ));
        }
    })
}

fn input_tokens(fields: &Fields) -> Result<u64, Refusal> {
    let system = fields.get("system").map_or(0, |system| text::count(&content_text(system)));
    let tools = fields.get("tools").map_or(0, |tools| text::count(&tools.to_string()));
    Ok(count_messages(fields.list("messages")?) + system + tools)
}

struct Exchange {
    id: String,
    model: String,
    input: u64,
    answer: Answer,
}

impl Exchange {
    fn whole(&self) -> Value {
        let content = match &self.answer.tool {
            Some(name) => {
                let input: Value = serde_json::from_str(self.answer.text()).unwrap_or_default();
                json!([{"type": "tool_use", "id": self.call_id(), "name": name, "input": input}])
            }
            None => json!([{"type": "text", "text": self.answer.text(), "citations": null}]),
        };
        self.message(&content, Some(self.stop()), self.answer.tokens)
    }

    /// The message object, whole or as a stream's first event carries it.
    fn message(&self, content: &Value, stop: Option<(&str, Option<&str>)>, output: u64) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": stop.map(|stop| stop.0), "stop_sequence": stop.and_then(|stop| stop.1),
            "usage": self.usage(output),
        })
    }

    fn usage(&self, output: u64) -> Value {
        json!({
            "input_tokens": self.input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": output, "service_tier": "standard",
        })
    }

    /// `stop_reason` and `stop_sequence`.
    fn stop(&self) -> (&'static str, Option<&str>) {
        match &self.answer.finish {
            Finish::Stop => ("end_turn", None),
            Finish::StopText(text) => ("stop_sequence", Some(text)),
            Finish::Length => ("max_tokens", None),
            Finish::Tool => ("tool_use", None),
        }
    }

    fn stream(self, plan: &Plan) -> Reply {
        let block = match &self.answer.tool {
            Some(name) => json!({"type": "tool_use", "id": self.call_id(), "name": name, "input": {}}),
            None => json!({"type": "text", "text": ""}),
        };
        let (reason, stop_text) = self.stop();
        let head = [
            event(&json!({"type": "message_start", "message": self.message(&json!([]), None, 1)})),
            event(&json!({"type": "content_block_start", "index": 0, "content_block": block})),
            event(&json!({"type": "ping"})),
        ];
        let tail = [
            event(&json!({"type": "content_block_stop", "index": 0})),
            event(&json!({"type": "message_delta", "usage": self.usage(self.answer.tokens),
                "delta": {"stop_reason": reason, "stop_sequence": stop_text}})),
            event(&json!({"type": "message_stop"})),
        ];
        let pieces = self.answer.pieces();
        let piece = move |i| {
            let text = self.answer.piece(i);
            let delta = match self.answer.tool {
                Some(_) => json!({"type": "input_json_delta", "partial_json": text}),
                None => json!({"type": "text_delta", "text": text}),
            };
            event(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
        };
        Script { head: head.concat(), pieces, piece, tail: tail.concat() }.play(Dialect::Anthropic, plan)
    }

    fn call_id(&self) -> String {
        self.id.replace("msg", "toolu")
    }
}

/// An event whose name repeats its type, as Anthropic writes them.
fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}
