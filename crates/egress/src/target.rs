//! A destination as the configuration names it.
//!
//! Data only; made once when configuration is compiled, compared by the pool.

use crate::address::Class;
use crate::origin::Origin;

/// Where requests of one account go and by which rules; also what connections are pooled by, so
/// that one opened under looser rules is never used under stricter ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Scheme, host and port.
    pub origin: Origin,
    /// What kind of destination it is.
    pub class: Class,
    /// Whether plain http and private addresses are allowed for it.
    pub allow_private: bool,
}

impl Target {
    /// A target from its parts.
    #[must_use]
    pub fn new(origin: Origin, class: Class, allow_private: bool) -> Self {
        Self { origin, class, allow_private }
    }
}
