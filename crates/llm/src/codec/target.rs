//! What codecs are told besides the text that they read or write.

use crate::neutral::Dialect;
use crate::provider::Quirks;
use crate::usage::Conventions;

/// What dialects say of a request in its path and not in its body. Those that say it in the body do not
/// look here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addressed<'a> {
    /// The model asked for.
    pub model: &'a str,
    /// Whether a stream is asked for.
    pub stream: bool,
}

/// The account that a request is written for.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The provider's preset (`openai`, `deepseek`).
    pub provider: &'a str,
    /// What the provider calls the model.
    pub model: &'a str,
    /// Where the provider deviates from its dialect.
    pub quirks: &'a Quirks,
    /// The longest answer to ask for, in place of a longer one that the caller asks for.
    pub clamp: Option<u64>,
    /// The longest answer that the model can give: what is asked for in dialects that demand a number
    /// where the caller names none.
    pub max_output: u64,
}

impl Target<'_> {
    /// The longest answer to ask for, given what the caller asks for.
    #[must_use]
    pub fn most(&self, wished: Option<u64>) -> Option<u64> {
        match (wished, self.clamp) {
            (Some(wished), Some(clamp)) => Some(wished.min(clamp)),
            (wished, clamp) => wished.or(clamp),
        }
    }
}

/// The account that an answer comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Where the provider deviates from its dialect.
    pub quirks: &'a Quirks,
    /// How many answers were asked for: what makes a stream whole where no marker ends it.
    pub choices: u32,
}

impl Source<'_> {
    /// How the provider's usage is meant, in `dialect`.
    pub(crate) fn conventions(&self, dialect: Dialect) -> Conventions {
        self.quirks.conventions_of(dialect)
    }
}
