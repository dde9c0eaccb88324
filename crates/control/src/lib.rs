//! The control plane: the administration API, sign-in, health, and the jobs beside requests.
//!
//! Runs on a runtime of its own and never shares a lock with the request path. The data plane hands
//! requests over whole; what changes here reaches it through `jobs::publisher`.

#![forbid(unsafe_code)]

pub mod answer;
pub mod api;
pub mod bootstrap;
pub mod health;
pub mod jobs;
pub mod session;
pub mod state;
#[cfg(test)]
mod testing;

pub use api::body::BodyRefused;
pub use api::context::{CallerKey, LocalOperator};
pub use api::router;
pub use health::Readiness;
pub use session::{Holder, JwtAlgorithm, JwtKeys, KeySource, LoginThrottle, Passwords};
pub use state::{
    AccountBlock, AccountControl, AccountProbe, Circuit, ControlState, Entropy, FreezeControl, Freezes,
    Probed, Probing, SetLogLevel,
};
