//! What of a request the answer depends on.

use model::{Usage, UsageSource};

use super::AnswerTool;
use crate::neutral::{Dialect, Ext, Namespaced, Request, ToolKind, Used};

/// What the encoder of an answer must know of the request.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The model that the caller asked for: named where the provider does not say which answered.
    pub model: String,
    /// Whether a stream shall state usage, in dialects where that must be asked for.
    pub include_usage: bool,
    /// Whether a stream shall be one JSON array instead of events (Gemini without `alt=sse`).
    pub as_array: bool,
    /// How many answers were asked for.
    pub choices: u32,
    /// The names of custom tools: their calls are free text for the caller, whatever the provider made
    /// of them.
    pub custom_tools: Vec<String>,
    /// Tools that were sent under another name than the caller's: the name sent, and the caller's.
    pub renamed_tools: Vec<(String, String)>,
    /// The tool that the answer comes by, where the model has no other form for it.
    pub answer_tool: Option<AnswerTool>,
    /// Tools that the caller keeps in namespaces.
    pub namespaces: Vec<Namespaced>,
    /// Whose seals the thoughts of the answer have, where they go back only with their text.
    pub sealer: Option<Dialect>,
    /// What answers of OpenAI's Responses repeat of the request.
    pub response: Ext,
    /// Members of the request that answers repeat, for its own dialect.
    pub echo: Ext,
    /// The prompt's size in tokens, as far as it can be told before the provider tells it.
    pub input_estimate: u64,
    /// When the answer begins, in seconds since the epoch.
    pub created: u64,
    /// An id for answers to which the provider gives none: letters and digits.
    pub id: String,
}

impl Asked {
    /// What answers to `request` must know of it, but for the time and the id.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let custom = |tool: &&crate::neutral::Tool| matches!(tool.kind, ToolKind::Custom(_));
        Self {
            model: request.model.clone(),
            include_usage: request.include_usage,
            choices: request.choices,
            custom_tools: request.tools.iter().filter(custom).map(|tool| tool.name.clone()).collect(),
            namespaces: request.namespaces.clone(),
            response: super::responses::echo(request),
            echo: request.ext.clone(),
            ..Self::default()
        }
    }

    /// What an answer is taken to have used whose provider does not say: the prompt as it was estimated,
    /// and `bytes` of what was generated.
    #[must_use]
    pub fn estimated(&self, bytes: u64) -> Used {
        let counters = Usage {
            input: self.input_estimate,
            output: crate::scanner::estimate_tokens(bytes),
            source: UsageSource::Estimated,
            ..Usage::default()
        };
        Used { counters, ..Used::default() }
    }

    /// The id of an answer in a dialect whose ids begin with `prefix`: the provider's own where it is one,
    /// or else made from it.
    #[must_use]
    pub fn reply_id(&self, prefix: &str, native: &str) -> String {
        if native.is_empty() {
            return format!("{prefix}{}", self.id);
        }
        if native.starts_with(prefix) {
            return native.to_owned();
        }
        let known = ["chatcmpl-", "resp_", "msg_"];
        let bare = known.iter().find_map(|known| native.strip_prefix(known)).unwrap_or(native);
        format!("{prefix}{bare}")
    }

    /// The caller's name for a tool that the provider calls `name`.
    #[must_use]
    pub fn tool_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.renamed_tools.iter().find(|(sent, _)| sent == name).map_or(name, |(_, own)| own)
    }

    /// Whether the tool `name` (as the caller calls it) takes free text.
    #[must_use]
    pub fn is_custom(&self, name: &str) -> bool {
        self.custom_tools.iter().any(|custom| custom == name)
    }

    /// A member of the request that answers in `dialect` repeat.
    #[must_use]
    pub fn echoed(&self, dialect: Dialect, name: &str) -> Option<&str> {
        self.echo.get(dialect, name).map(crate::neutral::Raw::text)
    }
}
