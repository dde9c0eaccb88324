//! The control plane without a server: what the command line administers while no gateway runs.
//!
//! The same router over the same store and ledger as in a running gateway. Nothing listens, and nothing of the
//! data plane is there: circuits and blocks are empty, as they are at every start.

use std::sync::Arc;

use control::LocalOperator;
use http::{Request, Response};
use http_body_util::Full;
use model::Clock;
use proxy::ControlBody;
use store::Store;
use telemetry::metric::Metrics;
use tokio::sync::watch;

use crate::commands::data;
use crate::config::Settings;
use crate::problem::Problem;
use crate::startup;
use crate::system_clock::SystemClock;
use crate::wiring::control_plane::{self, Bridge};
use crate::wiring::data_plane::{self, Memory};
use crate::wiring::{keys, ledger, local_socket, signatures};

/// The opened data directory; it must be closed.
pub struct Offline {
    bridge: Bridge,
    ledger: ledger::Running,
    store: Arc<Store>,
}

impl Offline {
    /// Opens the data directory, which nobody else may have open.
    ///
    /// # Errors
    /// What the keys, the store or the ledger refused.
    pub async fn open(settings: &Settings) -> Result<Self, Problem> {
        let ring = data::key_ring(settings).map_err(|error| startup::store_problem(&error))?;
        let store =
            Store::open(&settings.data, ring).await.map_err(|error| startup::store_problem(&error))?;
        Self::over(settings, Arc::new(store)).await
    }

    /// The control plane over a store that is open already.
    ///
    /// # Errors
    /// What the ledger or the keys of access tokens refused.
    pub async fn over(settings: &Settings, store: Arc<Store>) -> Result<Self, Problem> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log = keys::start_quiet_log(settings, &clock);
        let opened = ledger::open(settings, &store, &*clock).await?;
        let memory = Memory::new(signatures::open(settings, &*clock)?, Arc::default());
        let metrics = Arc::new(Metrics::new());
        // Nobody has to be waited for: every change is in force where nothing runs.
        let (_, applied) = watch::channel(u64::MAX);
        let parts = (&store, &opened.ledger, &clock, &log);
        let egress = data_plane::egress();
        let bridge = control_plane::build(
            settings,
            parts,
            control::Passwords::new(),
            (&memory, &metrics, &egress),
            applied,
        )?;
        let ledger = opened.start(clock, Arc::clone(bridge.readiness()), metrics);
        Ok(Self { bridge, ledger, store })
    }

    /// Answers a request of the administration API.
    pub async fn answer(&self, mut request: Request<Full<bytes::Bytes>>) -> Response<ControlBody> {
        request.extensions_mut().insert(LocalOperator);
        self.bridge.answer(request, local_socket::known()).await
    }

    /// Brings everything to the disk and closes the directory.
    pub async fn close(self) {
        self.ledger.stop().await;
        drop(self.bridge);
        self.store.close().await;
    }
}
