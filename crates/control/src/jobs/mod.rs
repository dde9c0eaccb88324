//! Work beside requests. Each job is one async function that `yumen` starts and awaits at the end.

pub mod blocked;
pub mod publisher;
pub mod recorder;
pub mod retention;
