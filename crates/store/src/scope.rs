//! For whom and by whom something is read or changed.

use std::sync::Arc;

use model::resource::key::DEFAULT_TENANT;

/// Every read and write of tenant-owned rows takes one, so that no query can forget the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Only rows of this tenant are seen and written.
    pub tenant_id: Arc<str>,
    /// Who acts: a user's id, `admin-token`, `system`. Kept beside the revision that the change made.
    pub actor: Arc<str>,
}

impl Scope {
    /// A scope of `tenant_id` for `actor`.
    #[must_use]
    pub fn new(tenant_id: &str, actor: &str) -> Self {
        Self { tenant_id: tenant_id.into(), actor: actor.into() }
    }

    /// The default tenant, acted in by the gateway itself: first start, demo, jobs.
    #[must_use]
    pub fn system() -> Self {
        Self::new(DEFAULT_TENANT, "system")
    }
}
