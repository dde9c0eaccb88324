//! The words of limits: whose, of what, what is asked and what a refusal says.

use std::sync::Arc;

/// Whose limit. The order is the order of checking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The caller's address.
    Ip,
    /// The caller's key.
    Key,
    /// The key's owner.
    User,
    /// The tenant.
    Tenant,
    /// The key's group.
    Group,
    /// The model asked for.
    Model,
    /// The whole gateway.
    Global,
}

impl Level {
    /// The name in messages and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Key => "key",
            Self::User => "user",
            Self::Tenant => "tenant",
            Self::Group => "group",
            Self::Model => "model",
            Self::Global => "global",
        }
    }
}

/// What is limited. The order is the order of checking within a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// Requests per minute.
    Rpm,
    /// Tokens per minute.
    Tpm,
    /// Requests per UTC day.
    Rpd,
    /// Tokens per UTC day.
    Tpd,
    /// Requests in flight at one time.
    Concurrent,
    /// Requests within any one second.
    Burst,
}

impl Dimension {
    /// Every dimension, in the order of checking.
    pub const ALL: [Self; 6] = [Self::Rpm, Self::Tpm, Self::Rpd, Self::Tpd, Self::Concurrent, Self::Burst];

    /// The name in configuration, metrics and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rpm => "rpm",
            Self::Tpm => "tpm",
            Self::Rpd => "rpd",
            Self::Tpd => "tpd",
            Self::Concurrent => "concurrent",
            Self::Burst => "burst",
        }
    }
}

/// Limits with every default filled in; `None` is unlimited, 0 allows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResolvedLimits {
    /// Requests per minute.
    pub rpm: Option<u64>,
    /// Tokens per minute.
    pub tpm: Option<u64>,
    /// Requests per UTC day.
    pub rpd: Option<u64>,
    /// Tokens per UTC day.
    pub tpd: Option<u64>,
    /// Requests in flight at one time.
    pub concurrent: Option<u64>,
    /// Requests within any one second.
    pub burst: Option<u64>,
}

/// Who is limited.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitOwner {
    /// At which level.
    pub level: Level,
    /// Which one of that level.
    pub id: Arc<str>,
}

/// What one request asks of one owner's limits.
#[derive(Clone, Debug)]
pub struct Demand {
    /// The owner; at most once in a request.
    pub owner: LimitOwner,
    /// Its limits.
    pub rate: ResolvedLimits,
    /// Tokens that the request is expected to use; corrected by [`Limits::settle_tokens`](super::Limits::settle_tokens).
    pub expected_tokens: u64,
}

/// The first limit that a request would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is limited.
    pub dimension: Dimension,
    /// Whose limit.
    pub level: Level,
    /// The limit.
    pub limit: u64,
    /// What is used of it, rounded up.
    pub used: u64,
    /// Whole seconds after which the request would fit if nothing else came; at least 1.
    pub retry_after_s: u64,
    /// The same as a time, in seconds since the epoch.
    pub reset_at_s: u64,
}

/// How a window stands after a request was taken, for the headers of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowState {
    /// The limit.
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// When the present minute ends, in seconds since the epoch.
    pub reset_at_s: u64,
}
