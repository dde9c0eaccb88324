//! `POST /v1/responses` and `POST /v1/responses/input_tokens`.

use serde_json::{Value, json};

use super::answer::{Answer, Ask, Finish};
use super::chat::MOST_TOKENS;
use super::fields::{Fields, content_text};
use super::plan::Plan;
use super::refusal::{Dialect, Refusal};
use super::reply::{CREATED, Reply, identifier};
use super::script::Script;
use super::tool::{Choice, Tool};
use super::{CHAT, text};

/// Answers a conversation.
pub fn answer(fields: &Fields) -> Result<Reply, Refusal> {
    let model = fields.model(CHAT)?;
    let streamed = fields.truth("stream")?;
    let most_tokens = fields.whole_number("max_output_tokens", 16, MOST_TOKENS)?;
    fields.check_range("temperature", 0.0, 2.0)?;
    let ask = Ask {
        last: last_text(fields)?,
        tools: read_tools(fields)?,
        choice: read_choice(fields)?,
        most_tokens,
        stops: Vec::new(),
    };
    let plan = Plan::read(fields, streamed)?;
    let answer = Answer::compose(&ask, &plan)?;
    let exchange = Exchange { id: identifier("resp", fields.whole()), model, input: input(fields), answer };
    match streamed {
        false => Ok(Reply::planned(&exchange.response(Some(&exchange.item(true))), &plan)),
        true => Ok(exchange.stream(&plan)),
    }
}

/// Counts the tokens that a conversation would cost.
pub fn count_tokens(fields: &Fields) -> Result<Reply, Refusal> {
    fields.model(CHAT)?;
    let plan = Plan::read(fields, false)?;
    let count = json!({"object": "response.input_tokens", "input_tokens": input(fields)});
    Ok(Reply::planned(&count, &plan))
}

/// The last thing said: the input itself, or the last of its items.
fn last_text(fields: &Fields) -> Result<String, Refusal> {
    match fields.get("input") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(items)) if !items.is_empty() => {
            Ok(items.iter().rev().map(item_text).find(|text| !text.is_empty()).unwrap_or_default())
        }
        _ => Err(Refusal::field("input", "Missing required parameter: 'input'.")),
    }
}

fn item_text(item: &Value) -> String {
    let said = content_text(&item["content"]);
    if said.is_empty() { content_text(&item["output"]) } else { said }
}

fn input(fields: &Fields) -> u64 {
    let whole = fields.get("input").map_or(0, |input| text::count(&input.to_string()));
    let tools = fields.get("tools").map_or(0, |tools| text::count(&tools.to_string()));
    whole + tools + fields.get("instructions").map_or(0, |text| text::count(&content_text(text)))
}

fn read_tools(fields: &Fields) -> Result<Vec<Tool>, Refusal> {
    let Some(tools) = fields.get("tools") else {
        return Ok(Vec::new());
    };
    let wrong = || Refusal::field("tools", "Invalid 'tools': expected an array of tools.");
    let named = |tool: &Value| {
        Some(Tool { name: tool["name"].as_str()?.to_owned(), schema: tool["parameters"].clone() })
    };
    Ok(tools.as_array().ok_or_else(wrong)?.iter().filter_map(named).collect())
}

fn read_choice(fields: &Fields) -> Result<Choice, Refusal> {
    let Some(choice) = fields.get("tool_choice") else {
        return Ok(Choice::Free);
    };
    match (choice.as_str(), choice["name"].as_str()) {
        (Some("auto"), _) => Ok(Choice::Free),
        (Some("none"), _) => Ok(Choice::None),
        (Some("required"), _) => Ok(Choice::Any),
        (None, Some(name)) => Ok(Choice::Named(name.to_owned())),
        _ => Err(Refusal::field("tool_choice", "Invalid 'tool_choice'.")),
    }
}

struct Exchange {
    id: String,
    model: String,
    input: u64,
    answer: Answer,
}

