//! For whom and by whom something is read or changed.

use std::sync::Arc;

use model::resource::key::DEFAULT_TENANT;

use crate::audit::Note;

/// Every read and write of tenant-owned rows takes one, so that no query can forget the tenant.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Only rows of this tenant are seen and written.
    pub tenant_id: Arc<str>,
    /// Who acts: a user's id, `admin-token`, `system`. Kept beside the revision that the change made.
    pub actor: Arc<str>,
    /// What the caller says of the change that it is making, for the audit log.
    pub(crate) note: Option<Arc<Note>>,
}

impl Scope {
    /// A scope of `tenant_id` for `actor`.
    #[must_use]
    pub fn new(tenant_id: &str, actor: &str) -> Self {
        Self { tenant_id: tenant_id.into(), actor: actor.into(), note: None }
    }

    /// The default tenant, acted in by the gateway itself: first start, demo, jobs.
    #[must_use]
    pub fn system() -> Self {
        Self::new(DEFAULT_TENANT, "system")
    }

    /// The same scope, whose changes become the one entry of `note`.
    #[must_use]
    pub fn noted(mut self, note: &Arc<Note>) -> Self {
        self.note = Some(Arc::clone(note));
        self
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        (&self.tenant_id, &self.actor) == (&other.tenant_id, &other.actor)
    }
}

impl Eq for Scope {}
