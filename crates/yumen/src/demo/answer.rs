//! What the simulator says, before any dialect dresses it.

use super::plan::Plan;
use super::refusal::Refusal;
use super::text;
use super::tool::{Choice, Tool, arguments};

/// What a caller asks for, in either dialect.
pub struct Ask {
    /// The text of the last message.
    pub last: String,
    /// The tools on offer.
    pub tools: Vec<Tool>,
    /// Whether one has to be called.
    pub choice: Choice,
    /// The most tokens that the answer may have.
    pub most_tokens: Option<u64>,
    /// Texts at which the answer stops.
    pub stops: Vec<String>,
}

/// Why the answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// All was said.
    Stop,
    /// At one of the caller's stop texts.
    StopText(String),
    /// The most tokens were reached.
    Length,
    /// A tool is called.
    Tool,
}

/// An answer: words, or a tool call's arguments, in pieces.
pub struct Answer {
    /// The tool that is called; the pieces are then its arguments.
    pub tool: Option<String>,
    /// Why it ends.
    pub finish: Finish,
    /// How many tokens it has.
    pub tokens: u64,
    text: String,
    ends: Vec<usize>,
}

impl Answer {
    /// Makes up the answer.
    pub fn compose(ask: &Ask, plan: &Plan) -> Result<Self, Refusal> {
        if let Some(tool) = chosen(ask, plan)? {
            let text = arguments(&tool.schema).to_string();
            return Ok(Self::of(text, Some(tool.name.clone()), Finish::Tool, plan.chunk));
        }
        let mut text = text::answer_to(&ask.last, plan.tokens);
        let mut finish = Finish::Stop;
        let stops = ask.stops.iter().filter(|stop| !stop.is_empty());
        if let Some((at, stop)) = stops.filter_map(|stop| Some((text.find(stop.as_str())?, stop))).min() {
            text.truncate(at);
            finish = Finish::StopText(stop.clone());
        }
        if let Some(most) = ask.most_tokens.filter(|most| *most < text::count(&text)) {
            text = text::tokens(&text).take(usize::try_from(most).unwrap_or(usize::MAX)).collect();
            finish = Finish::Length;
        }
        Ok(Self::of(text, None, finish, plan.chunk))
    }

    fn of(text: String, tool: Option<String>, finish: Finish, chunk: usize) -> Self {
        let mut end = 0;
        let mut ends: Vec<usize> = Vec::new();
        let mut tokens: u64 = 0;
        for (i, token) in text::tokens(&text).enumerate() {
            end += token.len();
            tokens += 1;
            match ends.last_mut() {
                Some(last) if i % chunk != 0 => *last = end,
                _ => ends.push(end),
            }
        }
        Self { tool, finish, tokens, text, ends }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many pieces it comes in.
    pub fn pieces(&self) -> usize {
        self.ends.len()
    }

    /// The piece at `i`, which must be less than [`Answer::pieces`].
    pub fn piece(&self, i: usize) -> &str {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.text[start..self.ends[i]]
    }
}

/// The tool to call, if any.
fn chosen<'a>(ask: &'a Ask, plan: &'a Plan) -> Result<Option<&'a Tool>, Refusal> {
    let name = match (&plan.tool, &ask.choice) {
        (_, Choice::None) | (None, Choice::Free) => return Ok(None),
        (Some(name), _) | (None, Choice::Named(name)) => name,
        (None, Choice::Any) => {
            return ask.tools.first().map(Some).ok_or_else(|| {
                Refusal::field("tool_choice", "'tool_choice' is only allowed when 'tools' are specified.")
            });
        }
    };
    let tool = ask.tools.iter().find(|tool| tool.name == *name);
    tool.map(Some)
        .ok_or_else(|| Refusal::field("tool_choice", format!("Tool '{name}' not found in 'tools'.")))
}
