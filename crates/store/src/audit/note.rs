//! What a caller says about the change that it is making.

use std::fmt;
use std::sync::Arc;

use model::clock::EpochMs;
use parking_lot::Mutex;

/// What is being done, by whom, from where. Shared by all that one request does; it becomes one entry.
pub struct Note {
    draft: Mutex<Draft>,
}

#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) at: EpochMs,
    /// In place of the scope's.
    pub(crate) actor: Option<String>,
    pub(crate) verb: &'static str,
    pub(crate) object: String,
    pub(crate) request_id: String,
    pub(crate) source: String,
    pub(crate) fields: Vec<String>,
    written: bool,
    /// Nothing is changed after all, so there is no entry.
    settled: bool,
}

impl Note {
    /// A note of `verb`, such as `api-key.revoke`, at `at`.
    #[must_use]
    pub fn new(verb: &'static str, at: EpochMs) -> Arc<Self> {
        let draft = Draft {
            at,
            actor: None,
            verb,
            object: String::new(),
            request_id: String::new(),
            source: String::new(),
            fields: Vec::new(),
            written: false,
            settled: false,
        };
        Arc::new(Self { draft: Mutex::new(draft) })
    }

    /// Says what is changed: an id or a name, never a secret.
    pub fn object(&self, object: &str) {
        self.draft.lock().object = object.to_owned();
    }

    /// As [`Note::object`], unless it was said before.
    pub fn object_unless_known(&self, object: &str) {
        let mut draft = self.draft.lock();
        if draft.object.is_empty() {
            draft.object = object.to_owned();
        }
    }

    /// Says that something else is done than was meant to be.
    pub fn verb(&self, verb: &'static str) {
        self.draft.lock().verb = verb;
    }

    /// Says who does it, when that turns out later than the note was begun.
    pub fn actor(&self, actor: String) {
        self.draft.lock().actor = Some(actor);
    }

    /// Says by which request it is done, and from which address.
    pub fn request(&self, request_id: String, source: Option<String>) {
        let mut draft = self.draft.lock();
        (draft.request_id, draft.source) = (request_id, source.unwrap_or_default());
    }

    /// Names the fields that the caller gave.
    pub fn fields(&self, names: Vec<String>) {
        self.draft.lock().fields = names;
    }

    /// Says that nothing is changed after all: there is to be no entry.
    pub fn settle(&self) {
        self.draft.lock().settled = true;
    }

    /// Whether the entry is in the log.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.draft.lock().written
    }

    /// Whether [`Note::settle`] was said.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.draft.lock().settled
    }

    /// Whether there is to be no entry, or none any more.
    pub(crate) fn is_over(&self) -> bool {
        let draft = self.draft.lock();
        draft.written || draft.settled
    }

    /// What was done to what, for the stream of log lines: verb, object and, when it is not the scope's, actor.
    #[must_use]
    pub fn summary(&self) -> (&'static str, String, Option<String>) {
        let draft = self.draft.lock();
        (draft.verb, draft.object.clone(), draft.actor.clone())
    }

    pub(crate) fn unwritten(&self) -> Option<Draft> {
        let draft = self.draft.lock();
        (!draft.written && !draft.settled).then(|| draft.clone())
    }

    pub(crate) fn set_written(&self) {
        self.draft.lock().written = true;
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Note").field("verb", &self.draft.lock().verb).finish_non_exhaustive()
    }
}
