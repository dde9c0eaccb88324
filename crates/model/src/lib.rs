//! The nouns of the product: identifiers, money, usage, codes, rejections, resources and records.
//!
//! No I/O, no async, no clock of its own: every other crate may name these types, so they must
//! stay cheap to compile and impossible to misuse.
#![forbid(unsafe_code)]

pub mod clock;
pub mod code;
pub mod entry;
pub mod id;
pub mod key_text;
pub mod money;
pub mod plain;
pub mod quota;
pub mod record;
pub mod rejection;
pub mod resource;
mod schema;
pub mod secret;
pub mod usage;

pub use clock::{Clock, ManualClock};
pub use code::Code;
pub use id::{RequestId, ResourceId, TraceId};
pub use money::NanoUsd;
pub use quota::{Amounts, Owner, OwnerKind, Period, Quota, Unit};
pub use rejection::{Blame, Rejection, Retry};
pub use secret::Secret;
pub use usage::{ServiceTier, Usage, UsageSource};
