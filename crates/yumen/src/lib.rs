//! The binary's parts: command line, configuration, start-up checks, the built-in demo provider.
//!
//! It is the only crate that reads the environment and the configuration file, and it holds no
//! logic of the planes that it wires.
#![forbid(unsafe_code)]

pub mod administration;
pub mod banner;
pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
pub mod entropy;
pub mod nouns;
pub mod problem;
pub mod signing;
pub mod startup;
pub mod system_clock;
pub mod wiring;
