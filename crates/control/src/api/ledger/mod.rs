//! What was charged, what attempts cost, what was put into wallets.

pub mod list;
