//! Resources as the administrator manages them and as they are pushed to the data plane.

pub mod access;
pub mod account;
pub mod configuration;
pub mod key;
pub mod price;
pub mod terms;
pub mod user;

pub use access::{FreezeScope, KeyAccess, Signing, SigningSecret};
pub use account::{Account, ModelDialect, ModelEntry};
pub use configuration::Configuration;
pub use key::{ApiKey, KeyKind, RateLimit};
pub use price::{PriceLines, PriceOverride};
pub use terms::{GatewayTerms, KeyTerms, Member, OwnerTerms, Party};
pub use user::{Role, User};
