//! The control plane's parts, and the bridge over which workers hand requests to it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::body::Body;
use control::answer::refused;
use control::session::administrator::note_use;
use control::{
    AccountBlock, AccountControl, CallerKey, Circuit, ControlState, FreezeControl, Freezes, Holder,
    LocalOperator, LoginThrottle, Passwords, Readiness,
};
use egress::Egress;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use ledger::Ledger;
use model::clock::EpochMs;
use model::resource::Account;
use model::{Clock, Code, Rejection, ResourceId, Secret};
use proxy::settings::ClientTimers;
use proxy::{AdministratorUse, ControlBody, ControlPlane, HandedOver};
use state::blocks::ShownBlock;
use state::queue::Queues;
use state::signatures::{Signatures, Source};
use store::Store;
use telemetry::log::LevelHandle;
use telemetry::metric::{self, Metrics};
use telemetry::stream::CONFIGURATION;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tower::ServiceExt;

use crate::config::Settings;
use crate::entropy;
use crate::problem::Problem;
use crate::wiring::account_probe::Probe;
use crate::wiring::data_plane::Memory;
use crate::wiring::doorway::Doorway;
use crate::wiring::keys;

/// How long the answer to a change waits for the data plane; the change is committed in any case.
const APPLY_PATIENCE: Duration = Duration::from_secs(1);

/// Serves the paths that are not the data plane's, on the control runtime.
#[derive(Clone)]
pub struct Bridge {
    router: Router,
    state: Arc<ControlState>,
    runtime: Handle,
    readiness: Arc<Readiness>,
    scrape: Arc<Scrape>,
    store: Arc<Store>,
    applied: watch::Receiver<u64>,
    doorway: Doorway,
}

/// What a scrape of the metrics needs.
struct Scrape {
    metrics: Arc<Metrics>,
    memory: Memory,
    clock: Arc<dyn Clock>,
    token: Option<Secret<String>>,
}

/// Puts the control plane together.
///
/// # Errors
/// The keys that sign access tokens cannot be loaded.
pub fn build(
    settings: &Settings,
    (store, ledger, clock, log): (&Arc<Store>, &Ledger, &Arc<dyn Clock>, &LevelHandle),
    passwords: Passwords,
    (memory, metrics, egress): (&Memory, &Arc<Metrics>, &Arc<Egress>),
    applied: watch::Receiver<u64>,
) -> Result<Bridge, Problem> {
    let readiness = Arc::new(Readiness::default());
    let level = log.clone();
    let state = ControlState {
        store: Arc::clone(store),
        clock: Arc::clone(clock),
        entropy: entropy::fill,
        set_log_level: Arc::new(move |name| level.set(name).map_err(|error| error.to_string())),
        accounts: Arc::new(Accounts { memory: memory.clone(), clock: Arc::clone(clock) }),
        probe: Arc::new(Probe::new(Arc::clone(egress))),
        freezes: Arc::new(SignatureFreezes(Arc::clone(&memory.signatures))),
        balances: tokio::sync::Mutex::default(),
        ledger: ledger.clone(),
        jwt_keys: keys::jwt_keys(settings, &**clock)?,
        admin_token: settings.admin_token.clone(),
        passwords,
        throttle: LoginThrottle::default(),
        readiness: Arc::clone(&readiness),
    };
    let scrape = Scrape {
        metrics: Arc::clone(metrics),
        memory: memory.clone(),
        clock: Arc::clone(clock),
        token: settings.metrics_token.clone(),
    };
    let state = Arc::new(state);
    Ok(Bridge {
        router: control::router(Arc::clone(&state)),
        state,
        runtime: Handle::current(),
        readiness,
        scrape: Arc::new(scrape),
        store: Arc::clone(store),
        applied,
        doorway: Doorway::new(ClientTimers::standard().body_idle),
    })
}

impl Bridge {
    /// What the control plane works with.
    pub fn state(&self) -> &Arc<ControlState> {
        &self.state
    }

    /// Whether this process should get traffic.
    pub fn readiness(&self) -> &Arc<Readiness> {
        &self.readiness
    }

