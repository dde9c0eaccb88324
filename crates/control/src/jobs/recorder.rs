//! Writes finished requests: metrics, digest lines, then the database, in batches.
//!
//! It ends by itself once every sender is gone and everything was written, which is how records survive
//! a shutdown. While the database fails it holds one batch and tries again; the queue before it is
//! bounded and drops with a count, so requests never wait for it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use model::record::RequestRecord;
use store::Store;
use telemetry::digest;
use telemetry::log::{Format, write_lines};
use telemetry::metric::Metrics;
use telemetry::queue::RecordReceiver;
use tokio::time::Instant;

/// Records per batch.
const BATCH: usize = 512;
/// The longest a record waits for its batch to fill.
const GATHER: Duration = Duration::from_millis(100);
/// Times that a batch is offered to the database before it is dropped: about a minute in all.
const TRIES: u32 = 16;
/// Pause after the first failure; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where batches go.
pub trait Sink: Send + Sync + 'static {
    /// Writes finished log lines. May block.
    fn log(lines: &str);

    /// Stores a batch, all of it or none.
    fn append(&self, batch: &[RequestRecord]) -> impl Future<Output = Result<(), String>> + Send;
}

impl Sink for Arc<Store> {
    fn log(lines: &str) {
        write_lines(lines);
    }

    async fn append(&self, batch: &[RequestRecord]) -> Result<(), String> {
        let written = self.append_records(batch).await;
        written.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// Runs until every sender of `receiver` is gone and everything is written or given up.
pub async fn run<S: Sink>(mut receiver: RecordReceiver, sink: S, metrics: Arc<Metrics>, format: Format) {
    let mut waiting = Vec::with_capacity(BATCH);
    loop {
        let open = gather(&mut receiver, &mut waiting).await;
        let batch: Vec<RequestRecord> = waiting.drain(..).map(|record| *record).collect();
        metrics.records_dropped(receiver.take_dropped());
        if !batch.is_empty() {
            publish::<S>(&batch, &metrics, format).await;
            store(&batch, &sink, &metrics).await;
        }
        if !open {
            return;
        }
    }
}

#[expect(clippy::vec_box, reason = "records are boxed where they are made; the queue moves pointers")]
/// Fills a batch: the first record is waited for, the rest only as long as [`GATHER`]. `false` when
/// there will be no more.
async fn gather(receiver: &mut RecordReceiver, batch: &mut Vec<Box<RequestRecord>>) -> bool {
    if receiver.recv_many(batch, BATCH).await == 0 {
        return false;
    }
    let deadline = Instant::now() + GATHER;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        match tokio::time::timeout_at(deadline, receiver.recv_many(batch, room)).await {
            Ok(0) => return false,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    true
}

async fn publish<S: Sink>(batch: &[RequestRecord], metrics: &Metrics, format: Format) {
    let mut lines = String::with_capacity(batch.len() * 512);
    for record in batch {
        metrics.observe(record);
        digest::write(&mut lines, format, record);
    }
    // A reader of the log that is slow must not stop a thread of the control plane.
    if tokio::task::spawn_blocking(move || S::log(&lines)).await.is_err() {
        tracing::error!("digest lines could not be written");
    }
}

async fn store(batch: &[RequestRecord], sink: &impl Sink, metrics: &Metrics) {
    let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
    let mut pause = FIRST_PAUSE;
    for left in (0..TRIES).rev() {
        let Err(cause) = sink.append(batch).await else {
            metrics.records_written(count);
            return;
        };
        tracing::error!(cause, records = count, tries_left = left, "request records could not be written");
        if left > 0 {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    metrics.records_dropped(count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record;
    use parking_lot::Mutex;
    use telemetry::queue::record_channel;

    /// Fails as often as told, then keeps what it gets.
    #[derive(Clone, Default)]
    struct Memory {
        failures: Arc<Mutex<u32>>,
        batches: Arc<Mutex<Vec<usize>>>,
    }

    impl Sink for Memory {
        fn log(lines: &str) {
            assert!(lines.ends_with('\n') && lines.contains("req-"));
        }

        async fn append(&self, batch: &[RequestRecord]) -> Result<(), String> {
            let mut failures = self.failures.lock();
            if *failures > 0 {
                *failures -= 1;
                return Err("disk full".to_owned());
            }
            self.batches.lock().push(batch.len());
            Ok(())
        }
    }

    async fn written(records: usize, failures: u32) -> (Vec<usize>, String) {
        let (sender, receiver) = record_channel(2_000);
        let memory = Memory::default();
        *memory.failures.lock() = failures;
        for n in 0..records {
            sender.send(Box::new(record(n)));
        }
        drop(sender);
        let metrics = Arc::new(Metrics::new());
        run(receiver, memory.clone(), Arc::clone(&metrics), Format::Json).await;
        let batches = memory.batches.lock().clone();
        (batches, metrics.render())
    }

    #[tokio::test(start_paused = true)]
    async fn everything_sent_before_the_end_is_written_in_batches() {
        let (batches, _) = written(1_100, 0).await;
        assert_eq!(batches, [512, 512, 76]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_database_is_tried_again_without_losing_the_batch() {
        let (batches, _) = written(3, TRIES - 1).await;
        assert_eq!(batches, [3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_given_up_is_counted_and_the_next_one_written() {
        let (batches, metrics) = written(513, TRIES).await;
        assert_eq!(batches, [1]);
        assert!(metrics.contains(" 512"), "{metrics}");
    }
}
