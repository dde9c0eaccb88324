//! What is answered, as a whole.

use model::Usage;

use super::{Ext, Part, Raw};

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The provider's id of it; empty where it gave none.
    pub id: String,
    /// The model that answered; empty where the provider did not say.
    pub model: String,
    /// When, in seconds since the epoch, where the provider says so.
    pub created: Option<u64>,
    /// The answers, in the order of their indices: one, as a rule.
    pub choices: Vec<Choice>,
    /// What was used.
    pub usage: Option<Used>,
    /// The service tier that served it.
    pub tier: Option<String>,
    /// What only its own dialect knows.
    pub ext: Ext,
    /// The paths of all that only its own dialect can say, here and in its choices: lost in any other.
    pub aside: Vec<Box<str>>,
}

/// One of the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub index: u32,
    /// What was generated, in order.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub stop: Stop,
    /// The same in the provider's own words.
    pub native: Option<String>,
    /// How likely the tokens of its text were: a list as OpenAI has it.
    pub logprobs: Option<Raw>,
    /// What only its own dialect knows.
    pub ext: Ext,
}

/// Why an answer ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// It was finished.
    #[default]
    End,
    /// It was as long as it may be.
    Length,
    /// The model's context was full.
    ContextFull,
    /// Tools must be run.
    ToolUse,
    /// It came to one of the caller's texts, this one if the provider says which.
    Sequence(Option<String>),
    /// The model refused.
    Refusal,
    /// The provider's filter cut it off.
    Filter,
    /// The provider paused; the turn can be continued.
    Pause,
    /// The model wrote a tool call that nobody can read.
    MalformedTool,
}

/// What was used, counted as the gateway counts, and as the provider stated it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The disjoint counters.
    pub counters: Usage,
    /// The provider's own members, for its own dialect.
    pub ext: Ext,
}
