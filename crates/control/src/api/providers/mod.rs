//! Providers that accounts can be at.

pub mod list;
