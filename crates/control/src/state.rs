//! What the control plane works with, put together by `yumen`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ledger::Ledger;
use model::clock::EpochMs;
use model::resource::Account;
use model::{Clock, Rejection, RequestId, ResourceId, Secret};
use store::Store;

use crate::health::Readiness;
use crate::session::{JwtKeys, LoginThrottle, Passwords};

/// Fills a buffer with chance from the operating system, fit for secrets.
pub type Entropy = fn(&mut [u8]);

/// Changes the log level while the process runs; the error says why a name is not a level.
pub type SetLogLevel = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The control plane's hand on the data plane's memory of its accounts.
pub trait AccountControl: Send + Sync {
    /// The blocks of an account that are in force.
    fn blocks(&self, account: &ResourceId) -> Vec<AccountBlock>;
    /// The accounts that are blocked without an end.
    fn blocked_for_good(&self) -> Vec<ResourceId>;
    /// Ends the blocks of an account.
    fn unblock(&self, account: &ResourceId);
    /// Forgets the blocks of an account and the sessions that go on there, and closes the circuits that its
    /// calls go through.
    fn reset_account(&self, account: &Account);
    /// Forgets an account that is no more.
    fn forget_account(&self, account: &ResourceId);
    /// Every circuit that is known, with its state.
    fn circuits(&self) -> Vec<Circuit>;
    /// Closes one circuit; `false` when there is none of that name.
    fn reset_circuit(&self, key: &str) -> bool;
}

/// Why and until when an account, or one of its models, is not called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountBlock {
    /// The one model that is blocked; `None` for the whole account.
    pub model: Option<String>,
    /// Why.
    pub reason: &'static str,
    /// When it ends; `None` when no time ends it.
    pub until: Option<EpochMs>,
}

/// A circuit as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Circuit {
    /// Its name.
    pub id: String,
    /// `CLOSED`, `OPEN` or `HALF_OPEN`.
    pub state: &'static str,
}

/// The answer of a probe, to come.
pub type Probing = Pin<Box<dyn Future<Output = Result<Probed, Rejection>> + Send>>;

/// The control plane's way to the upstream of an account.
pub trait AccountProbe: Send + Sync {
    /// Calls it with the account's credential: what costs nothing, or one token of `model`.
    fn probe(&self, account: Account, model: Option<String>) -> Probing;
}

/// How an account's upstream answered.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Probed {
    /// Whether the account works.
    pub ok: bool,
    /// The status of the upstream's answer, if one came.
    pub status: Option<u16>,
    /// Until the answer was there, or the failure.
    pub latency_ms: u64,
    /// What is wrong, as in refusals; nothing when it works.
    pub code: Option<&'static str>,
    /// How far the call came, where no answer came: `denied`, `resolve`, `connect`, `tls`, `write` or `head`.
    pub phase: Option<&'static str>,
    /// In words, without the credential.
    pub message: String,
}

/// The control plane's hand on what bad signatures have frozen.
pub trait FreezeControl: Send + Sync {
    /// What is frozen of a key now.
    fn of(&self, key: &ResourceId, now: EpochMs) -> Freezes;
    /// Ends all of it.
    fn thaw(&self, key: &ResourceId);
}

/// What is frozen of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freezes {
    /// The key, wherever it is used from, until it is thawed.
    pub everywhere: bool,
    /// Networks from which it is refused, and until when.
    pub sources: Vec<(String, EpochMs)>,
}

/// Everything the control plane needs.
pub struct ControlState {
    /// The database.
    pub store: Arc<Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance for ids and secrets.
    pub entropy: Entropy,
    /// Changes the log level.
    pub set_log_level: SetLogLevel,
    /// The data plane's memory of its accounts.
    pub accounts: Arc<dyn AccountControl>,
    /// The way to the upstreams of accounts.
    pub probe: Arc<dyn AccountProbe>,
    /// What bad signatures have frozen.
    pub freezes: Arc<dyn FreezeControl>,
    /// Held while a balance is changed: the ledger has the money, the store what tells its states apart.
    pub balances: tokio::sync::Mutex<()>,
    /// What owners have left, and money put in or taken out.
    pub ledger: Ledger,
    /// The keys of access tokens.
    pub jwt_keys: JwtKeys,
    /// The static administration token (`ADMIN_TOKEN`), when one is configured.
    pub admin_token: Option<Secret<String>>,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Brakes the guessing of passwords.
    pub throttle: LoginThrottle,
    /// Whether this process should get traffic.
    pub readiness: Arc<Readiness>,
}

impl ControlState {
    /// A new resource id.
    #[must_use]
    pub fn mint_id(&self) -> ResourceId {
        ResourceId::mint(self.clock.now_ms(), self.chance())
    }

    /// A new request id, for callers inside the process.
    #[must_use]
    pub fn mint_request_id(&self) -> RequestId {
        RequestId::mint(self.clock.now_ms(), self.chance())
    }

    /// `N` random bytes.
    #[must_use]
    pub fn chance<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.entropy)(&mut bytes);
        bytes
    }
}
