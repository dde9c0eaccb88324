//! Whole requests through one worker, callers and upstreams in memory, under paused time.

mod drain;
mod late;
mod queue;
mod replay;
mod stage;
