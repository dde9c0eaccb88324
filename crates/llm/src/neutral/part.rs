//! The parts that instructions, turns and answers are made of.

use super::{Dialect, Ext, Raw, Words};

/// One part, with what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub block: Block,
    /// The caller's mark that the provider may cache the prompt up to here.
    pub cache: Option<Cache>,
    /// What only its own dialect knows.
    pub ext: Ext,
}

impl From<Block> for Part {
    fn from(block: Block) -> Self {
        Self { block, cache: None, ext: Ext::default() }
    }
}

impl Part {
    /// A part of plain text.
    #[must_use]
    pub fn text(text: impl Into<Words>) -> Self {
        Block::Text(Text { text: text.into(), citations: Vec::new() }).into()
    }

    /// About how many bytes it takes to write the part.
    pub(super) fn room(&self) -> usize {
        /// For the names around it.
        const NAMES: usize = 96;
        NAMES
            + match &self.block {
                Block::Text(text) => text.text.room(),
                Block::Media(media) => match &media.source {
                    MediaSource::Base64(text) | MediaSource::Text(text) | MediaSource::Url(text) => {
                        text.len()
                    }
                    MediaSource::File { id, .. } => id.len(),
                },
                Block::ToolCall(call) => call.args.len(),
                Block::ToolResult(result) => result.parts.iter().map(Self::room).sum(),
                Block::Reasoning(thoughts) => {
                    thoughts.text.len() + thoughts.opaque.iter().map(|one| one.data.len()).sum::<usize>()
                }
                Block::Refusal(text) => text.len(),
                Block::Foreign(foreign) => foreign.raw.text().len(),
            }
    }
}

/// What a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// Text.
    Text(Text),
    /// An image, a document, a sound, a film.
    Media(Media),
    /// The model calls a tool.
    ToolCall(ToolCall),
    /// What the tool said.
    ToolResult(ToolResult),
    /// The model thinks.
    Reasoning(Reasoning),
    /// The model refuses, and says why.
    Refusal(String),
    /// Something that only one dialect has.
    Foreign(Foreign),
}

/// A mark for the provider's prompt cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// For as long as the provider does where nothing is said: five minutes.
    Usual,
    /// Five minutes, said so.
    FiveMinutes,
    /// An hour.
    Hour,
}

/// Text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The text itself.
    pub text: Words,
    /// What it rests on.
    pub citations: Vec<Citation>,
}

/// What a piece of text rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Citation {
    /// The address of the source.
    pub url: Option<String>,
    /// The title of the source.
    pub title: Option<String>,
    /// The words that are cited.
    pub cited: Option<String>,
    /// The piece of text that rests on it, as code points of [`Text::text`]: first, and behind the last.
    pub span: Option<(u64, u64)>,
    /// What only its own dialect knows; the whole citation, where that has a form of its own.
    pub ext: Ext,
}

/// The kinds of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A document, PDF as a rule.
    Document,
    /// Sound.
    Audio,
    /// A film.
    Video,
}

/// A medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What kind it is.
    pub kind: MediaKind,
    /// Its type (`image/png`); of a medium by address it may not be known.
    pub mime: Option<String>,
    /// Where it is.
    pub source: MediaSource,
    /// The file's name, or the document's title.
    pub name: Option<String>,
    /// How closely to look (`low`, `high`, `auto`).
    pub detail: Option<String>,
}

/// Where a medium is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaSource {
    /// Here, in base64.
    Base64(String),
    /// Here, as text: a plain-text document.
    Text(String),
    /// At an address.
    Url(String),
    /// Among the files that the provider of this dialect keeps.
    File {
        /// Whose file it is.
        owner: Dialect,
        /// Its id there.
        id: String,
    },
}

/// What kind of tool is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolCallKind {
    /// A function with arguments in JSON.
    #[default]
    Function,
    /// A tool that takes free text.
    Custom,
}

/// The model calls one of the caller's tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// Its id; empty where the dialect gave none. Codecs that must have one derive it, see
    /// [`crate::codec::ids`].
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// What kind of tool.
    pub kind: ToolCallKind,
    /// The arguments: JSON text as the model wrote it, be it valid or not; of a custom tool, free text.
    pub args: String,
    /// What must come back with the call, such as Gemini's thought signature.
    pub opaque: Vec<Opaque>,
}

/// What a tool said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// The call that it answers; empty where the dialect names only the tool.
    pub call_id: String,
    /// The tool's name, where the dialect says it.
    pub name: Option<String>,
    /// What kind of tool.
    pub kind: ToolCallKind,
    /// Text, media, and what only one dialect has.
    pub parts: Vec<Part>,
    /// Whether the tool failed.
    pub is_error: bool,
}

/// The model thinks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// The thoughts themselves.
    pub text: String,
    /// The provider's summaries of them, where it shows those.
    pub summary: Vec<String>,
    /// The id of the item, in dialects where it has one.
    pub id: Option<String>,
    /// What the provider wants back, and nobody else can read.
    pub opaque: Vec<Opaque>,
}

/// Something sealed by a provider. It is bound to who made it, and never sent to anybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// The dialect of the provider that made it.
    pub origin: Dialect,
    /// What it is.
    pub kind: OpaqueKind,
    /// The sealed text; of [`OpaqueKind::Details`] a JSON value.
    pub data: String,
}

/// The kinds of sealed things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpaqueKind {
    /// Signs the thoughts it stands by (Anthropic, Bedrock), or the part it stands on (Gemini).
    Signature,
    /// Thoughts that are not shown (Anthropic's redacted thinking, Bedrock's redacted content).
    Redacted,
    /// Thoughts, encrypted (Responses).
    Encrypted,
    /// An entry of a compatible vendor's `reasoning_details`.
    Details,
}

/// Something that only one dialect has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The dialect.
    pub origin: Dialect,
    /// The whole of it.
    pub raw: Raw,
}
