//! Settings of the gateway.

pub mod limits;
pub mod log_level;
pub mod retention;
