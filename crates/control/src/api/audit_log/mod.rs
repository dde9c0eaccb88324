//! Who changed what: the hash-chained log that every change writes an entry of.

pub mod list;
pub mod verify;
