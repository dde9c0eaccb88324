//! The languages that model providers speak: what a request asks for, what an answer says, and how
//! a refusal is worded for each kind of client.
//!
//! Works on bytes only: no sockets, no async, no clock. Answers of the client's own dialect are read
//! as they pass and never rewritten.

#![forbid(unsafe_code)]

mod members;
mod peek;
pub mod rejection;
mod splice;
mod surface;

pub use peek::{Call, Spans, peek};
pub use splice::{Edits, splice};
pub use surface::{Envelope, Family, Surface};
