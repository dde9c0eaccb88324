//! What is asked.

use super::{Cache, Dialect, Ext, Part, Raw};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The dialect that it was read from.
    pub origin: Dialect,
    /// The model asked for.
    pub model: String,
    /// What comes before the first turn: system and developer messages, in order.
    pub instructions: Vec<Turn>,
    /// The conversation, as the caller grouped it: neighbours may have the same role.
    pub turns: Vec<Turn>,
    /// The tools offered.
    pub tools: Vec<Tool>,
    /// Which of them must be used.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls may come at once.
    pub parallel_tools: Option<bool>,
    /// The longest answer, in tokens.
    pub max_output: Option<u64>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The form of the answer.
    pub format: Format,
    /// How much to think.
    pub reasoning: ReasoningWish,
    /// How long-winded the answer is (`low`, `medium`, `high`).
    pub verbosity: Option<String>,
    /// What the provider's cache is told about the request as a whole.
    pub cache: CacheWish,
    /// The service tier, in the words of its dialect.
    pub tier: Option<String>,
    /// Whom the request is for.
    pub caller: Option<String>,
    /// How many answers, at least 1.
    pub choices: u32,
    /// Whether the answer shall be a stream.
    pub stream: bool,
    /// Whether the stream shall state usage, in dialects where that must be asked for.
    pub include_usage: bool,
    /// Tools that stand in a namespace, in the one dialect that has those.
    pub namespaces: Vec<Namespaced>,
    /// What only its own dialect knows.
    pub ext: Ext,
}

/// A tool in a namespace, and the one name that stands for both elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaced {
    /// The name in [`Tool::name`].
    pub flat: String,
    /// The namespace.
    pub namespace: String,
    /// The tool's name in it.
    pub name: String,
}

impl Request {
    /// A request that asks nothing yet.
    #[must_use]
    pub fn new(origin: Dialect, model: impl Into<String>) -> Self {
        Self {
            origin,
            model: model.into(),
            instructions: Vec::new(),
            turns: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_tools: None,
            max_output: None,
            sampling: Sampling::default(),
            format: Format::Text,
            reasoning: ReasoningWish::default(),
            verbosity: None,
            cache: CacheWish::default(),
            tier: None,
            caller: None,
            choices: 1,
            stream: false,
            include_usage: false,
            namespaces: Vec::new(),
            ext: Ext::default(),
        }
    }
}

impl Request {
    /// About how many bytes it takes to write the request, so that whoever does need not make room again
    /// and again.
    pub(crate) fn room(&self) -> usize {
        let turns = self.instructions.iter().chain(&self.turns);
        let parts: usize = turns.flat_map(|turn| &turn.parts).map(Part::room).sum();
        let schema = |tool: &Tool| tool.schema.as_ref().map_or(0, |schema| schema.text().len());
        let description = |tool: &Tool| tool.description.as_ref().map_or(0, String::len);
        let tools: usize = self.tools.iter().map(|tool| schema(tool) + description(tool) + 96).sum();
        // Escapes take some.
        (parts + tools) / 8 * 9 + 1024
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Whoever runs the application.
    System,
    /// The same, in the newer word of OpenAI.
    Developer,
    /// The user, and the tools.
    User,
    /// The model.
    Assistant,
}

/// What one side says at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What it says, in order.
    pub parts: Vec<Part>,
    /// The place of its first message in the caller's own list, for those who are told about it.
    pub place: usize,
    /// The speaker's name.
    pub name: Option<String>,
    /// What only its own dialect knows.
    pub ext: Ext,
}

impl Turn {
    /// A turn at `place` of the caller's list.
    #[must_use]
    pub fn new(role: Role, parts: Vec<Part>, place: usize) -> Self {
        Self { role, parts, place, name: None, ext: Ext::default() }
    }
}

/// A tool that is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// What kind of tool.
    pub kind: ToolKind,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The JSON schema of its arguments.
    pub schema: Option<Raw>,
    /// Whether the arguments must follow the schema.
    pub strict: Option<bool>,
    /// A mark for the prompt cache.
    pub cache: Option<Cache>,
    /// What only its own dialect knows.
    pub ext: Ext,
}

