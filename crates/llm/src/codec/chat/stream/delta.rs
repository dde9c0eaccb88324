//! What one chunk adds to a choice.

use crate::codec::read;

/// The members of a delta.
#[derive(Default)]
pub(super) struct Said<'a> {
    pub content: Option<&'a str>,
    pub refusal: Option<String>,
    pub thoughts: Option<String>,
    pub details: Option<&'a str>,
    pub calls: Option<&'a str>,
    pub older_call: Option<&'a str>,
    pub annotations: Option<&'a str>,
}

impl<'a> Said<'a> {
    /// Reads a member; says whether it is one of them.
    pub(super) fn read(&mut self, key: &str, value: &'a str) -> bool {
        match key {
            "content" if value != "null" => self.content = Some(value),
            "refusal" => self.refusal = read::text_if(value),
            "reasoning_content" | "reasoning" => {
                self.thoughts = read::text_if(value).filter(|text| !text.is_empty()).or(self.thoughts.take());
            }
            "reasoning_details" if value.starts_with('[') => self.details = Some(value),
            "tool_calls" if value.starts_with('[') => self.calls = Some(value),
            "function_call" if value.starts_with('{') => self.older_call = Some(value),
            "annotations" if value.starts_with('[') => self.annotations = Some(value),
            _ => return false,
        }
        true
    }
}
