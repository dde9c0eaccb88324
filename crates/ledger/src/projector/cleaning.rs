//! Deletes segments that the database knows.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use telemetry::failpoint;

use super::batch::Reader;
use crate::journal::{Journal, SegmentId};

/// How long a projected segment is kept. A database that does not sync each commit may lose the last ones
/// in a power cut; the system writes them out by itself within half of this (Linux: 30 s and 5 s).
const KEPT: Duration = Duration::from_secs(60);

/// Segments that are projected, and since when, oldest first.
#[derive(Debug, Default)]
pub struct Cleaning {
    finished: VecDeque<(SegmentId, Instant)>,
}

impl Cleaning {
    /// Whether a segment waits to be deleted.
    pub fn has_work(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Deletes what has been projected for long enough, after writing down what began there and has not
    /// ended.
    ///
    /// # Errors
    /// The system's; it is tried again the next time.
    pub fn clean(&mut self, journal: &Journal, reader: &mut Reader, now: Instant) -> io::Result<()> {
        for id in reader.finished() {
            if !self.finished.iter().any(|(known, _)| *known == id) {
                self.finished.push_back((id, now));
            }
        }
        let is_due = |since: &Instant| now.saturating_duration_since(*since) >= KEPT;
        if !self.finished.front().is_some_and(|(_, since)| is_due(since)) {
            return Ok(());
        }
        note(journal, reader, now)?;
        while let Some((id, _)) = self.finished.front().filter(|(_, since)| is_due(since)) {
            failpoint::pass("segment_before_delete");
            match journal.fs().remove(&id.path(journal.directory())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            failpoint::pass("segment_after_delete");
            self.finished.pop_front();
        }
        Ok(())
    }
}

/// Writes down what began in all that was read and has not ended.
///
/// # Errors
/// The system's; what was written down before stays.
pub fn note(journal: &Journal, reader: &mut Reader, now: Instant) -> io::Result<()> {
    let (unended, places) = reader.unended();
    unended.forget(now);
    unended.save(&**journal.fs(), journal.directory(), &places)
}
