//! What a chat request asks and what its answer says, in no dialect: the one form that all dialects are
//! translated from and to, where caller and account do not speak the same.
//!
//! Every codec reads its dialect into these types and writes its dialect from them. What the types have
//! no place for is kept as it came, marked with the dialect it is in, and written by the codec of that
//! dialect alone ([`Ext`], [`Part::Foreign`]); everybody else's codec notes it as a [`Loss`].
//!
//! Where the dialects match, nothing of this runs: bytes are relayed.

mod dialect;
mod event;
mod ext;
mod loss;
mod part;
mod reply;
mod request;
mod words;

pub use dialect::{Dialect, Field};
pub use event::{Delta, Event, PartKind};
pub use ext::{Ext, Raw};
pub use loss::{Loss, Losses, Severity};
pub use part::{
    Block, Cache, Citation, Foreign, Media, MediaKind, MediaSource, Opaque, OpaqueKind, Part, Reasoning,
    Text, ToolCall, ToolCallKind, ToolResult,
};
pub use reply::{Choice, Reply, Stop, Used};
pub use request::{
    CacheWish, Effort, Format, Namespaced, ReasoningWish, Request, Role, Sampling, Thinking, Tool,
    ToolChoice, ToolKind, Turn,
};
pub use words::Words;
