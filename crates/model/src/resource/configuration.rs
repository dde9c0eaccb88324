//! All resources that the data plane needs, at one revision.

use std::sync::Arc;

use super::account::Account;
use super::key::ApiKey;
use super::price::PriceOverride;
use super::terms::{GatewayTerms, Member, Party};

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
    /// Users whose terms limit or pay for something, or who are disabled.
    pub members: Vec<Arc<Member>>,
    /// Tenants with terms of their own.
    pub tenants: Vec<Arc<Party>>,
    /// Groups with terms of their own.
    pub groups: Vec<Arc<Party>>,
    /// Limits above all of them.
    pub gateway: Arc<GatewayTerms>,
}
