//! Answers that follow a schema, of models that know nothing of schemas but in their tools: the model is made
//! to call a tool whose arguments are the answer, and the caller gets them as the text that it asked for
//! (dialects reference §2.5).

use std::sync::Arc;

use super::{read, schema, subset};
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{
    Block, Delta, Event, Field, Format, Losses, Part, PartKind, Raw, Reply, Request, Role, Stop, Tool,
    ToolCall, ToolChoice, ToolKind, Turn,
};

/// What the tool is called, unless the caller has one of that name.
const NAME: &str = "structured_answer";
/// What it is for, in words for the model.
const ABOUT: &str = "Gives the answer. Call this once, with the whole answer, instead of writing it as text.";
/// The one argument of a tool whose answer is no object.
const ARGUMENT: &str = "answer";

/// The tool that an answer comes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerTool {
    /// Its name.
    name: String,
    /// Whether the answer is the one argument, and not all of them.
    is_wrapped: bool,
}

/// Puts the tool in the place of the form that `request` asks for. `None` where the caller insists on a call
/// of a tool of its own: that call has no other form.
pub(super) fn offer(request: &mut Request, losses: &mut Losses) -> Option<AnswerTool> {
    let path = request.origin.field(Field::Format);
    let Format::Schema { name, description, schema, .. } = std::mem::take(&mut request.format) else {
        return None;
    };
    let choice = match &request.tool_choice {
        Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Among { required: true, .. }) => {
            losses.advisory(path, "a call of a tool is asked for, which has its own form");
            return None;
        }
        Some(ToolChoice::None) => None,
        _ if request.tools.is_empty() => None,
        _ => Some(ToolChoice::Required),
    };
    let mut own = NAME.to_owned();
    while request.tools.iter().any(|tool| tool.name == own) {
        own.push('_');
    }
    let about = [Some(ABOUT), name.as_deref(), description.as_deref()];
    let (is_wrapped, schema) = wrapped(&schema);
    request.tools.push(Tool {
        kind: ToolKind::Function,
        name: own.clone(),
        description: Some(about.into_iter().flatten().collect::<Vec<_>>().join("\n")),
        schema: Some(Raw::new(schema)),
        strict: None,
        cache: None,
        ext: crate::neutral::Ext::default(),
    });
    if request.reasoning.is_wanted() {
        losses.meaning(path, "a model that thinks can only be told to answer in this form");
        let words = format!("Give your final answer by calling the tool `{own}`, and not as text.");
        let place = request.instructions.last().map_or(0, |turn| turn.place);
        request.instructions.push(Turn::new(Role::System, vec![Part::text(words)], place));
        request.tool_choice = Some(ToolChoice::Auto);
    } else {
        losses.advisory(path, "the model answers in this form by a tool");
        request.tool_choice = Some(choice.unwrap_or_else(|| ToolChoice::Named(own.clone())));
    }
    Some(AnswerTool { name: own, is_wrapped })
}

/// The schema as that of arguments, which are an object, and whether it had to be made the one argument.
fn wrapped(schema: &Raw) -> (bool, String) {
    let text = schema.text();
    if subset::is_plain_object(text) {
        return (false, schema::of_object(schema).into_owned());
    }
    let mut json = JsonWriter::with_capacity(text.len() + 96);
    json.object(|json| {
        json.text_member("type", "object");
        json.key("properties").object(|json| {
            json.key(ARGUMENT);
            match text.starts_with('{') {
                // References lead to the root.
                true => json.object(|json| {
                    let _ = members::each(text, |word, value| {
                        if !is_definitions(word) {
                            json.raw_member(word, value);
                        }
                    });
                }),
                false => json.raw(text),
            }
        });
        json.key("required").array(|json| json.text(ARGUMENT));
        let _ = members::each(text, |word, value| {
            if is_definitions(word) {
                json.raw_member(word, value);
            }
        });
    });
    (true, json.into_string())
}

fn is_definitions(word: &str) -> bool {
    matches!(word, "$defs" | "definitions")
}

impl AnswerTool {
    fn is_called(&self, call: &ToolCall) -> bool {
        call.name == self.name
    }

    /// The answer in the arguments of a call.
    fn answer(&self, args: &str) -> String {
        let args = if args.trim_ascii().is_empty() { "{}" } else { args };
        match self.is_wrapped {
            // What the model wrote otherwise is at least shown.
            true => read::member(args, ARGUMENT).unwrap_or(args).to_owned(),
            false => args.to_owned(),
        }
    }
}

