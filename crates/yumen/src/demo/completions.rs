//! `POST /v1/completions`.

use serde_json::{Value, json};

use super::answer::{Answer, Ask, Finish};
use super::chat::{MOST_TOKENS, usage, wants_usage};
use super::fields::Fields;
use super::plan::Plan;
use super::refusal::{Dialect, Refusal};
use super::reply::{CREATED, Reply, identifier};
use super::script::Script;
use super::tool::Choice;
use super::{CHAT, text};

/// Continues a prompt.
pub fn answer(fields: &Fields) -> Result<Reply, Refusal> {
    let model = fields.model(CHAT)?;
    let streamed = fields.truth("stream")?;
    let prompts = fields.texts("prompt")?;
    fields.check_range("temperature", 0.0, 2.0)?;
    let ask = Ask {
        last: prompts.join(" "),
        tools: Vec::new(),
        choice: Choice::None,
        most_tokens: fields.whole_number("max_tokens", 0, MOST_TOKENS)?,
        stops: fields.texts("stop")?,
    };
    let include_usage = wants_usage(fields, streamed)?;
    let plan = Plan::read(fields, streamed)?;
    let answer = Answer::compose(&ask, &plan)?;
    let usage = usage(text::count(&ask.last), answer.tokens);
    let frame = Frame { id: identifier("cmpl", fields.whole()), model };
    let finish = if answer.finish == Finish::Length { "length" } else { "stop" };
    if !streamed {
        let mut body = frame.body(answer.text(), Some(finish));
        body["usage"] = usage;
        return Ok(Reply::planned(&body, &plan));
    }
    Ok(stream(frame, answer, (finish, include_usage.then_some(usage)), &plan))
}

struct Frame {
    id: String,
    model: String,
}

impl Frame {
    fn body(&self, text: &str, finish: Option<&str>) -> Value {
        json!({
            "id": self.id, "object": "text_completion", "created": CREATED, "model": self.model,
            "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}],
        })
    }
}

fn stream(frame: Frame, answer: Answer, end: (&str, Option<Value>), plan: &Plan) -> Reply {
    let (finish, usage) = end;
    let mut tail = format!("data: {}\n\n", frame.body("", Some(finish)));
    if let Some(usage) = usage {
        let mut last = frame.body("", None);
        last["choices"] = json!([]);
        last["usage"] = usage;
        tail += &format!("data: {last}\n\n");
    }
    tail += "data: [DONE]\n\n";
    let pieces = answer.pieces();
    let piece = move |i| format!("data: {}\n\n", frame.body(answer.piece(i), None));
    Script { head: String::new(), pieces, piece, tail }.play(Dialect::OpenAi, plan)
}
