//! One worker: a thread with a single-threaded runtime that serves its own connections, with its own
//! upstream connections. What workers share is immutable or sharded by owner.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use egress::Pool;
use fastrand::Rng;
use model::RequestId;
use state::in_flight::Slot;
use state::limits::Taken;
use state::queue::Queues;
use telemetry::metric::WorkerGauges;
use telemetry::queue::RecordSender;

use crate::Shared;
use crate::drain::Drains;
use crate::places::Places;

/// What the requests of one worker use.
pub(crate) struct Worker {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// This worker's upstream connections.
    pub pool: Rc<Pool>,
    /// Where finished requests are reported.
    pub records: RecordSender,
    /// The gauges that this worker moves.
    pub gauges: WorkerGauges,
    /// The places at accounts that its requests hold.
    pub places: Places<Slot>,
    /// What its requests took from limits.
    pub permits: Places<Taken>,
    /// The answers read to their end for callers who have left.
    pub drains: Drains,
    rng: RefCell<Rng>,
}

impl Worker {
    /// Worker number `index`, whose chance starts from `seed`.
    pub fn new(shared: Arc<Shared>, index: usize, seed: u64) -> Self {
        let pool = Pool::new(Arc::clone(&shared.egress));
        Self {
            pool,
            records: shared.records.clone(),
            gauges: shared.metrics.worker(index),
            places: Places::default(),
            permits: Places::default(),
            drains: Drains::default(),
            rng: RefCell::new(Rng::with_seed(seed)),
            shared,
        }
    }

    /// Closes upstream connections that are of no use, renews leases, and hands on those that lapsed.
    pub fn sweep(&self) {
        self.pool.sweep();
        let now_ms = self.shared.clock.now_ms();
        self.places.renew(now_ms);
        self.permits.renew(now_ms);
        Queues::new(&self.shared.in_flight).sweep(now_ms);
    }

    /// Lends the worker's source of chance.
    pub fn with_rng<T>(&self, use_it: impl FnOnce(&mut Rng) -> T) -> T {
        use_it(&mut self.rng.borrow_mut())
    }

    /// Mints the id of a request accepted now.
    pub fn mint(&self, now_ms: u64) -> RequestId {
        let mut chance = [0_u8; 10];
        self.with_rng(|rng| rng.fill(&mut chance));
        RequestId::mint(now_ms, chance)
    }
}