/// Gives a whole answer the form that its caller asked for.
pub(super) fn tell(reply: &mut Reply, tool: &AnswerTool) {
    for choice in &mut reply.choices {
        let is_call = |part: &Part| matches!(&part.block, Block::ToolCall(call) if tool.is_called(call));
        let Some(at) = choice.parts.iter().position(is_call) else { continue };
        let Block::ToolCall(call) = &choice.parts[at].block else { continue };
        let answer = Part::text(tool.answer(&call.args));
        choice.parts[at] = answer;
        // What the model said before it called would stand in front of the answer.
        let mut place = 0;
        choice.parts.retain(|part| {
            place += 1;
            place == at + 1 || !(matches!(part.block, Block::Text(_)) || is_call(part))
        });
        let has_calls = choice.parts.iter().any(|part| matches!(part.block, Block::ToolCall(_)));
        if choice.stop == Stop::ToolUse && !has_calls {
            choice.stop = Stop::End;
        }
    }
}

/// Gives a stream the form that its caller asked for.
#[derive(Debug, Default)]
pub(super) struct Answers {
    tool: Option<Arc<AnswerTool>>,
    /// Text of the model's, until it is known whether an answer follows that it would stand in front of.
    held: Vec<Event>,
    texts: Vec<u32>,
    /// The part that is the answer, and its arguments where they must be unwrapped.
    answer: Option<(u32, String)>,
    has_begun: bool,
    /// Further calls of the tool: the first one counts.
    ignored: Vec<u32>,
    has_calls: bool,
}

impl Answers {
    /// Of a request that was given `tool`; where it was given none everything passes.
    pub(super) fn of(tool: Option<AnswerTool>) -> Self {
        Self { tool: tool.map(Arc::new), ..Self::default() }
    }

    /// Takes the next event and hands on what the caller is to see.
    pub(super) fn push(&mut self, event: Event, mut each: impl FnMut(Event)) {
        // Counted, not copied: once for each event of the stream.
        let Some(tool) = self.tool.clone() else {
            return each(event);
        };
        match event {
            Event::PartStart { part, choice, kind: PartKind::ToolCall(call) } if tool.is_called(&call) => {
                self.held.clear();
                if self.has_begun {
                    return self.ignored.push(part);
                }
                self.has_begun = true;
                self.answer = Some((part, String::new()));
                each(Event::PartStart { part, choice, kind: PartKind::Text });
                self.add(part, call.args, &tool, &mut each);
            }
            Event::PartStart { part, kind: PartKind::Text, .. } => {
                self.texts.push(part);
                self.hold(event);
            }
            Event::PartStart { kind: PartKind::ToolCall(_), .. } => {
                self.has_calls = true;
                self.held.drain(..).for_each(&mut each);
                self.texts.clear();
                each(event);
            }
            Event::Delta { part, .. } | Event::PartStop { part } if self.texts.contains(&part) => {
                self.hold(event);
            }
            Event::Delta { part, .. } | Event::PartStop { part } if self.ignored.contains(&part) => {}
            Event::Delta { part, delta } if self.is_answer(part) => {
                if let Delta::Args(args) = delta {
                    self.add(part, args, &tool, &mut each);
                }
            }
            Event::PartStop { part } if self.is_answer(part) => {
                let (_, held) = self.answer.take().unwrap_or_default();
                if tool.is_wrapped || held.is_empty() {
                    each(Event::Delta { part, delta: Delta::Text(tool.answer(&held)) });
                }
                each(event);
            }
            Event::Finish { choice, stop, native } => {
                self.held.drain(..).for_each(&mut each);
                let is_end = stop == Stop::ToolUse && self.has_begun && !self.has_calls;
                each(Event::Finish { choice, stop: if is_end { Stop::End } else { stop }, native });
            }
            other => each(other),
        }
    }

    fn is_answer(&self, part: u32) -> bool {
        self.answer.as_ref().is_some_and(|(own, _)| *own == part)
    }

    /// Keeps what may have to be left out; behind the answer it is left out.
    fn hold(&mut self, event: Event) {
        if !self.has_begun {
            self.held.push(event);
        }
    }

    /// Adds to the answer. What need not be unwrapped goes on at once.
    fn add(&mut self, part: u32, args: String, tool: &AnswerTool, each: &mut impl FnMut(Event)) {
        let Some((_, held)) = self.answer.as_mut().filter(|_| !args.is_empty()) else { return };
        if tool.is_wrapped {
            return held.push_str(&args);
        }
        // Only that there was something is remembered.
        if held.is_empty() {
            held.push(' ');
        }
        each(Event::Delta { part, delta: Delta::Text(args) });
    }
}

#[cfg(test)]
mod tests;
