//! What tests need around a running gateway: the process itself, callers, upstreams good and bad,
//! recorded exchanges, and an oracle that looks at what is left afterwards.
//!
//! For tests only. It starts the built binary and talks to it over 127.0.0.1, so what it sees is what
//! a user sees; it links nothing of the gateway but its nouns.
#![forbid(unsafe_code)]

pub mod admin;
pub mod badup;
pub mod bill;
pub mod canned;
pub mod capture;
pub mod chance;
pub mod command;
pub mod corpus;
mod deflate;
pub mod environment;
pub mod gateway;
pub mod http;
pub mod http2;
pub mod load;
pub mod metrics;
pub mod oracle;
pub mod outcome;
mod output;
mod request;
pub mod script;
pub mod scripted;
pub mod sse;
pub mod surface;
pub mod timing;
pub mod trouble;
pub mod trust;
pub mod upstream;
pub mod wait;
