//! What many requests share and what may be lost: capacity, limits, circuits, timed blocks, places at
//! accounts and the queues for them, the accounts of sessions, how calls went, expected outputs, what may be
//! cancelled, requests under one idempotency key, seals of calls; and nonces and freezes of signed requests,
//! which may not be lost and have a small log of their own.
//!
//! This is the engine in process memory: process-wide, sharded by owner, exact across workers. Every
//! map has a bound and lets go of idle entries. Nothing here blocks, reads a clock or, but for that log,
//! does I/O; time comes in as an argument and may go backwards, and who waits is woken.
#![forbid(unsafe_code)]

pub mod blocks;
mod burst;
pub mod capacity;
pub mod circuits;
mod counters;
mod few;
pub mod homes;
pub mod in_flight;
pub mod lease;
pub mod limits;
pub mod outputs;
pub mod queue;
pub mod replay;
pub mod retries;
pub mod running;
pub mod seals;
pub mod sessions;
mod shards;
pub mod signatures;
pub mod trials;
mod window;

pub use blocks::{Block, Blocks, Punishment};
pub use circuits::{CircuitDecision, CircuitState, Circuits};
pub use in_flight::{InFlight, Slot};
pub use lease::LEASE_MS;
pub use limits::{Demand, Dimension, Level, LimitOwner, Limits, ResolvedLimits, Taken, Violation};
