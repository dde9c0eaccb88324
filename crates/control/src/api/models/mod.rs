//! Models that callers can ask for.

pub mod list;
