//! Who is calling.

pub mod bearer;
pub mod body_hash;
pub mod canonical;
pub mod client_address;
pub mod hmac;
pub mod http_signature;
pub mod pepper;
pub mod signed;
mod structured;

pub use bearer::{Bearer, find_bearer};
pub use client_address::TrustedProxies;
pub use hmac::SigningKey;
pub use http_signature::ReplySigner;
pub use pepper::Pepper;
pub use signed::{Claim, Differs, is_signed};

#[cfg(test)]
mod timing_tests;
