//! All resources that the data plane needs, at one revision.

use std::sync::Arc;

use super::account::Account;
use super::key::ApiKey;
use super::price::PriceOverride;

/// One revision of the configuration: immutable, pushed whole, compiled by the data plane.
#[derive(Clone, Default)]
pub struct Configuration {
    /// Counts every committed change.
    pub revision: u64,
    /// Every key, revoked ones included, so that they are refused by name.
    pub keys: Vec<Arc<ApiKey>>,
    /// Every account, disabled ones included, so that a record can say why it was skipped.
    pub accounts: Vec<Arc<Account>>,
    /// Prices set by an administrator.
    pub prices: Vec<Arc<PriceOverride>>,
}
