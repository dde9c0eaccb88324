//! What many requests share and what may be lost: limits, circuits, timed blocks, places at accounts.
//!
//! This is the engine in process memory: process-wide, sharded by owner, exact across workers. Every
//! map has a bound and lets go of idle entries. Nothing here waits, reads a clock or does I/O; time
//! comes in as an argument and may go backwards.
#![forbid(unsafe_code)]

pub mod blocks;
mod burst;
pub mod circuits;
mod counters;
pub mod in_flight;
pub mod limits;
mod shards;
mod window;

pub use blocks::{Block, Blocks, Punishment};
pub use circuits::{CircuitDecision, CircuitState, Circuits};
pub use in_flight::{InFlight, Slot};
pub use limits::{Demand, Dimension, Level, LimitOwner, Limits, ResolvedLimits, Taken, Violation};
