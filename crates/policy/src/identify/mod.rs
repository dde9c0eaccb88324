//! Who is calling.

pub mod bearer;
pub mod client_address;
pub mod pepper;

pub use bearer::{Bearer, find_bearer};
pub use client_address::TrustedProxies;
pub use pepper::Pepper;
