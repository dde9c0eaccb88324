//! Wakes the task that waits on a connection, and only when it has to be woken.
//!
//! The task that drives a connection also takes what the connection brings, and each taking makes
//! hyper call "go on" to the very task that is running. Answered, that call costs one more run of
//! the whole task per frame; the bell is muffled instead while something is taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

/// Something is being taken: who rings is noted and not heard.
const MUFFLED: u8 = 1;
/// Somebody rang meanwhile.
const MISSED: u8 = 2;

/// The waker that a connection keeps for life, whichever task drives it at the moment.
#[derive(Default)]
pub(crate) struct Bell {
    task: Mutex<Option<Waker>>,
    /// [`MUFFLED`] and [`MISSED`], in one place so that a ring is either noted in time or heard.
    state: AtomicU8,
}

impl Bell {
    /// From now on rings for `task`.
    pub(crate) fn ring_for(&self, task: &Waker) {
        let mut current = self.task.lock();
        match current.as_mut() {
            Some(current) => current.clone_from(task),
            None => *current = Some(task.clone()),
        }
    }

    /// Rings for nobody: an idle connection must not keep a finished task in memory.
    pub(crate) fn forget(&self) {
        *self.task.lock() = None;
    }

    /// Does `work` with the bell muffled, and says whether it would have rung meanwhile. A caller
    /// that then goes to sleep must see to being woken itself.
    pub(crate) fn muffled<T>(&self, work: impl FnOnce() -> T) -> (T, bool) {
        self.state.store(MUFFLED, Ordering::Release);
        let done = work();
        (done, self.state.swap(0, Ordering::AcqRel) & MISSED != 0)
    }

    /// Notes a ring if the bell is muffled, and says whether it did.
    fn note(&self) -> bool {
        // Most rings come from the network, while nothing is being taken: a look is enough then.
        self.state.load(Ordering::Acquire) & MUFFLED != 0
            && self.state.fetch_or(MISSED, Ordering::AcqRel) & MUFFLED != 0
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.note() {
            return;
        }
        if let Some(task) = self.task.lock().as_ref() {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn rings_unless_muffled_and_tells_what_was_missed() {
        let (bell, count) = (Arc::new(Bell::default()), Arc::new(Count::default()));
        let ring = Waker::from(Arc::clone(&bell));
        let rung = || count.0.load(Ordering::SeqCst);
        ring.wake_by_ref();
        assert_eq!(rung(), 0);
        bell.ring_for(&Waker::from(Arc::clone(&count)));
        ring.wake_by_ref();
        assert_eq!(rung(), 1);
        assert_eq!(bell.muffled(|| 7), (7, false));
        assert_eq!(bell.muffled(|| ring.wake_by_ref()), ((), true));
        assert_eq!(bell.muffled(|| ()), ((), false));
        assert_eq!(rung(), 1);
        bell.forget();
        ring.wake_by_ref();
        assert_eq!((rung(), Arc::strong_count(&count)), (1, 1));
    }
}