/// The kinds of tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolKind {
    /// A function of the caller's, with arguments in JSON.
    Function,
    /// A tool of the caller's that takes free text; with the grammar of that text, as Responses has it.
    Custom(Option<Raw>),
    /// The provider's own web search; its settings are in [`Tool::ext`].
    WebSearch,
    /// A tool that the provider runs itself and only this dialect has: the whole of it.
    Foreign(Dialect, Raw),
}

/// Which tool must be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model likes.
    Auto,
    /// Any, but one.
    Required,
    /// None.
    None,
    /// This one.
    Named(String),
    /// One of these; `required` says whether any must be called.
    Among {
        /// The names allowed.
        names: Vec<String>,
        /// Whether one must be called.
        required: bool,
    },
}

/// How tokens are chosen. Numbers keep their spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampling {
    /// Temperature.
    pub temperature: Option<Raw>,
    /// Nucleus sampling.
    pub top_p: Option<Raw>,
    /// Sampling among the most likely.
    pub top_k: Option<Raw>,
    /// Repeatable sampling.
    pub seed: Option<Raw>,
    /// Penalty on what has occurred.
    pub presence_penalty: Option<Raw>,
    /// Penalty on what has occurred often.
    pub frequency_penalty: Option<Raw>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Whether to say how likely each token was, and of how many others at its place too.
    pub logprobs: Option<u64>,
}

/// The form of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text.
    #[default]
    Text,
    /// Some JSON object.
    Json,
    /// JSON that follows a schema.
    Schema {
        /// The schema's name.
        name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// The schema.
        schema: Raw,
        /// Whether the answer must follow it.
        strict: Option<bool>,
    },
}

/// How much to think, as words; the words are in the order of their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as possible.
    Minimal,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// Very much.
    XHigh,
    /// As much as possible.
    Max,
}

impl Effort {
    /// Every effort, from the least to the most.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::XHigh, Self::Max];

    /// The word, the same in all dialects.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The effort with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| effort.name() == name)
    }

    /// The tokens that it stands for where a dialect counts them (dialects reference §2.4); the two
    /// highest take what there is.
    #[must_use]
    pub fn budget(self, most: u64) -> u64 {
        match self {
            Self::None => 0,
            Self::Minimal => 1024.min(most),
            Self::Low => 2048.min(most),
            Self::Medium => 8192.min(most),
            Self::High => 24_576.min(most),
            Self::XHigh | Self::Max => most,
        }
    }

    /// The effort that a number of tokens is nearest to from above.
    #[must_use]
    pub fn of_budget(tokens: u64) -> Self {
        match tokens {
            0 => Self::None,
            1..=1024 => Self::Minimal,
            1025..=2048 => Self::Low,
            2049..=8192 => Self::Medium,
            8193..=24_576 => Self::High,
            _ => Self::XHigh,
        }
    }
}

/// Whether to think, where a dialect says that apart from how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// No.
    Off,
    /// Yes.
    On,
    /// As the model sees fit.
    Adaptive,
}

/// How much to think. Everything may be left unsaid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasoningWish {
    /// Whether at all.
    pub thinking: Option<Thinking>,
    /// How much, as a word.
    pub effort: Option<Effort>,
    /// How much, in tokens.
    pub budget: Option<u64>,
    /// Whether thoughts, or summaries of them, shall be shown.
    pub shown: Option<bool>,
    /// How long summaries are (`auto`, `concise`, `detailed`).
    pub summary: Option<String>,
    /// What only its own dialect knows.
    pub ext: Ext,
}

impl ReasoningWish {
    /// The effort wished for, in whichever way it was said; `None` where nothing was.
    #[must_use]
    pub fn effort(&self) -> Option<Effort> {
        if self.thinking == Some(Thinking::Off) {
            return Some(Effort::None);
        }
        self.effort.or_else(|| self.budget.map(Effort::of_budget))
    }

    /// Whether thinking was asked for, in whichever way.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        match self.thinking {
            Some(Thinking::Off) => false,
            Some(_) => true,
            None => self.effort().is_some_and(|effort| effort > Effort::None),
        }
    }
}

/// What the provider's cache is told about the request as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheWish {
    /// Requests with the same key are likely to share a prefix (OpenAI).
    pub key: Option<String>,
    /// How long to keep it (OpenAI: `in_memory`, `24h`).
    pub retention: Option<String>,
    /// A mark at the end of what can be cached, wherever that is (Anthropic's top-level mark).
    pub whole: Option<Cache>,
}
