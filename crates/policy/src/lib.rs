//! Decisions about a request: who calls, whether they may, and which account is to serve them.
//!
//! Pure functions over what they are given: nothing here does I/O, and nothing names the database.
#![forbid(unsafe_code)]

pub mod authorize;
pub mod choose;
pub mod identify;
