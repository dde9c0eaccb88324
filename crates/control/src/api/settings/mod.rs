//! Settings of the running process.

pub mod log_level;
