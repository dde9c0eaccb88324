//! The only way out: every connection to an address named by a resource or a request is opened here.
//!
//! What it promises:
//! - an address is judged after resolving, and the connection goes to the judged address itself;
//!   one denied address in an answer denies them all ([`check_address`]);
//! - a base URL has one reading or none ([`Origin`]);
//! - a credential is readable only for the origin it was registered for ([`BoundSecret`]);
//! - plain http and private addresses only where a target allows them; metadata services never;
//! - certificates are always verified; no redirect is followed; no proxy is taken from the environment;
//! - a connection is used again, or shared where HTTP/2 is spoken, only by the same target under the same
//!   rules ([`Pool`]);
//! - every phase has a timer, and the error names the one that ran out ([`Timers`]);
//! - a request is sent a second time only when none of it can have been seen; otherwise the error
//!   says `written` ([`SendError`]);
//! - an upstream of HTTP/2 that sends more than it was asked for loses its connection, and nobody else's;
//! - an answer that stops before its declared end is an error ([`Answer`]).
//!
//! It must not know dialects, accounts or money, and must not decide whether to try elsewhere.
#![forbid(unsafe_code)]

mod address;
mod answer;
mod connect;
mod decode;
mod error;
mod floods;
mod h1;
mod idle;
mod link;
mod local;
mod multiplex;
mod origin;
mod pool;
mod resolve;
mod secret;
mod shared;
mod target;
#[cfg(test)]
mod tests;
mod timers;
mod tls;
mod wire;

pub use address::{Class, Denied, check_address};
pub use answer::Answer;
pub use connect::{Egress, InProcess};
pub use decode::{Coding, DecodedSize};
pub use error::{AnswerError, Phase, SendError};
pub use local::connect_local;
pub use origin::{Origin, OriginError, Scheme};
pub use pool::Pool;
pub use resolve::{Resolve, Resolving, SystemResolver};
pub use secret::BoundSecret;
pub use target::Target;
pub use timers::Timers;
