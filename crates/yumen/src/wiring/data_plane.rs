//! The data plane's parts, from the settings.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::thread::available_parallelism;

use arc_swap::ArcSwap;
use egress::Egress;
use ledger::Ledger;
use model::Clock;
use model::resource::Configuration;
use policy::identify::{Pepper, TrustedProxies};
use proxy::settings::{ClientTimers, Sizes};
use proxy::{Catalog, ControlPlane, Shared};
use state::blocks::Blocks;
use state::capacity::{Capacity, Most};
use state::circuits::Circuits;
use state::homes::Homes;
use state::in_flight::InFlight;
use state::limits::Limits;
use state::outputs::Outputs;
use state::replay::Replays;
use state::seals::Seals;
use state::sessions::Sessions;
use state::signatures::Signatures;
use state::trials::Trials;
use store::Store;
use telemetry::metric::Metrics;
use telemetry::queue::RecordSender;

use crate::config::Settings;
use crate::demo::Demo;
use crate::wiring::answers::StoredAnswers;
use crate::wiring::demo;

/// What the process remembers of its upstreams and callers, shared by both planes.
#[derive(Clone)]
pub struct Memory {
    /// Which upstreams are failing.
    pub circuits: Arc<Circuits>,
    /// Which accounts are blocked.
    pub blocks: Arc<Blocks>,
    /// Which nonces were used, and which keys are frozen for whom.
    pub signatures: Arc<Signatures>,
    /// Who runs at which account, and who waits for a place there.
    pub in_flight: Arc<InFlight>,
    /// Which account keeps which response.
    pub homes: Arc<Homes>,
    /// At which account each session goes on.
    pub sessions: Arc<Sessions>,
}

impl Memory {
    /// Empty, but for what must survive a restart.
    pub fn new(signatures: Arc<Signatures>, homes: Arc<Homes>) -> Self {
        let (circuits, blocks, sessions) = (Arc::default(), Arc::default(), Arc::default());
        let in_flight = Arc::new(InFlight::new());
        Self { circuits, blocks, signatures, in_flight, homes, sessions }
    }
}

/// What the data plane is built from besides the settings.
pub struct Parts<'a> {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Holds the pepper, and answers that may be asked for again.
    pub store: &'a Arc<Store>,
    /// What the process remembers.
    pub memory: Memory,
    /// Holds and settles money.
    pub ledger: Ledger,
    /// Where finished requests are reported.
    pub records: RecordSender,
    /// Gauges that workers move.
    pub metrics: Arc<Metrics>,
    /// The way out.
    pub egress: Arc<Egress>,
    /// Connections of callers that may be open at one time.
    pub connections: usize,
    /// Serves the other paths.
    pub control: Arc<dyn ControlPlane>,
}

/// The way out, of both planes.
pub fn egress() -> Arc<Egress> {
    let demo = Arc::new(Demo::on(tokio::runtime::Handle::current()));
    Arc::new(Egress::new(Arc::new(egress::SystemResolver)).with_in_process(demo::NAME, demo))
}

/// What all workers share.
pub fn shared(settings: &Settings, parts: Parts<'_>, first: &Configuration) -> Arc<Shared> {
    let settings = plane_settings(settings, parts.connections);
    let clock = Arc::clone(&parts.clock);
    let answers = StoredAnswers::new(Arc::clone(parts.store), clock, tokio::runtime::Handle::current());
    let catalog = Catalog::compile(first, &settings.default_limits, None);
    parts.metrics.config_applied(first.revision, parts.clock.now_ms());
    let capacity = Capacity::new(settings.sizes.most);
    Arc::new(Shared {
        catalog: ArcSwap::from_pointee(catalog),
        settings,
        clock: parts.clock,
        pepper: Pepper::new(parts.store.key_ring().pepper()),
        signatures: parts.memory.signatures,
        egress: parts.egress,
        circuits: parts.memory.circuits,
        blocks: parts.memory.blocks,
        limits: Arc::new(Limits::new()),
        in_flight: parts.memory.in_flight,
        capacity,
        outputs: Outputs::new(),
        homes: parts.memory.homes,
        running: Arc::default(),
        trials: Trials::new(),
        sessions: parts.memory.sessions,
        seals: Arc::new(Seals::new()),
        replays: Replays::new(),
        answers: Arc::new(answers),
        meter: Arc::new(parts.ledger),
        records: parts.records,
        metrics: parts.metrics,
        control: parts.control,
    })
}

/// A start for a worker's chance, which keeps no secret: it comes from the system without the generator for
/// secrets, whose first use takes longer than everything else of a start.
pub fn seed() -> u64 {
    RandomState::new().hash_one(())
}

fn plane_settings(settings: &Settings, connections: usize) -> proxy::Settings {
    let cores = || available_parallelism().map_or(1, std::num::NonZero::get);
    let timers = &settings.timers;
    let (client, standard) = (ClientTimers::standard(), Sizes::standard());
    proxy::Settings {
        workers: settings.workers.map_or_else(cores, std::num::NonZero::get),
        upstream: egress::Timers {
            connect: timers.connect,
            tls: timers.tls,
            first_byte: timers.first_byte,
            idle: timers.idle,
            total: timers.total,
            write: timers.write,
            keep_alive: timers.upstream_keep_alive,
        },
        client: ClientTimers {
            header_read: timers.header_read,
            write: timers.write,
            drain: timers.drain,
            ..client
        },
        sizes: Sizes {
            body: settings.sizes.body_bytes,
            headers: settings.sizes.header_bytes,
            header_count: settings.sizes.header_count,
            most: Most { requests: settings.sizes.requests as u64, ..standard.most },
            connections,
            ..standard
        },
        default_limits: settings.rate_limit,
        trusted_proxies: TrustedProxies::new(settings.trusted_proxies.clone()),
        public_hosts: settings.public_hosts.clone(),
        serve_control: settings.admin_listen.is_none(),
    }
}
