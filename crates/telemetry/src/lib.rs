//! What an operator can see: the log, one digest line per request, metrics, and the queue on which
//! request records leave the request path.
//!
//! Nothing here decides anything, and nothing here may hold up a request: queues are bounded and drop,
//! counting what they drop.
#![forbid(unsafe_code)]

pub mod digest;
mod escape;
pub mod failpoint;
pub mod log;
pub mod metric;
pub mod panic;
mod process;
pub mod queue;
pub mod stream;
