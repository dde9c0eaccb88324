//! Who gets in where, and what nobody gets out: the proofs of the access contract on the built gateway.
//!
//! Ids are those of reliability.md. Each test ends by writing down what it proved.

mod injection;
mod matrix;
mod payloads;
mod sql;
mod starts;
mod timing;