    /// Answers a request on the control runtime.
    pub async fn answer<B>(&self, mut request: Request<B>, known: HandedOver) -> Response<ControlBody>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if request.uri().path() == "/metrics" {
            return if self.scrape.is_for(&request, known.client) {
                self.scrape.answer().map(boxed)
            } else {
                let message =
                    "Send the metrics token as `Authorization: Bearer`, or ask on this machine itself.";
                refuse(&Rejection::because(Code::TokenInvalid, message), &known)
            };
        }
        // Whoever watches this process, or works on its machine, must not wait behind whoever fills it.
        let is_free =
            is_operation(request.uri().path()) || request.extensions().get::<LocalOperator>().is_some();
        let _inside = match self.doorway.enter() {
            Err(rejection) if !is_free => return refuse(&rejection, &known),
            entered => entered,
        };
        let extensions = request.extensions_mut();
        extensions.insert(known.request_id);
        extensions.insert(known.client);
        if let Some(key) = known.key {
            extensions.insert(CallerKey(key));
        }
        let reads = request.method().is_safe();
        let source = Source::of(known.client);
        let request = request.map(|body| Body::new(self.doorway.body(body, source)));
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response.map(boxed),
            Err(never) => match never {},
        };
        if !reads && response.status().is_success() {
            self.wait_until_applied().await;
        }
        response
    }

    /// Waits until the data plane of this process has what was just committed: whoever is told that a
    /// key exists may use it with the next request.
    async fn wait_until_applied(&self) {
        let committed = *self.store.changes().borrow();
        let mut applied = self.applied.clone();
        let waited =
            tokio::time::timeout(APPLY_PATIENCE, applied.wait_for(|revision| *revision >= committed)).await;
        if waited.is_err() {
            tracing::warn!(target: CONFIGURATION, revision = committed, "a change is committed but not yet applied");
        }
    }
}

/// Whether a path tells how the process is.
#[must_use]
pub fn is_operation(path: &str) -> bool {
    path == "/metrics" || path.starts_with("/health") || path.starts_with("/actuator/")
}

/// Refuses a request that goes no further.
#[must_use]
pub fn refuse(rejection: &Rejection, known: &HandedOver) -> Response<ControlBody> {
    refused(rejection, &known.request_id, &known.trace_id).map(boxed)
}

fn boxed<B>(body: B) -> ControlBody
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    UnsyncBoxBody::new(body.map_err(Into::into))
}

impl ControlPlane for Bridge {
    fn serve(
        &self,
        request: Request<Incoming>,
        known: HandedOver,
    ) -> oneshot::Receiver<Response<ControlBody>> {
        let (sender, receiver) = oneshot::channel();
        let bridge = self.clone();
        self.runtime.spawn(async move {
            // A worker that no longer waits has lost its caller.
            let _ = sender.send(bridge.answer(request, known).await);
        });
        receiver
    }

    fn note(&self, used: AdministratorUse) {
        let state = Arc::clone(&self.state);
        self.runtime.spawn(async move {
            let AdministratorUse { request_id, client, route, at } = used;
            note_use(&state, (request_id, client), route, at).await;
        });
    }

    fn holder(&self, token: &str, now_ms: EpochMs) -> Result<proxy::Holder, Rejection> {
        Ok(match Holder::of(&self.state, token, now_ms)? {
            Holder::Administrator => proxy::Holder::Administrator,
            Holder::User { user, tenant, .. } => proxy::Holder::User { user, tenant },
            Holder::Key(key) => proxy::Holder::Key(key),
        })
    }
}

impl Scrape {
    /// Whether the metrics are for this caller: on loopback, or with the metrics token.
    fn is_for(&self, request: &Request<impl Sized>, client: IpAddr) -> bool {
        let sent = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let named = |token: &Secret<String>| {
            let expected = format!("Bearer {}", token.expose());
            sent.is_some_and(|sent| verify_slices_are_equal(sent, expected.as_bytes()).is_ok())
        };
        // Whom a proxy on this machine speaks for is somewhere else, whether or not that proxy is trusted.
        let is_forwarded =
            ["x-forwarded-for", "forwarded"].iter().any(|name| request.headers().contains_key(*name));
        client.is_loopback() && !is_forwarded || self.token.as_ref().is_some_and(named)
    }

    /// The metrics as they stand.
    fn answer(&self) -> Response<http_body_util::Full<bytes::Bytes>> {
        let mut response = Response::new(http_body_util::Full::default());
        let circuits = self.memory.circuits.list(self.clock.now_ms());
        self.metrics.set_waiting(Queues::new(&self.memory.in_flight).total());
        self.metrics.set_circuits(circuits.iter().map(|(name, state)| (name.as_str(), state.metric())));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metric::CONTENT_TYPE));
        *response.body_mut() = self.metrics.render().into();
        response
    }
}

/// The control plane's hand on what bad signatures have frozen.
struct SignatureFreezes(Arc<Signatures>);

