//! What is said of an account beside its offers: which circuits its calls go through, and whether what it did
//! still says something of it.

use llm::provider;
use model::ResourceId;
use model::resource::Account;

use super::{Catalog, offered};

/// The circuit of an account's calls of a model: shared by the accounts of a provider, but for those with an
/// address of their own.
pub(super) fn circuit(account: &Account, upstream_model: &str) -> String {
    match account.base_url {
        Some(_) => format!("{}:{upstream_model}", own_circuits(&account.id)),
        None => format!("{}:{upstream_model}", account.provider),
    }
}

/// What stands for the provider in the circuits of an account that has a base URL of its own.
#[must_use]
pub fn own_circuits(account: &ResourceId) -> String {
    format!("account-{account}")
}

/// The circuits that an account's calls go through, one for each model that it offers.
#[must_use]
pub fn circuits_of(account: &Account) -> Vec<String> {
    let preset = provider::preset(&account.provider);
    let entries = preset.map_or_else(Vec::new, |preset| offered(account, preset));
    entries.iter().map(|entry| circuit(account, entry.upstream())).collect()
}

impl Catalog {
    /// Whether an account is called with the credential and at the address of `account`, which another revision
    /// has of it. A refusal of others says nothing of it.
    pub(crate) fn still_calls_as(&self, account: &Account) -> bool {
        let current = self.upstreams().iter().find(|upstream| upstream.account.id == account.id);
        current.is_none_or(|upstream| is_called_alike(&upstream.account, account))
    }
}

fn is_called_alike(one: &Account, other: &Account) -> bool {
    let same_secret = match (&one.credential, &other.credential) {
        (Some(one), Some(other)) => one.expose() == other.expose(),
        (one, other) => one.is_none() && other.is_none(),
    };
    same_secret && one.base_url == other.base_url
}