impl Exchange {
    /// The response object: in progress without an item, whole with one.
    fn response(&self, item: Option<&Value>) -> Value {
        let cut = self.answer.finish == Finish::Length;
        let status = match item {
            None => "in_progress",
            Some(_) if cut => "incomplete",
            Some(_) => "completed",
        };
        let output = self.answer.tokens;
        let usage = json!({
            "input_tokens": self.input, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": self.input + output,
        });
        json!({
            "id": self.id, "object": "response", "created_at": CREATED, "status": status, "error": null,
            "incomplete_details": (cut && item.is_some()).then(|| json!({"reason": "max_output_tokens"})),
            "instructions": null, "metadata": {}, "model": self.model, "output": item.into_iter().collect::<Vec<_>>(),
            "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
            "usage": item.map(|_| usage),
        })
    }

    /// The one item of the answer, begun or whole.
    fn item(&self, whole: bool) -> Value {
        let status = if whole { "completed" } else { "in_progress" };
        let text = if whole { self.answer.text() } else { "" };
        match &self.answer.tool {
            Some(name) => json!({
                "type": "function_call", "id": self.item_id(), "call_id": self.id.replace("resp", "call"),
                "name": name, "arguments": text, "status": status,
            }),
            None => {
                let content = if whole { vec![part(text)] } else { Vec::new() };
                json!({
                    "type": "message", "id": self.item_id(), "role": "assistant", "status": status,
                    "content": content,
                })
            }
        }
    }

    fn item_id(&self) -> String {
        self.id.replace("resp", if self.answer.tool.is_some() { "fc" } else { "msg" })
    }

    fn stream(self, plan: &Plan) -> Reply {
        let (id, is_call) = (self.item_id(), self.answer.tool.is_some());
        let about = |more: Value| merged(json!({"item_id": id, "output_index": 0}), more);
        let mut head = vec![
            ("response.created", json!({"response": self.response(None)})),
            ("response.in_progress", json!({"response": self.response(None)})),
            ("response.output_item.added", json!({"output_index": 0, "item": self.item(false)})),
        ];
        let text = self.answer.text();
        let mut tail = Vec::new();
        if is_call {
            tail.push(("response.function_call_arguments.done", about(json!({"arguments": text}))));
        } else {
            head.push(("response.content_part.added", about(json!({"content_index": 0, "part": part("")}))));
            let done = json!({"content_index": 0, "text": text, "logprobs": []});
            tail.push(("response.output_text.done", about(done)));
            tail.push(("response.content_part.done", about(json!({"content_index": 0, "part": part(text)}))));
        }
        let item = self.item(true);
        tail.push(("response.output_item.done", json!({"output_index": 0, "item": item})));
        let end =
            if self.answer.finish == Finish::Length { "response.incomplete" } else { "response.completed" };
        tail.push((end, json!({"response": self.response(Some(&item))})));
        let (begun, pieces) = (head.len(), self.answer.pieces());
        let head = numbered(0, &head);
        let tail = numbered(begun + pieces, &tail);
        let piece = move |i| {
            let data = json!({"item_id": id, "output_index": 0, "delta": self.answer.piece(i)});
            if is_call {
                return event(begun + i, "response.function_call_arguments.delta", &data);
            }
            let data = merged(data, json!({"content_index": 0, "logprobs": []}));
            event(begun + i, "response.output_text.delta", &data)
        };
        Script { head, pieces, piece, tail }.play(Dialect::Responses, plan)
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn merged(mut base: Value, more: Value) -> Value {
    if let (Some(base), Value::Object(more)) = (base.as_object_mut(), more) {
        base.extend(more);
    }
    base
}

fn numbered(from: usize, events: &[(&str, Value)]) -> String {
    events.iter().enumerate().map(|(i, (kind, data))| event(from + i, kind, data)).collect()
}

fn event(number: usize, kind: &str, data: &Value) -> String {
    let data = merged(json!({"type": kind, "sequence_number": number}), data.clone());
    format!("event: {kind}\ndata: {data}\n\n")
}
