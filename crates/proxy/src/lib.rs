//! The data plane: takes requests in, decides, carries them to an upstream and the answers back.
//!
//! One single-threaded runtime per core serves its own connections. Nothing here waits for a database,
//! and nothing here knows the control plane: configuration comes in through `sync`, facts go out through
//! `telemetry` and the ledger.
#![forbid(unsafe_code)]

mod admission;
mod answer;
mod attempt;
mod body;
pub mod caller;
mod calling;
mod cancel;
pub mod catalog;
mod channel;
mod charge;
mod codex;
pub mod connection;
pub mod control_plane;
mod dispatch;
mod drain;
mod endpoint;
mod exchange;
mod failure;
mod gathered;
mod handover;
mod hold;
mod intake;
mod linger;
pub mod listen;
mod pace;
mod places;
mod price;
pub mod probe;
mod program;
mod relay;
mod replay;
mod reply;
mod request;
mod route;
pub mod settings;
mod settle;
mod shown;
mod stages;
mod steps;
mod sticky;
pub mod terms;
#[cfg(test)]
mod tests;
mod translate;
mod upstream;
mod waiting;
mod windows;
mod withhold;
mod worker;

use std::sync::Arc;

use arc_swap::ArcSwap;
use ledger::meter::Meter;
use model::Clock;
use policy::identify::Pepper;
use state::blocks::Blocks;
use state::capacity::Capacity;
use state::circuits::Circuits;
use state::homes::Homes;
use state::in_flight::InFlight;
use state::limits::Limits;
use state::outputs::Outputs;
use state::replay::Replays;
use state::running::Running;
use state::seals::Seals;
use state::sessions::Sessions;
use state::signatures::Signatures;
use state::trials::Trials;
use telemetry::metric::Metrics;
use telemetry::queue::RecordSender;
use telemetry::stream::CONFIGURATION;
use tokio::sync::watch;

pub use body::Outgoing;
pub use catalog::Catalog;
pub use control_plane::{AdministratorUse, ControlBody, ControlPlane, HandedOver, Holder};
pub use intake::check_head;
pub use listen::{Listening, start};
pub use pace::Pace;
pub use replay::{AnswerName, AnswerShelf, KeptAnswer};
pub use route::listed_routes;
pub use settings::Settings;

/// What all workers share: immutable, or sharded by owner.
pub struct Shared {
    /// Numbers fixed at start.
    pub settings: Settings,
    /// The compiled configuration; swapped whole.
    pub catalog: ArcSwap<Catalog>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Checks callers' secrets.
    pub pepper: Pepper,
    /// Which nonces were used, and which keys are frozen for whom.
    pub signatures: Arc<Signatures>,
    /// The way out.
    pub egress: Arc<egress::Egress>,
    /// Which upstreams are failing.
    pub circuits: Arc<Circuits>,
    /// Which accounts are blocked, until when.
    pub blocks: Arc<Blocks>,
    /// Who has used how much of their limits.
    pub limits: Arc<Limits>,
    /// Requests in flight by account.
    pub in_flight: Arc<InFlight>,
    /// Requests in flight under an `Idempotency-Key`.
    pub replays: Replays<KeptAnswer>,
    /// Where their answers are kept.
    pub answers: Arc<dyn AnswerShelf>,
    /// How much of the gateway is in use, and by whom.
    pub capacity: Capacity,
    /// How long answers have been, by key and model.
    pub outputs: Outputs,
    /// Where earlier responses are kept.
    pub homes: Arc<Homes>,
    /// Requests on the internal channel, which may be cancelled by their ids.
    pub running: Arc<Running>,
    /// How the calls of each account went.
    pub trials: Trials,
    /// At which account each session goes on.
    pub sessions: Arc<Sessions>,
    /// What providers want back with calls of tools, for callers who cannot carry it.
    pub seals: Arc<Seals<llm::codec::Seals>>,
    /// Holds and settles money.
    pub meter: Arc<dyn Meter>,
    /// Where finished requests are reported.
    pub records: RecordSender,
    /// Gauges that workers move.
    pub metrics: Arc<Metrics>,
    /// Serves the paths that are not the data plane's.
    pub control: Arc<dyn ControlPlane>,
}

/// Keeps the compiled configuration at the newest revision until the publisher is gone, and tells
/// `applied` which one is in force.
pub async fn follow(shared: Arc<Shared>, mut configurations: sync::Subscriber, applied: watch::Sender<u64>) {
    while let Some(configuration) = configurations.next().await {
        let previous = shared.catalog.load_full();
        let catalog = Catalog::compile(&configuration, &shared.settings.default_limits, Some(&previous));
        let revision = catalog.revision;
        shared.catalog.store(Arc::new(catalog));
        end_blocks_of_changed(&shared, &previous);
        shared.metrics.config_applied(revision, shared.clock.now_ms());
        applied.send_replace(revision);
        tracing::info!(target: CONFIGURATION, revision, "configuration applied");
    }
}

/// Ends the blocks of accounts that are now called with another credential or at another address.
fn end_blocks_of_changed(shared: &Shared, previous: &Catalog) {
    let now_ms = shared.clock.now_ms();
    for upstream in shared.catalog.load().upstreams() {
        let account = &upstream.account;
        if !shared.blocks.of(&account.id, now_ms).is_empty() && !previous.still_calls_as(account) {
            shared.blocks.reset(&account.id);
            tracing::info!(target: CONFIGURATION, account = account.name, "the account is called anew; its blocks end");
        }
    }
}
