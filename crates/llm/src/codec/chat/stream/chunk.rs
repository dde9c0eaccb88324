//! What stands in one chunk.

use super::super::message::Sources;
use crate::codec::read;
use crate::failure::UpstreamFailure;
use crate::members;

/// One chunk, as raw values.
#[derive(Default)]
pub(super) struct Chunk<'a> {
    pub id: Option<&'a str>,
    pub model: Option<&'a str>,
    pub object: Option<&'a str>,
    pub tier: Option<&'a str>,
    pub choices: Option<&'a str>,
    pub usage: Option<&'a str>,
    pub sources: Sources<'a>,
    pub failure: Option<UpstreamFailure>,
}

impl<'a> Chunk<'a> {
    /// Reads a member; says whether it is one of them.
    pub(super) fn read(&mut self, key: &str, value: &'a str) -> bool {
        match key {
            "id" => self.id = Some(value),
            "model" => self.model = Some(value),
            "object" => self.object = Some(value),
            "service_tier" => self.tier = Some(value),
            "choices" => self.choices = Some(value),
            "usage" if value.starts_with('{') => self.usage = Some(value),
            "error" if members::is_said(value) => self.failure = Some(UpstreamFailure::of_error(value)),
            // Groq.
            "x_groq" => {
                self.usage = read::member(value, "usage").or(self.usage);
                let failed = read::member(value, "error").filter(|error| members::is_said(error));
                self.failure = failed.map(UpstreamFailure::of_error).or(self.failure.take());
            }
            // MiniMax.
            "base_resp" => {
                self.failure = self.failure.take().or(crate::dialect::failed_base_response(value));
            }
            _ => return self.sources.read(key, value),
        }
        true
    }
}
