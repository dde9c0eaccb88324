//! What became of requests.

pub mod list;
