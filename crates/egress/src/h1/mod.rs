//! HTTP/1.1 as a client writes and reads it (RFC 9112): request heads, answer heads, body framing.
//!
//! Pure: bytes in, bytes out, any chunking. The connection and its timers are in [`crate::link`]. Why
//! this is our own is in ADR 16.

mod body;
mod chunked;
mod head;
mod request;

pub(crate) use body::Body;
pub(crate) use head::{Malformed, parse};
pub(crate) use request::Unsent;
