//! Whole requests through one worker, callers and upstreams in memory, under paused time.

mod abroad;
mod admitted;
mod compiled;
mod credentials;
mod drain;
mod encoded;
mod families;
mod late;
mod linger;
mod money;
mod queue;
mod replay;
mod retries;
mod sealed;
mod slow;
pub(crate) mod stage;
mod sticky;
mod withheld;
