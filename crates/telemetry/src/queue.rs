//! The queue on which finished requests leave the request path: bounded, and it never waits.
//!
//! A full queue drops the record and counts it; a record is worth less than a request's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::record::RequestRecord;
use tokio::sync::mpsc;

/// A queue of at most `capacity` records (at least 1). A waiting record takes about 600 bytes plus its lists.
#[must_use]
pub fn record_channel(capacity: usize) -> (RecordSender, RecordReceiver) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    let drops = Arc::clone(&dropped);
    (RecordSender { sender, dropped }, RecordReceiver { receiver, dropped: drops })
}

/// The request path's end.
#[derive(Clone, Debug)]
pub struct RecordSender {
    sender: mpsc::Sender<Box<RequestRecord>>,
    dropped: Arc<AtomicU64>,
}

impl RecordSender {
    /// Hands a record over, or drops it and counts that when the queue is full or nobody reads any more.
    pub fn send(&self, record: Box<RequestRecord>) {
        if self.sender.try_send(record).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records that wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }
}

/// The recorder's end.
#[derive(Debug)]
pub struct RecordReceiver {
    receiver: mpsc::Receiver<Box<RequestRecord>>,
    dropped: Arc<AtomicU64>,
}

impl RecordReceiver {
    /// Waits for records and appends up to `max` of them to `into`; returns how many. 0 means that every
    /// sender is gone and everything was read.
    pub async fn recv_many(&mut self, into: &mut Vec<Box<RequestRecord>>, max: usize) -> usize {
        self.receiver.recv_many(into, max.max(1)).await
    }

    /// Appends what waits now to `into`, up to `max` records. While nobody awaits [`Self::recv_many`],
    /// sending wakes nobody: sleep, then take everything at once.
    pub fn take_waiting(&mut self, into: &mut Vec<Box<RequestRecord>>, max: usize) {
        for _ in 0..max {
            let Ok(record) = self.receiver.try_recv() else { return };
            into.push(record);
        }
    }

    /// Records that wait to be taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.receiver.len()
    }

    /// Whether every sender is gone: nothing will come but what waits.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.receiver.is_closed()
    }

    /// Records dropped since this was last called: feed it to
    /// [`Metrics::records_dropped`](crate::metric::Metrics::records_dropped).
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::tests::record;

    #[test]
    fn a_full_queue_drops_and_counts_instead_of_waiting() {
        let (sender, mut receiver) = record_channel(2);
        for _ in 0..5 {
            sender.send(Box::new(record()));
        }
        assert_eq!((sender.waiting(), receiver.take_dropped(), receiver.take_dropped()), (2, 3, 0));
        let mut batch = Vec::new();
        receiver.take_waiting(&mut batch, 1);
        assert_eq!((batch.len(), receiver.waiting(), receiver.is_closed()), (1, 1, false));
        drop(sender);
        receiver.take_waiting(&mut batch, 100);
        assert_eq!((batch.len(), receiver.waiting(), receiver.is_closed()), (2, 0, true));
    }
}
