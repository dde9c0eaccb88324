//! A shard and the way to it: what may wait for the next write is left beside the shard's lock, which is held while
//! the system writes. Whoever only has an end to leave never waits for somebody else's write.

use parking_lot::{Mutex, MutexGuard};

use super::frame;
use super::shard::{MOST_GATHERED, Shard, USUAL_CAPACITY};

/// A shard with its locks. The shard's is always taken before the other.
#[derive(Debug)]
pub struct Lane {
    shard: Mutex<Shard>,
    /// Records for the next write, in the order in which they came.
    left: Mutex<Vec<u8>>,
}

impl Lane {
    /// The way to `shard`.
    #[must_use]
    pub fn new(shard: Shard) -> Self {
        Self { shard: Mutex::new(shard), left: Mutex::default() }
    }

    /// Leaves a record for the next write; returns the bytes that are left now, or `None` when the record or all of
    /// them together are too large.
    pub fn leave(&self, write: impl FnOnce(&mut Vec<u8>)) -> Option<usize> {
        let mut left = self.left.lock();
        if left.len() > MOST_GATHERED {
            return None;
        }
        frame::append(&mut left, write).map(|_| left.len())
    }

    /// The shard, with all that was left for it, as far as it has room.
    pub fn lock(&self) -> MutexGuard<'_, Shard> {
        let mut shard = self.shard.lock();
        let mut left = self.left.lock();
        if !left.is_empty() && shard.take_in(&left) {
            left.clear();
            left.shrink_to(USUAL_CAPACITY);
        }
        drop(left);
        shard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_comes_before_what_is_gathered_behind_the_lock() {
        let lane = Lane::new(Shard::new(0, 1));
        let first = lane.leave(|to| to.extend_from_slice(b"first")).expect("small");
        assert_eq!(lane.leave(|to| to.extend_from_slice(b"other")), Some(2 * first));
        let mut shard = lane.lock();
        assert_eq!(shard.gathered(), 2 * first);
        assert_eq!(shard.gather(|to| to.extend_from_slice(b"third")), Some(2 * first));
        // Nobody who has an end to leave waits for who holds the shard.
        assert_eq!(lane.leave(|to| to.extend_from_slice(b"later")), Some(first));
        drop(shard);
        assert_eq!(lane.lock().gathered(), 4 * first);
    }

    #[test]
    fn no_more_is_left_than_memory_is_set_aside_for() {
        let lane = Lane::new(Shard::new(0, 1));
        let record = vec![7; frame::MOST_CONTENT];
        let taken = std::iter::repeat_with(|| lane.leave(|to| to.extend_from_slice(&record)));
        let taken = taken.take_while(Option::is_some).count();
        assert_eq!(taken, MOST_GATHERED / (frame::MOST_CONTENT + frame::PREFIX) + 1);
        assert!(lane.lock().gathered() > MOST_GATHERED, "the shard has taken them");
        assert!(lane.leave(|to| to.push(1)).is_some());
    }
}
