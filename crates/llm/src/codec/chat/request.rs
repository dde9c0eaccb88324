//! Reads a request.

use model::Rejection;

use super::message::{self, Message};
use super::{OWN, tools};
use crate::codec::{invalid, read};
use crate::cursor::Cursor;
use crate::json::Fault;
use crate::members;
use crate::neutral::{
    Block, Ext, Format, Part, Raw, ReasoningWish, Request, Role, Thinking, Tool, ToolKind, Turn,
};

/// Reads a request to Chat Completions.
pub(super) fn decode(body: &str) -> Result<Request, Rejection> {
    let mut request = Request::new(OWN, "");
    let mut messages = Err(invalid("The field `messages` must be an array.", "messages"));
    let (mut names, mut functions, mut function_call) = (Names::default(), None, None);
    let mut cursor = Cursor::new(body);
    let read = cursor.object(|key, value| {
        if key == "messages" && value.first() == b'[' {
            messages = converse(value)?;
            return Ok(());
        }
        let value = value.raw()?;
        match key {
            "messages" => messages = Err(invalid("The field `messages` must be an array.", "messages")),
            // Older, and only read where the newer are not there.
            "functions" => functions = Some(value),
            "function_call" => function_call = Some(value),
            "safety_identifier" => names.safety = read::text_if(value),
            "max_tokens" => names.older_most = read::count(value),
            "logprobs" => names.likely = read::flag(value).unwrap_or_default(),
            "top_logprobs" if value != "null" => names.top = Some(value.to_owned()),
            _ if wish(&mut request.reasoning, key, value) => {}
            _ => field(&mut request, key, value),
        }
        Ok(())
    });
    read.and_then(|()| cursor.end()).map_err(|_| invalid("The request body is not a JSON object.", ""))?;
    if request.model.is_empty() {
        return Err(invalid("The field `model` must be a non-empty string.", "model"));
    }
    names.settle(&mut request);
    if let Some(raw) = functions.filter(|_| request.tools.is_empty()) {
        request.tools = members::elements(raw).into_iter().map(tools::function).collect();
        request.tool_choice = function_call.and_then(tools::older_choice);
    }
    let conversation = messages?;
    request.instructions = conversation.instructions;
    request.turns = conversation.turns;
    Ok(request)
}

/// Fields that have two names.
#[derive(Default)]
struct Names {
    safety: Option<String>,
    older_most: Option<u64>,
    likely: bool,
    top: Option<String>,
}

impl Names {
    fn settle(self, request: &mut Request) {
        request.max_output = request.max_output.or(self.older_most);
        match (self.likely, self.top) {
            (true, top) => {
                request.sampling.logprobs = Some(top.and_then(|top| read::count(&top)).unwrap_or(0));
            }
            (false, Some(top)) => request.ext.keep(OWN, "top_logprobs", &top),
            (false, None) => {}
        }
        match (&request.caller, self.safety) {
            (None, safety) => request.caller = safety,
            (Some(user), Some(safety)) if *user != safety => {
                let quoted = serde_json::to_string(&safety).unwrap_or_default();
                request.ext.keep(OWN, "safety_identifier", &quoted);
            }
            _ => {}
        }
    }
}

fn field(request: &mut Request, key: &str, value: &str) {
    let number = |value| read::said(value);
    match key {
        "model" => request.model = read::text(value),
        "stream" => request.stream = value == "true",
        "stream_options" => stream_options(request, value),
        "max_completion_tokens" => request.max_output = read::count(value),
        "temperature" => request.sampling.temperature = number(value),
        "top_p" => request.sampling.top_p = number(value),
        "top_k" => request.sampling.top_k = number(value),
        "seed" => request.sampling.seed = number(value),
        "presence_penalty" => request.sampling.presence_penalty = number(value),
        "frequency_penalty" => request.sampling.frequency_penalty = number(value),
        "stop" => request.sampling.stop = read::texts(value),
        "n" => {
            let choices = read::count(value).unwrap_or(1).max(1);
            request.choices = u32::try_from(choices).unwrap_or(u32::MAX);
        }
        "tools" => request.tools.extend(members::elements(value).into_iter().map(tools::decode)),
        "web_search_options" if value.starts_with('{') => request.tools.push(web_search(value)),
        "tool_choice" => request.tool_choice = tools::choice(value),
        "parallel_tool_calls" => request.parallel_tools = read::flag(value),
        "response_format" => request.format = format(value, &mut request.ext),
        "verbosity" => request.verbosity = read::text_if(value),
        "user" => request.caller = read::text_if(value),
        "prompt_cache_key" => request.cache.key = read::text_if(value),
        "prompt_cache_retention" => request.cache.retention = read::text_if(value),
        "cache_control" => request.cache.whole = read::cache_mark(value),
        "service_tier" => request.tier = read::text_if(value),
        _ => request.ext.keep(OWN, key, value),
    }
}

