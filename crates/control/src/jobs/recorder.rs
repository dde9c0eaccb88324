//! Writes finished requests: metrics, digest lines, then the database, in batches.
//!
//! It ends by itself once every sender is gone and everything was written, which is how records survive
//! a shutdown. While the database fails it holds one batch and tries again; the queue before it is
//! bounded and drops with a count, so requests never wait for it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use model::record::RequestRecord;
use store::{RecordBatch, Store};
use telemetry::digest;
use telemetry::log::Format;
use telemetry::metric::Metrics;
use telemetry::queue::RecordReceiver;
use telemetry::stream::{self, Stream};

/// Records per batch.
const BATCH: usize = 2_048;
/// A batch that is not full waits this long for more,
const GATHER: Duration = Duration::from_millis(100);
/// and no longer when few come: somebody may be looking for one of them;
const FEW: usize = 8;
/// else so many times,
const TIMES: u32 = 4;
/// or so many times when many come: each costs less then, and nobody looks for one of many at once.
const TIMES_OF_MANY: u32 = 10;
/// How many these are.
const MANY: usize = 128;
/// Bytes of digest lines written at one time: few writes, but little memory.
const LINE_BYTES: usize = 64 * 1024;
/// Room for one line more.
const LONG_LINE: usize = 4 * 1024;
/// Times that a batch is offered to the database before it is dropped: about a minute in all.
const TRIES: u32 = 16;
/// Pause after the first failure; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Records as they wait: boxed where they are made, so that only pointers move.
type Waiting = Vec<Box<RequestRecord>>;

/// Where batches go.
pub trait Sink: Send + Sync + 'static {
    /// Writes finished log lines. May block.
    fn log(lines: &[u8]);

    /// Stores a batch, all of it or none.
    fn append(&self, batch: &RecordBatch) -> impl Future<Output = Result<(), String>> + Send;
}

impl Sink for Arc<Store> {
    fn log(lines: &[u8]) {
        stream::write(Stream::Digest, lines);
    }

    async fn append(&self, batch: &RecordBatch) -> Result<(), String> {
        let written = self.append_batch(batch).await;
        written.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// Runs until every sender of `receiver` is gone and everything is written or given up.
pub async fn run<S: Sink>(mut receiver: RecordReceiver, sink: S, metrics: Arc<Metrics>, format: Format) {
    let mut waiting = Waiting::with_capacity(BATCH);
    while receiver.recv_many(&mut waiting, BATCH).await > 0 {
        gather(&mut receiver, &mut waiting).await;
        metrics.records_dropped(receiver.take_dropped());
        let (tell, counted) = (Arc::clone(&metrics), waiting.len() as u64);
        // A few milliseconds of work, and a reader of the log that is slow: neither may stop a thread of
        // the control plane.
        let published = tokio::task::spawn_blocking(move || publish::<S>(waiting, &tell, format)).await;
        let Ok((emptied, batch)) = published else {
            tracing::error!(records = counted, "request records could not be read");
            metrics.records_dropped(counted);
            waiting = Waiting::with_capacity(BATCH);
            continue;
        };
        waiting = emptied;
        store(&batch, &sink, &metrics).await;
    }
    metrics.records_dropped(receiver.take_dropped());
}

/// Fills a batch that has its first records. Whoever waits for a record is woken by it: so this sleeps,
/// and then takes all there are.
async fn gather(receiver: &mut RecordReceiver, batch: &mut Waiting) {
    for time in 0..TIMES_OF_MANY {
        let there = batch.len() + receiver.waiting();
        let is_slow = (time >= 1 && there < FEW) || (time >= TIMES && there < MANY);
        if there >= BATCH || receiver.is_closed() || is_slow {
            break;
        }
        tokio::time::sleep(GATHER).await;
    }
    receiver.take_waiting(batch, BATCH - batch.len());
}

/// Counts and logs the records and prepares them for the database; gives their list back, emptied.
fn publish<S: Sink>(mut records: Waiting, metrics: &Metrics, format: Format) -> (Waiting, RecordBatch) {
    metrics.observe(records.iter().map(|record| &**record));
    let mut lines = Vec::with_capacity(LINE_BYTES + LONG_LINE);
    for record in &records {
        digest::write(&mut lines, format, record);
        if lines.len() >= LINE_BYTES {
            S::log(&lines);
            lines.clear();
        }
    }
    if !lines.is_empty() {
        S::log(&lines);
    }
    let batch = RecordBatch::of(&records);
    records.clear();
    (records, batch)
}

async fn store(batch: &RecordBatch, sink: &impl Sink, metrics: &Metrics) {
    let count = batch.len();
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
        batches: Arc<Mutex<Vec<u64>>>,
    }

    impl Sink for Memory {
        fn log(lines: &[u8]) {
            let lines = std::str::from_utf8(lines).unwrap();
            assert!(lines.ends_with('\n') && lines.contains("req-"));
        }

        async fn append(&self, batch: &RecordBatch) -> Result<(), String> {
            let mut failures = self.failures.lock();
            if *failures > 0 {
                *failures -= 1;
                return Err("disk full".to_owned());
            }
            self.batches.lock().push(batch.len());
            Ok(())
        }
    }

    async fn written(records: usize, failures: u32) -> (Vec<u64>, String) {
        let (sender, receiver) = record_channel(5_000);
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
        let (batches, _) = written(4_200, 0).await;
        assert_eq!(batches, [2_048, 2_048, 104]);
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_trickle_in_are_gathered_and_soon_written() {
        let (sender, receiver) = record_channel(100);
        let memory = Memory::default();
        let job = tokio::spawn(run(receiver, memory.clone(), Arc::new(Metrics::new()), Format::Json));
        let started = tokio::time::Instant::now();
        for n in 0..10 {
            sender.send(Box::new(record(n)));
            tokio::time::sleep(GATHER / 10).await;
        }
        while memory.batches.lock().is_empty() {
            tokio::time::sleep(GATHER / 10).await;
        }
        assert!(started.elapsed() < GATHER * (TIMES + 1), "{:?}", started.elapsed());
        drop(sender);
        job.await.unwrap();
        assert_eq!(*memory.batches.lock(), [10]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_record_is_written_at_once() {
        let (sender, receiver) = record_channel(100);
        let memory = Memory::default();
        let job = tokio::spawn(run(receiver, memory.clone(), Arc::new(Metrics::new()), Format::Json));
        let started = tokio::time::Instant::now();
        sender.send(Box::new(record(0)));
        while memory.batches.lock().is_empty() {
            tokio::time::sleep(GATHER / 10).await;
        }
        assert!(started.elapsed() < GATHER * 2, "{:?}", started.elapsed());
        drop(sender);
        job.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_database_is_tried_again_without_losing_the_batch() {
        let (batches, _) = written(3, TRIES - 1).await;
        assert_eq!(batches, [3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_given_up_is_counted_and_the_next_one_written() {
        let (batches, metrics) = written(2_049, TRIES).await;
        assert_eq!(batches, [1]);
        assert!(metrics.contains(" 2048"), "{metrics}");
    }
}
