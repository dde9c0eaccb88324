//! Measures the gateway against nginx on the same machine, in the same rounds, for the same work.
//!
//! A simulator plays the upstream, a load generator plays the callers and verifies every answer; what
//! a request costs is the processor time of the gateway's processes divided by verified answers. The
//! tools use raw sockets on one thread each: on two cores, whatever they spend the gateway lacks.

#![forbid(unsafe_code)]

pub mod caller;
pub mod case;
pub mod floor;
pub mod gateway;
pub mod goal;
pub mod load;
pub mod measure;
pub mod payload;
pub mod process;
pub mod relay;
pub mod report;
pub mod simulator;
pub mod wire;
