//! Money: what a request costs, and what is held of a payer's money while it runs.
//!
//! Amounts are integer nano-dollars; a float never takes part. Pricing is a pure function; no clock, no
//! sockets, no database on a request's path.
#![forbid(unsafe_code)]

pub mod book;
pub mod catalogue;
mod course;
pub mod engine;
pub mod event;
mod hold;
pub mod journal;
mod memory;
mod memory_journal;
pub mod meter;
pub mod period;
pub mod price;
pub mod projector;
pub mod recovery;

pub use catalogue::{Catalogue, PriceEntry};
pub use engine::Ledger;
pub use event::{Event, JournalFault, JournalWriter, Need, Written};
pub use memory_journal::MemoryJournal;
pub use meter::{Hold, MemoryMeter, Meter, Settlement};
pub use price::{PriceLine, Priced, Prices, price, total};
