//! The control plane's way to the upstreams of accounts.

use std::sync::Arc;

use control::{AccountProbe, Probed, Probing};
use egress::Egress;
use model::resource::Account;
use model::{Code, Rejection};
use tokio::sync::Semaphore;

/// How many accounts are tried out at once; each takes a thread.
const AT_ONCE: usize = 4;

/// Calls upstreams on threads of its own: connections stay with the thread that opened them.
pub struct Probe {
    egress: Arc<Egress>,
    places: Arc<Semaphore>,
}

impl Probe {
    /// Calls through `egress`.
    pub fn new(egress: Arc<Egress>) -> Self {
        Self { egress, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl AccountProbe for Probe {
    fn probe(&self, account: Account, model: Option<String>) -> Probing {
        let (egress, places) = (Arc::clone(&self.egress), Arc::clone(&self.places));
        Box::pin(async move {
            let _place = places.acquire_owned().await.map_err(|error| failed(&error))?;
            let run = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|error| failed(&error))?;
                runtime.block_on(proxy::probe::run(egress, &Arc::new(account), model.as_deref()))
            };
            let report = tokio::task::spawn_blocking(run).await.map_err(|error| failed(&error))??;
            Ok(probed(report))
        })
    }
}

fn probed(report: proxy::probe::Report) -> Probed {
    let fault = report.fault;
    Probed {
        ok: fault.is_none(),
        status: report.status,
        latency_ms: u64::try_from(report.latency.as_millis()).unwrap_or(u64::MAX),
        code: fault.as_ref().map(|fault| fault.code.name()),
        phase: fault.as_ref().and_then(|fault| fault.phase),
        message: fault.map_or_else(|| "The account works.".to_owned(), |fault| fault.message),
    }
}

fn failed(error: &dyn std::error::Error) -> Rejection {
    Rejection::new(Code::InternalError).caused_by(error)
}
