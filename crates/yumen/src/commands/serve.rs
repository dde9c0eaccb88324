//! `yumen serve`: the composition root. Reads top to bottom: what is opened, in which order, and how it
//! is closed again.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use control::Passwords;
use control::jobs::{blocked, publisher, recorder, retention};
use model::Clock;
use proxy::settings::Sizes;
use state::homes::Homes;
use state::signatures::Signatures;
use store::Store;
use telemetry::log::LevelHandle;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::banner::Banner;
use crate::commands::data;
use crate::config::{Loaded, Settings};
use crate::problem::Problem;
use crate::startup;
use crate::system_clock::SystemClock;
use crate::wiring::control_plane::Bridge;
use crate::wiring::descriptors::Descriptors;
use crate::wiring::manual_paths::ManualPaths;
use crate::wiring::{
    control_plane, data_plane, demo, environment_accounts, homes, keys, ledger, local_socket, side_listener,
    signals, signatures,
};

/// How long the last records may take to be written at the end.
const RECORD_PATIENCE: Duration = Duration::from_secs(20);
/// Requests whose records may wait to be written.
const WAITING_RECORDS: usize = 65_536;
/// Threads of the runtime that serves everything but requests to models.
const CONTROL_THREADS: usize = 2;

/// How `serve` was called.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// With the built-in provider and a key for it.
    pub demo: bool,
    /// One JSON line on standard output instead of the banner.
    pub ready_json: bool,
}

/// Runs until the process is told to stop.
///
/// # Errors
/// What keeps the gateway from starting, with its cause and its fix; nothing is left half-started.
pub fn run(loaded: Loaded, options: Options) -> Result<(), Problem> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    startup::check(&loaded.settings, &*clock)?;
    if let Some(failpoint) = &loaded.settings.failpoint {
        telemetry::failpoint::arm(failpoint)
            .expect("it was checked with the settings, and no other is armed");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| startup::no_thread("cannot start", &error))?;
    runtime.block_on(serve(loaded, options, clock))
}

async fn serve(loaded: Loaded, options: Options, clock: Arc<dyn Clock>) -> Result<(), Problem> {
    let settings = loaded.settings;
    let log = keys::start_log(&settings, &clock)?;
    telemetry::panic::log_from_now_on();
    // Who starts it by hand reads the banner first.
    let held_back = (!options.ready_json).then(telemetry::log::hold_back);
    for warning in &loaded.warnings {
        tracing::warn!(warning, "a setting has no effect in this version");
    }
    let descriptors = Descriptors::claim(Sizes::standard().connections);
    // Sockets first: a port that is taken must not leave a half-made data directory behind.
    let public = startup::bind(settings.listen, "listen")?;
    let address =
        public.local_addr().map_err(|error| startup::bind_problem(settings.listen, "listen", &error))?;
    let sides = side_listener::bind(&settings)?;

    data::settle_name(&settings)?;
    let ring = data::key_ring(&settings).map_err(|error| startup::store_problem(&error))?;
    let store = Store::open(&settings.data, ring).await.map_err(|error| startup::store_problem(&error))?;
    if settings.clock_check {
        let newest = store.newest_entry().await.map_err(|error| startup::store_problem(&error))?;
        startup::check_clock_of_data(newest, &*clock)?;
    }
    let store = Arc::new(store);
    let passwords = Passwords::new();
    let administrator = keys::first_administrator(&store, &passwords, &*clock).await?;
    let demo_key = if options.demo { Some(demo::prepare(&store, &*clock).await?) } else { None };

    environment_accounts::prepare(&store, [&settings.openai, &settings.deepseek], &*clock).await?;

    let ledger = ledger::open(&settings, &store, &*clock).await?;
    let manual = ManualPaths::new(&loaded.given, &store, &log);
    let signatures = signatures::open(&settings, &*clock)?;
    let homes = homes::open(&settings)?;
    let warmed = passwords.clone();
    let parts = Opened { store, ledger, signatures, homes, clock, log, passwords, manual, descriptors };
    let running = start(&settings, parts, public, sides).await?;
    announce(&Banner { address, demo_key, administrator }, options);
    drop(held_back);
    tracing::info!(address = %address, data = %settings.data.display(), "listening");
    warmed.warm_up();
    signals::stop_ordered().await;
    running.stop().await;
    Ok(())
}

