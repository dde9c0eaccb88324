//! A journal in memory, for tests and simulations: it can be read back, and made to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::event::{Event, JournalFault, JournalWriter, Need, Written};

/// Events in the order in which they were appended; nothing is ever let go of. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    events: Mutex<Vec<Event>>,
    is_faulty: AtomicBool,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that was appended.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.0.events.lock().clone()
    }

    /// From now on nothing can be appended, or everything again.
    pub fn set_faulty(&self, is_faulty: bool) {
        self.0.is_faulty.store(is_faulty, Ordering::Release);
    }
}

impl JournalWriter for MemoryJournal {
    fn append(&self, event: &Event, _: Need) -> Result<Written, JournalFault> {
        if self.0.is_faulty.load(Ordering::Acquire) {
            return Err(JournalFault("on purpose".into()));
        }
        self.0.events.lock().push(event.clone());
        Ok(Written::done())
    }

    fn fault(&self) -> Option<String> {
        self.0.is_faulty.load(Ordering::Acquire).then(|| "on purpose".to_owned())
    }
}