impl FreezeControl for SignatureFreezes {
    fn of(&self, key: &ResourceId, now: EpochMs) -> Freezes {
        let (everywhere, sources) = self.0.freezes_of(key, now);
        let sources = sources.into_iter().map(|(source, until)| (source.to_string(), until)).collect();
        Freezes { everywhere, sources }
    }

    fn thaw(&self, key: &ResourceId) {
        self.0.thaw(key);
    }
}

/// The control plane's hand on what the data plane remembers of accounts.
struct Accounts {
    memory: Memory,
    clock: Arc<dyn Clock>,
}

impl AccountControl for Accounts {
    fn blocks(&self, account: &ResourceId) -> Vec<AccountBlock> {
        let shown = self.memory.blocks.of(account, self.clock.now_ms());
        let block = |shown: ShownBlock| AccountBlock {
            model: shown.model,
            reason: shown.block.reason,
            until: Some(shown.block.until_ms).filter(|until| *until < EpochMs::MAX),
        };
        shown.into_iter().map(block).collect()
    }

    fn blocked_for_good(&self) -> Vec<ResourceId> {
        self.memory.blocks.endless()
    }

    fn unblock(&self, account: &ResourceId) {
        self.memory.blocks.reset(account);
    }

    fn reset_account(&self, account: &Account) {
        self.forget_account(&account.id);
        for circuit in proxy::catalog::circuits_of(account) {
            self.memory.circuits.reset(&circuit);
        }
    }

    fn forget_account(&self, account: &ResourceId) {
        self.memory.blocks.reset(account);
        self.memory.sessions.release(account);
        let own = format!("{}:", proxy::catalog::own_circuits(account));
        for (name, _) in self.memory.circuits.list(self.clock.now_ms()) {
            if name.starts_with(&own) {
                self.memory.circuits.reset(&name);
            }
        }
    }

    fn circuits(&self) -> Vec<Circuit> {
        let list = self.memory.circuits.list(self.clock.now_ms());
        list.into_iter().map(|(id, state)| Circuit { id, state: state.name() }).collect()
    }

    fn reset_circuit(&self, key: &str) -> bool {
        let known = self.memory.circuits.list(self.clock.now_ms()).iter().any(|(name, _)| name == key);
        self.memory.circuits.reset(key);
        known
    }
}

#[cfg(test)]
mod tests {
    use model::ManualClock;
    use model::resource::ModelEntry;
    use state::circuits::{CircuitState, FAILURES_TO_OPEN};
    use state::homes::Homes;

    use super::*;

    fn account(base_url: Option<&str>) -> Account {
        Account {
            id: ResourceId::mint(1, [1; 10]),
            name: "a".to_owned(),
            provider: "openai".to_owned(),
            base_url: base_url.map(str::to_owned),
            api_version: None,
            credential: None,
            models: vec![ModelEntry::Same("gpt-5".to_owned())],
            priority: 1,
            weight: 1,
            concurrency: None,
            allow_private: false,
            enabled: true,
            tenant_id: "default".to_owned(),
            group_id: "default".to_owned(),
            family: None,
            created_at: 1,
            updated_at: 1,
        }
    }

    /// Access contract, §8: `reset` is an account's blocks and circuit, also where it shares the circuit.
    #[test]
    fn a_reset_closes_the_circuits_that_the_accounts_calls_go_through() {
        let memory = Memory::new(Arc::new(Signatures::in_memory()), Arc::new(Homes::new()));
        let hand = Accounts { memory: memory.clone(), clock: Arc::new(ManualClock::at(1)) };
        let own = account(Some("https://eu.example.org/v1"));
        let own_circuit = format!("account-{}:gpt-5", own.id);
        for name in ["openai:gpt-5", "openai:o3", &own_circuit] {
            (0..FAILURES_TO_OPEN).for_each(|_| memory.circuits.report(name, false, 1));
        }
        let is_open = |name: &str| memory.circuits.state(name, 1) == CircuitState::Open;
        hand.reset_account(&account(None));
        assert!(!is_open("openai:gpt-5"));
        assert!(is_open("openai:o3"), "of a model that the account does not offer");
        (0..FAILURES_TO_OPEN).for_each(|_| memory.circuits.report("openai:gpt-5", false, 1));
        (0..FAILURES_TO_OPEN).for_each(|_| memory.circuits.report(&own_circuit, false, 1));
        hand.reset_account(&own);
        assert!(!is_open(&own_circuit));
        assert!(is_open("openai:gpt-5"), "not a circuit of an account with its own address");
    }
}