/// What is open before anything is served.
struct Opened {
    store: Arc<Store>,
    ledger: ledger::Opened,
    signatures: Arc<Signatures>,
    homes: Arc<Homes>,
    clock: Arc<dyn Clock>,
    log: LevelHandle,
    passwords: Passwords,
    manual: ManualPaths,
    descriptors: Descriptors,
}

/// Starts both planes and the work beside them.
async fn start(
    settings: &Settings,
    opened: Opened,
    public: TcpListener,
    sides: Vec<side_listener::Bound>,
) -> Result<Running, Problem> {
    let Opened { store, ledger, signatures, homes, clock, log, passwords, manual, descriptors } = opened;
    let (records, receiver) = telemetry::queue::record_channel(WAITING_RECORDS);
    let metrics = Arc::new(telemetry::metric::Metrics::new());
    let memory = data_plane::Memory::new(Arc::clone(&signatures), Arc::clone(&homes));
    let (stop, stopping) = watch::channel(false);
    let (publisher, subscriber) = keys::first_configuration(&store).await?;
    let first = subscriber.current();
    let (applied, applying) = watch::channel(first.revision);
    let parts = (&store, &ledger.ledger, &clock, &log);
    let egress = data_plane::egress();
    let control = control_plane::build(settings, parts, passwords, (&memory, &metrics, &egress), applying)?;
    let parts = data_plane::Parts {
        clock: Arc::clone(&clock),
        store: &store,
        memory,
        ledger: ledger.ledger.clone(),
        records,
        metrics: Arc::clone(&metrics),
        egress,
        connections: descriptors.public,
        control: Arc::new(control.clone()),
    };
    let shared = data_plane::shared(settings, parts, &first);
    let listening = proxy::start(&shared, public, &Handle::current(), data_plane::seed)
        .map_err(|error| startup::no_thread("cannot start the workers", &error))?;

    let readiness = Arc::clone(control.readiness());
    let ledger = ledger.start(Arc::clone(&clock), Arc::clone(&readiness), Arc::clone(&metrics));
    let format = keys::log_format(settings);
    let recorder = tokio::spawn(recorder::run(receiver, Arc::clone(&store), metrics, format));
    let publish = Arc::new(move |configuration| publisher.publish(configuration));
    let beside_public = side_listener::Served {
        bridge: &control,
        manual: &manual,
        settings: &shared.settings,
        connections: descriptors.side,
    };
    let beside = vec![
        tokio::spawn(publisher::run(Arc::clone(&store), first, publish, stopping.clone())),
        tokio::spawn(homes::keep(homes, stopping.clone())),
        tokio::spawn(signatures::keep(signatures, Arc::clone(&clock), readiness, stopping.clone())),
        tokio::spawn(retention::run(Arc::clone(&store), clock, stopping.clone())),
        tokio::spawn(blocked::run(Arc::clone(control.state()), stopping.clone())),
        tokio::spawn(proxy::follow(Arc::clone(&shared), subscriber, applied)),
        side_listener::serve(sides, &beside_public, &stopping),
        local_socket::serve(&settings.data, &control, &stopping),
    ];
    Ok(Running { stop, listening, shared, control, beside, ledger, recorder, store })
}

/// The running gateway.
struct Running {
    stop: watch::Sender<bool>,
    listening: proxy::Listening,
    shared: Arc<proxy::Shared>,
    control: Bridge,
    beside: Vec<JoinHandle<()>>,
    ledger: ledger::Running,
    recorder: JoinHandle<()>,
    store: Arc<Store>,
}

impl Running {
    /// Stops in order: callers first, then what serves them, then the ledger, the records last.
    async fn stop(self) {
        tracing::info!("stopping: no new connections, open exchanges may end");
        self.control.readiness().drain();
        self.listening.drain().await;
        let _ = self.stop.send(true);
        for work in self.beside {
            let _ = work.await;
        }
        self.ledger.stop().await;
        // The recorder ends when nobody can send any more: then every record is written.
        drop(self.shared);
        drop(self.control);
        if tokio::time::timeout(RECORD_PATIENCE, self.recorder).await.is_err() {
            tracing::error!("the database did not take the last request records");
        }
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// Says that the gateway listens, once it does.
fn announce(banner: &Banner, options: Options) {
    let text = if options.ready_json { banner.ready_line() } else { banner.text() };
    let mut out = std::io::stdout().lock();
    // Whoever closed standard output does not want to know.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