fn stream_options(request: &mut Request, raw: &str) {
    let mut others = false;
    let _ = members::each(raw, |key, value| match key {
        "include_usage" => request.include_usage = value == "true",
        _ => others = true,
    });
    if others {
        request.ext.keep(OWN, "stream_options", raw);
    }
}

/// Reads how much to think, in the words of OpenAI and of the vendors. Says whether it was that.
fn wish(wish: &mut ReasoningWish, key: &str, value: &str) -> bool {
    match key {
        "reasoning_effort" => match read::effort(value) {
            Some(effort) => wish.effort = Some(effort),
            None if value == "null" => {}
            None => return false,
        },
        // OpenRouter.
        "reasoning" if value.starts_with('{') => {
            let _ = members::each(value, |key, value| match key {
                "effort" => wish.effort = read::effort(value).or(wish.effort),
                "max_tokens" => wish.budget = read::count(value),
                "exclude" => wish.shown = read::flag(value).map(|exclude| !exclude),
                "enabled" if value == "true" => wish.thinking = Some(Thinking::On),
                "enabled" if value == "false" => wish.thinking = Some(Thinking::Off),
                _ => wish.ext.keep(OWN, key, value),
            });
        }
        // Zhipu, Moonshot, DeepSeek, Volcengine.
        "thinking" if value.starts_with('{') => {
            let _ = members::each(value, |key, value| match key {
                "type" => wish.thinking = thinking(&read::text(value)),
                "budget_tokens" => wish.budget = read::count(value),
                _ => wish.ext.keep(OWN, key, value),
            });
        }
        // Qwen.
        "enable_thinking" => {
            let on = if value == "true" { Thinking::On } else { Thinking::Off };
            wish.thinking = read::flag(value).map(|_| on);
        }
        "thinking_budget" => wish.budget = read::count(value),
        _ => return false,
    }
    true
}

fn thinking(word: &str) -> Option<Thinking> {
    match word {
        "enabled" => Some(Thinking::On),
        "disabled" => Some(Thinking::Off),
        "adaptive" | "auto" => Some(Thinking::Adaptive),
        _ => None,
    }
}

fn web_search(options: &str) -> Tool {
    let mut ext = Ext::default();
    let _ = members::each(options, |key, value| ext.keep(OWN, key, value));
    Tool {
        kind: ToolKind::WebSearch,
        name: "web_search".to_owned(),
        description: None,
        schema: None,
        strict: None,
        cache: None,
        ext,
    }
}

fn format(raw: &str, ext: &mut Ext) -> Format {
    let kind = read::member_text(raw, "type");
    match kind.as_deref() {
        Some("json_object") => Format::Json,
        Some("json_schema") => schema_format(read::member(raw, "json_schema").unwrap_or("{}")),
        Some("text") | None => Format::Text,
        Some(_) => {
            ext.keep(OWN, "response_format", raw);
            Format::Text
        }
    }
}

fn schema_format(raw: &str) -> Format {
    let (mut name, mut description, mut schema, mut strict) = (None, None, None, None);
    let _ = members::each(raw, |key, value| match key {
        "name" => name = read::text_if(value),
        "description" => description = read::text_if(value),
        "schema" => schema = read::said(value),
        "strict" => strict = read::flag(value),
        _ => {}
    });
    let schema = schema.unwrap_or_else(|| Raw::new("{}"));
    Format::Schema { name, description, schema, strict }
}

/// What is said.
#[derive(Default)]
struct Conversation {
    instructions: Vec<Turn>,
    turns: Vec<Turn>,
}

/// Reads the messages: what leads are instructions, the rest are turns.
fn converse(messages: &mut Cursor<'_>) -> Result<Result<Conversation, Rejection>, Fault> {
    let (mut conversation, mut refused, mut place) = (Conversation::default(), None, 0);
    messages.array(|value| {
        match message::decode_at(value, place)? {
            Ok(message) => conversation.take(message),
            Err(rejection) => refused = refused.take().or(Some(rejection)),
        }
        place += 1;
        Ok(())
    })?;
    Ok(refused.map_or(Ok(conversation), Err))
}

impl Conversation {
    fn take(&mut self, Message { turn, is_result }: Message) {
        let instructs = matches!(turn.role, Role::System | Role::Developer);
        if instructs && self.turns.is_empty() {
            self.instructions.push(turn);
        } else if let Some(last) = self.turns.last_mut().filter(|last| is_result && is_round(last)) {
            last.parts.extend(turn.parts);
        } else {
            self.turns.push(turn);
        }
    }
}

/// Whether the results of one round, which are one turn, may go on in `turn`.
fn is_round(turn: &Turn) -> bool {
    let is_result = |part: &Part| matches!(part.block, Block::ToolResult(_));
    turn.parts.iter().all(is_result) && !turn.parts.is_empty()
}
