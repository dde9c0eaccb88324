//! The languages that model providers speak: what a request asks for, what an answer says, and how
//! a refusal is worded for each kind of client.
//!
//! Works on bytes only: no sockets, no async, no clock. Answers of the client's own dialect are read
//! as they pass and never rewritten.

#![forbid(unsafe_code)]

mod array;
pub mod aws_stream;
pub mod codec;
mod count;
mod cursor;
mod dialect;
mod echo;
mod estimate;
mod extras;
mod failure;
mod foreign_words;
mod json;
mod json_text;
mod json_writer;
mod members;
mod mixed;
pub mod models;
pub mod neutral;
mod outline;
mod peek;
mod program;
pub mod provider;
pub mod rejection;
mod scanner;
mod sealed;
mod session;
mod splice;
mod sse;
mod surface;
mod usage;

pub use codec::codec;
pub use count::count_answer;
pub use echo::Echo;
pub use estimate::estimate_prompt;
pub use extras::{Extras, extras};
pub use failure::{UpstreamFailure, classify};
pub use foreign_words::{foreign_words, masked};
pub use json_text::Piece;
pub use json_writer::JsonWriter;
pub use mixed::{peek_mixed, read_mixed, takes_mixed};
pub use peek::{Call, Framing, Kept, Spans, peek, peek_at};
pub use program::{Program, Told};
pub use provider::Quirks;
pub use scanner::Scanner;
pub use sealed::{mark_of, seals_from_last};
pub use session::{cache_key, prefix, session_of_user};
pub use splice::{Edits, splice};
pub use surface::{Envelope, Family, Surface, percent_decoded};
pub use usage::{CacheConvention, ReasoningConvention};
