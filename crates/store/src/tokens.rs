//! Tokens by kind as they stand in lines of JSON, which earlier versions wrote: an array.

use std::borrow::Cow;

use model::{Usage, UsageSource};
use serde::Deserialize;

/// [`Usage`], with the name of its source.
#[derive(Deserialize)]
pub(crate) struct Tokens<'r>(u64, u64, u64, u64, u64, u64, u64, u64, u64, #[serde(borrow)] Cow<'r, str>);

impl Tokens<'_> {
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            input: self.0,
            output: self.1,
            cache_read: self.2,
            cache_write_5m: self.3,
            cache_write_1h: self.4,
            reasoning: self.5,
            audio_in: self.6,
            audio_out: self.7,
            web_searches: self.8,
            source: [UsageSource::Measured, UsageSource::Estimated]
                .into_iter()
                .find(|source| source.name() == self.9)
                .unwrap_or(UsageSource::None),
            ..Usage::default()
        }
    }
}
