//! The built gateway as its users meet it: one binary of tests, so that it links once.
//!
//! Every test starts gateways of its own and talks to them over 127.0.0.1 only.
#![forbid(unsafe_code)]

#[cfg(test)]
mod access;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod authentication;
#[cfg(test)]
mod blocks;
#[cfg(test)]
mod cancel;
#[cfg(test)]
mod care;
#[cfg(test)]
mod channels;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod cursor;
#[cfg(test)]
mod dialects;
#[cfg(test)]
mod dispatch;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod manual_paths;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod prices;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod records;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod runbooks;
#[cfg(test)]
mod sdk;
#[cfg(test)]
mod second_factor;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod signing;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod stalls;
#[cfg(test)]
mod startup;
#[cfg(test)]
mod translation;
#[cfg(test)]
mod trial;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod workers;
