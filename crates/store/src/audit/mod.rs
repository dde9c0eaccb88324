//! The audit log: who changed what, when. One entry for each change, written in the transaction of the change.
//!
//! A [`Scope`](crate::Scope) may carry a [`Note`], in which the caller says what is being done and by whom; the
//! first change that commits under the note writes its entry. A change without a note writes an entry that says
//! what the store knows. So nothing can change without an entry, and a request makes one however many
//! transactions it takes. No entry holds a value, only the names of fields.

mod chain;
mod list;
mod note;
mod outside;
mod retain;
mod verify;

pub use list::AuditFilter;
pub use note::Note;
pub use outside::note_in_directory;
pub use verify::{AuditReport, Fault, verify_directory};

use model::clock::EpochMs;
use sqlx::SqliteConnection;

use crate::error::StoreError;
use crate::keyring::KeyRing;
use crate::scope::Scope;
use crate::store::Store;

pub(crate) fn statements() -> impl Iterator<Item = &'static str> {
    [chain::STATEMENTS, list::STATEMENTS, retain::STATEMENTS, verify::STATEMENTS]
        .into_iter()
        .flatten()
        .copied()
}

/// An entry as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place in the log, from 1.
    pub seq: u64,
    /// When.
    pub at: EpochMs,
    /// In whose rows something changed.
    pub tenant_id: String,
    /// Who: `user:<id>`, `admin-token`, `command-line`, `system`.
    pub actor: String,
    /// What was done, such as `api-key.revoke`.
    pub verb: String,
    /// To what: an id or a name.
    pub object: String,
    /// The request, when it was one.
    pub request_id: Option<String>,
    /// From which address, as far as known.
    pub source: Option<String>,
    /// The names of the fields that were given.
    pub fields: Vec<String>,
    /// What chains it to the entry before, in hex.
    pub mac: String,
}

/// What the chain takes: an entry before it has a place.
pub(crate) struct NewEntry<'e> {
    at: EpochMs,
    tenant_id: &'e str,
    actor: &'e str,
    verb: &'e str,
    object: &'e str,
    request_id: &'e str,
    source: &'e str,
    fields: String,
}

/// The entry that a transaction is going to write.
pub(crate) struct Pending {
    scope: Scope,
    verb: &'static str,
    object: String,
    at: EpochMs,
}

impl Pending {
    pub(crate) fn of(scope: &Scope) -> Self {
        Self { scope: scope.clone(), verb: "store.change", object: String::new(), at: 0 }
    }

    /// What the store itself knows of the change. A note knows better.
    pub(crate) fn about(&mut self, verb: &'static str, object: &str, at: EpochMs) {
        (self.verb, self.object, self.at) = (verb, object.to_owned(), at);
        if let Some(note) = &self.scope.note {
            note.object_unless_known(object);
        }
    }

    /// Writes the entry, unless the note's is written already.
    pub(crate) async fn write(
        &self,
        connection: &mut SqliteConnection,
        keys: &KeyRing,
    ) -> Result<(), StoreError> {
        let Some(note) = &self.scope.note else {
            let entry = NewEntry {
                at: self.at,
                tenant_id: &self.scope.tenant_id,
                actor: &self.scope.actor,
                verb: self.verb,
                object: &self.object,
                request_id: "",
                source: "",
                fields: "[]".to_owned(),
            };
            return chain::append(connection, keys, &entry).await;
        };
        let Some(draft) = note.unwritten() else { return Ok(()) };
        let entry = NewEntry {
            at: draft.at,
            tenant_id: &self.scope.tenant_id,
            actor: draft.actor.as_deref().unwrap_or(&self.scope.actor),
            verb: draft.verb,
            object: &draft.object,
            request_id: &draft.request_id,
            source: &draft.source,
            fields: crate::column::json(&draft.fields),
        };
        chain::append(connection, keys, &entry).await
    }

    /// The transaction is committed.
    pub(crate) fn written(&self) {
        if let Some(note) = &self.scope.note {
            note.set_written();
        }
    }
}

impl Store {
    /// Writes the entry of the scope's note, unless a change wrote it already: for what changes no row, such as
    /// memory that is reset.
    ///
    /// # Errors
    /// What the database said.
    pub async fn write_audit(&self, scope: &Scope) -> Result<(), StoreError> {
        if scope.note.as_ref().is_none_or(|note| note.is_over()) {
            return Ok(());
        }
        let pending = Pending::of(scope);
        let mut transaction = self.main.writer.begin_with("BEGIN IMMEDIATE").await?;
        pending.write(&mut transaction, &self.keys).await?;
        transaction.commit().await?;
        pending.written();
        Ok(())
    }
}
