//! Whether this process works and whether it should get traffic.
//!
//! `/health` is for people (what is wrong), `/health/ready` for load balancers (200 or 503). Both are
//! public and therefore cheap: components are told to [`Readiness`], the journal says itself how
//! it is, and only the database and the ledger are searched, at most once a second.
//!
//! What makes the process not ready is that new requests would fail here and may succeed elsewhere:
//!
//! | component | while it is down | ready |
//! |---|---|---|
//! | `gateway` | draining: no new connections are served | 503 |
//! | `database` | known keys are served from the snapshot, entries wait in the journal, changes are refused | 503 |
//! | `journal` | running requests settle from the reserve; new requests that reach an upstream are refused | 503 |
//! | `ledger` | the payers it names are refused, all others are served | 200 |
//! | any other | it says itself | 200 |

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::answer::{Json, ok};
use crate::api::context::Context;

/// The database answers within this, or counts as down.
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);
/// Without any of these, new requests fail.
const NEEDED: [&str; 3] = ["gateway", "database", "journal"];
/// How long the answer of the database or the ledger is good for.
const FRESH: Duration = Duration::from_secs(1);

/// What the parts of the process have said about themselves. Shared with whoever drains it.
#[derive(Default)]
pub struct Readiness {
    draining: AtomicBool,
    faults: Mutex<BTreeMap<&'static str, Option<String>>>,
    database: tokio::sync::Mutex<Option<(Instant, Option<String>)>>,
    frozen: Mutex<Option<(Instant, Option<String>)>>,
}

impl Readiness {
    /// From now on no new traffic is wanted.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether [`Self::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Says how a component is: `None` is well, otherwise what is wrong (never a secret).
    pub fn report(&self, component: &'static str, fault: Option<String>) {
        self.faults.lock().insert(component, fault);
    }
}

/// How the process or one of its parts is.
#[derive(Serialize, JsonSchema)]
pub struct Component {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// What `/health` and its relatives answer.
#[derive(Serialize, JsonSchema)]
pub struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    components: BTreeMap<&'static str, Component>,
}

/// `GET /health`: always 200, with every component.
pub async fn health(context: Context) -> Json<Health> {
    let components = components(&context).await;
    let well = components.values().all(|component| component.status == "UP");
    ok(Health {
        status: if well { "ok" } else { "degraded" },
        version: Some(env!("CARGO_PKG_VERSION")),
        components,
    })
}

/// `GET /health/ready` and `GET /actuator/readiness`: 200, or 503 while a component is down that new
/// requests need.
pub async fn ready(context: Context) -> Json<Health> {
    let components = components(&context).await;
    let is_up = |name| components.get(name).is_some_and(|component: &Component| component.status == "UP");
    let ready = NEEDED.into_iter().all(is_up);
    let (http, status) =
        if ready { (StatusCode::OK, "UP") } else { (StatusCode::SERVICE_UNAVAILABLE, "DOWN") };
    Json(http, Health { status, version: None, components })
}

async fn components(context: &Context) -> BTreeMap<&'static str, Component> {
    let readiness = &context.state().readiness;
    let mut faults = readiness.faults.lock().clone();
    let draining = readiness.is_draining().then(|| "draining".to_owned());
    faults.insert("gateway", draining);
    if let Some(fault) = context.state().ledger.fault() {
        faults.insert("journal", Some(fault));
    } else {
        faults.entry("journal").or_default();
    }
    if let Some(fault) = frozen(context) {
        faults.insert("ledger", Some(fault));
    } else {
        faults.entry("ledger").or_default();
    }
    faults.insert("database", database(context).await);
    let component = |fault: Option<String>| Component {
        status: if fault.is_none() { "UP" } else { "DOWN" },
        detail: fault,
    };
    faults.into_iter().map(|(name, fault)| (name, component(fault))).collect()
}

/// How many owners the ledger refuses because their figures contradict themselves. Who they are stands in
/// the log: this is public.
fn frozen(context: &Context) -> Option<String> {
    let mut last = context.state().readiness.frozen.lock();
    if let Some((at, fault)) = last.as_ref()
        && at.elapsed() < FRESH
    {
        return fault.clone();
    }
    let count = context.state().ledger.frozen().len();
    let fault = (count > 0).then(|| format!("{count} owners are frozen"));
    *last = Some((Instant::now(), fault.clone()));
    fault
}

/// What is wrong with the database. One caller asks, those beside it wait for its answer.
async fn database(context: &Context) -> Option<String> {
    let mut last = context.state().readiness.database.lock().await;
    if let Some((at, fault)) = last.as_ref()
        && at.elapsed() < FRESH
    {
        return fault.clone();
    }
    let fault = match tokio::time::timeout(DATABASE_PATIENCE, context.store().ping()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            tracing::warn!(cause = %error, "the database does not answer the health check");
            Some("does not answer".to_owned())
        }
        Err(_) => Some(format!("no answer within {DATABASE_PATIENCE:?}")),
    };
    *last = Some((Instant::now(), fault.clone()));
    fault
}
