//! `yumen serve`: the composition root. Reads top to bottom: what is opened, in which order, and how it
//! is closed again.

use std::io::Write;
use std::sync::Arc;

use model::Clock;
use store::Store;
use tokio::sync::watch;

use crate::banner::Banner;
use crate::config::{Loaded, Settings};
use crate::problem::Problem;
use crate::startup;
use crate::system_clock::SystemClock;
use crate::wiring::{control_plane, data_plane, demo, keys, side_listener, signals};

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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| Problem::new("cannot start", error.to_string(), "raise the limit on threads"))?;
    runtime.block_on(serve(loaded, options, clock))
}

async fn serve(loaded: Loaded, options: Options, clock: Arc<dyn Clock>) -> Result<(), Problem> {
    let settings = loaded.settings;
    let log = keys::start_log(&settings, &clock)?;
    for warning in &loaded.warnings {
        tracing::warn!(warning, "a setting has no effect in this version");
    }
    let public = startup::bind(settings.listen, "listen")?;
    let address = public
        .local_addr()
        .map_err(|error| startup::bind_problem(settings.listen, "listen", &error))?;
    let sides = side_listener::bind(&settings)?;

    let ring = keys::key_ring(&settings)?;
    let store = Store::open(&settings.data, ring)
        .await
        .map_err(|error| startup::store_problem(&error))?;
    let store = Arc::new(store);
    let passwords = keys::passwords()?;
    let administrator = keys::first_administrator(&store, &passwords, &*clock).await?;
    let demo_key = if options.demo {
        Some(demo::prepare(&store, &*clock).await?)
    } else {
        None
    };

    let (records, receiver) = telemetry::queue::record_channel(WAITING_RECORDS);
    let metrics = Arc::new(telemetry::metric::Metrics::new());
    let memory = data_plane::Memory::default();
    let (stop, stopping) = watch::channel(false);
    let (publisher, subscriber) = keys::first_configuration(&store).await?;
    let (applied, applying) = watch::channel(subscriber.current().revision);
    let parts = (&store, &clock, &log);
    let control = control_plane::build(&settings, parts, passwords, (&memory, &metrics), applying)?;
    let shared = data_plane::shared(
        &settings,
        data_plane::Parts {
            clock: Arc::clone(&clock),
            store: &store,
            memory: memory.clone(),
            records,
            metrics: Arc::clone(&metrics),
            control: Arc::new(control.clone()),
        },
        &subscriber.current(),
    );
    let recorder = tokio::spawn(control::jobs::recorder::run(
        receiver,
        Arc::clone(&store),
        Arc::clone(&metrics),
        keys::log_format(&settings),
    ));
    let publishing = tokio::spawn(control::jobs::publisher::run(
        Arc::clone(&store),
        Arc::new(move |configuration| publisher.publish(configuration)),
        stopping.clone(),
    ));
    let retention = tokio::spawn(control::jobs::retention::run(
        Arc::clone(&store),
        Arc::clone(&clock),
        stopping.clone(),
    ));
    let following = tokio::spawn(proxy::follow(Arc::clone(&shared), subscriber, applied));
    let sides = side_listener::serve(sides, &control, &stopping);
    let listening = proxy::start(
        &shared,
        public,
        &tokio::runtime::Handle::current(),
        data_plane::seed,
    )
    .map_err(|error| {
        Problem::new(
            "cannot start the workers",
            error.to_string(),
            "raise the limit on threads",
        )
    })?;

    announce(
        &Banner {
            address,
            demo_key,
            administrator,
        },
        options,
        &settings,
    );
    signals::stop_ordered().await;

    tracing::info!("stopping: no new connections, open exchanges may end");
    control.readiness().drain();
    listening.drain().await;
    let _ = stop.send(true);
    let _ = tokio::join!(publishing, retention, following, sides);
    // The recorder ends when nobody can send any more: then every record is written.
    drop(shared);
    drop(control);
    let _ = recorder.await;
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Says that the gateway listens, once it does.
fn announce(banner: &Banner, options: Options, settings: &Settings) {
    let text = if options.ready_json {
        banner.ready_line()
    } else {
        banner.text()
    };
    let mut out = std::io::stdout().lock();
    // Whoever closed standard output does not want to know.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    tracing::info!(address = %banner.address, data = %settings.data.display(), "listening");
}
