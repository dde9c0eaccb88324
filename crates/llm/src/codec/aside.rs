//! What only the provider's dialect says of an answer, beside what was generated: no other dialect has a place
//! for it, so for any other caller it is a loss, named once and by one rule for all of them.

use crate::neutral::{Dialect, Event, Ext};

/// At most this many members of one answer are named: many times what any provider is known to add.
const NAMED: usize = 32;

/// Values that say nothing.
const EMPTY: [&str; 4] = ["null", "[]", "{}", "\"\""];

/// The members of one answer that are lost, each named once.
#[derive(Debug)]
pub(super) struct Aside {
    dialect: Dialect,
    paths: Vec<Box<str>>,
    /// How many of them an event has told.
    told: usize,
}

impl Aside {
    /// Of an answer in `dialect`.
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, paths: Vec::new(), told: 0 }
    }

    /// A member that no other dialect has, below `within` (empty for the top level).
    pub(super) fn add(&mut self, within: &str, name: &str, value: &str) {
        let says = !EMPTY.contains(&value) && !repeated(self.dialect).contains(&name);
        let is = |path: &str| match path.strip_suffix(name) {
            Some("") => within.is_empty(),
            Some(before) => before.strip_suffix('.') == Some(within),
            None => false,
        };
        if says && self.paths.len() < NAMED && !self.paths.iter().any(|path| is(path)) {
            let dot = if within.is_empty() { "" } else { "." };
            self.paths.push(format!("{within}{dot}{name}").into());
        }
    }

    /// The same of all members in `ext`.
    pub(super) fn add_all(&mut self, within: &str, ext: &Ext) {
        ext.fields_of(self.dialect).iter().for_each(|(name, value)| self.add(within, name, value.text()));
    }

    /// Tells what was added since this was last asked.
    pub(super) fn tell(&mut self, events: &mut Vec<Event>) {
        events.extend(self.paths[self.told..].iter().cloned().map(Event::Aside));
        self.told = self.paths.len();
    }

    /// The paths of all.
    pub(super) fn into_paths(self) -> Vec<Box<str>> {
        self.paths
    }
}

/// Members that tell a caller nothing it lacks: what repeats its request, what names the provider's build, pads
/// an event or measures its time, and what is read elsewhere (citations, failures, sequences).
fn repeated(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::OpenAiChat => &[
            "role",
            "object",
            "created",
            "system_fingerprint",
            "obfuscation",
            "x_groq",
            "base_resp",
            "error",
            "search_results",
            "citations",
        ],
        Dialect::OpenAiResponses => &[
            "background",
            "completed_at",
            "conversation",
            "frequency_penalty",
            "instructions",
            "max_output_tokens",
            "max_tool_calls",
            "metadata",
            "output_text",
            "parallel_tool_calls",
            "presence_penalty",
            "previous_response_id",
            "prompt",
            "prompt_cache_key",
            "prompt_cache_retention",
            "reasoning",
            "safety_identifier",
            "store",
            "temperature",
            "text",
            "tool_choice",
            "tools",
            "top_logprobs",
            "top_p",
            "truncation",
            "user",
        ],
        Dialect::AnthropicMessages => &["type", "role"],
        Dialect::Gemini => &["createTime", "citationMetadata", "tokenCount"],
        Dialect::BedrockConverse => &["metrics", "performanceConfig", "p"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_something_is_told_once_for_each_place() {
        let mut aside = Aside::new(Dialect::OpenAiChat);
        let mut events = Vec::new();
        for (within, name, value) in [
            ("", "moderation", "{\"flagged\":true}"),
            ("choices", "moderation", "1"),
            ("", "moderation", "2"),
            ("", "system_fingerprint", "\"fp\""),
            ("", "prompt_filter_results", "[]"),
            ("choices.delta", "moderation", "null"),
        ] {
            aside.add(within, name, value);
        }
        aside.tell(&mut events);
        aside.tell(&mut events);
        let told = ["moderation", "choices.moderation"].map(|path| Event::Aside(path.into()));
        assert_eq!(events, told);
    }

    #[test]
    fn an_answer_without_end_takes_no_memory_without_end() {
        let mut aside = Aside::new(Dialect::Gemini);
        (0..1_000).for_each(|at| aside.add("candidates", &format!("field{at}"), "1"));
        assert_eq!(aside.into_paths().len(), NAMED);
    }
}
