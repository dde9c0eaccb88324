//! Circuits to upstreams: open while an upstream keeps failing.

pub mod list;
pub mod reset;
