//! What the tests of this crate share: a control plane on a temporary folder, and callers of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Method, Request, StatusCode};
use ledger::book::Book;
use ledger::{Ledger, MemoryJournal};
use model::clock::EpochMs;
use model::record::{Attempt, RequestRecord};
use model::resource::{Account, Role, User};
use model::{
    Clock, Code, ManualClock, NanoUsd, Rejection, RequestId, ResourceId, Secret, Usage, UsageSource,
};
use parking_lot::Mutex;
use serde_json::Value;
use store::{KeyRing, Scope, Store};
use tower::ServiceExt;

use crate::session::{Claims, JwtKeys, LoginThrottle, Passwords};
use crate::state::{
    AccountBlock, AccountControl, AccountProbe, Circuit, ControlState, FreezeControl, Freezes, Probed,
    Probing,
};

pub(crate) const NOW: EpochMs = 1_790_000_000_000; // 2026-09-21T14:13:20Z
pub(crate) const ADMIN_TOKEN: &str = "an-admin-token-of-at-least-32-characters";

/// A folder that is removed when dropped.
pub(crate) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn temporary_folder() -> TemporaryFolder {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("yumen-control-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    TemporaryFolder(path)
}

/// Remembers what was reset.
#[derive(Default)]
pub(crate) struct FakeAccounts {
    pub(crate) blocks: Mutex<BTreeMap<ResourceId, Vec<AccountBlock>>>,
    pub(crate) resets: Mutex<Vec<String>>,
}

impl AccountControl for FakeAccounts {
    fn blocks(&self, account: &ResourceId) -> Vec<AccountBlock> {
        self.blocks.lock().get(account).cloned().unwrap_or_default()
    }

    fn blocked_for_good(&self) -> Vec<ResourceId> {
        self.blocks.lock().keys().cloned().collect()
    }

    fn unblock(&self, account: &ResourceId) {
        self.blocks.lock().remove(account);
    }

    fn reset_account(&self, account: &Account) {
        self.forget_account(&account.id);
    }

    fn forget_account(&self, account: &ResourceId) {
        self.resets.lock().push(account.to_string());
        self.unblock(account);
    }

    fn circuits(&self) -> Vec<Circuit> {
        vec![Circuit { id: "openai:gpt-4o".to_owned(), state: "OPEN" }]
    }

    fn reset_circuit(&self, key: &str) -> bool {
        self.resets.lock().push(key.to_owned());
        key == "openai:gpt-4o"
    }
}

/// Finds that every account works but those called `broken`; `costly` ones cannot be asked for nothing.
pub(crate) struct FakeProbe;

impl AccountProbe for FakeProbe {
    fn probe(&self, account: Account, model: Option<String>) -> Probing {
        if account.name == "costly" && model.is_none() {
            return Box::pin(std::future::ready(Err(Rejection::new(Code::InvalidRequest))));
        }
        let message = format!("asked {}", model.as_deref().unwrap_or("for nothing"));
        let ok = account.name != "broken";
        let probed = Probed { ok, status: Some(200), latency_ms: 1, code: None, phase: None, message };
        Box::pin(std::future::ready(Ok(probed)))
    }
}

/// One network is frozen until it is thawed.
#[derive(Default)]
pub(crate) struct FakeFreezes {
    pub(crate) thawed: Mutex<Vec<String>>,
}

impl FreezeControl for FakeFreezes {
    fn of(&self, key: &ResourceId, now: EpochMs) -> Freezes {
        if self.thawed.lock().contains(&key.to_string()) {
            return Freezes::default();
        }
        Freezes { everywhere: false, sources: vec![("192.0.2.0/24".to_owned(), now + 900_000)] }
    }

    fn thaw(&self, key: &ResourceId) {
        self.thawed.lock().push(key.to_string());
    }
}

/// An answer, read whole.
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

/// A control plane on a temporary folder, with a clock that stands still.
pub(crate) struct Fixture {
    pub(crate) state: Arc<ControlState>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) accounts: Arc<FakeAccounts>,
    /// Behind the ledger; it can be made to fail.
    pub(crate) journal: MemoryJournal,
    pub(crate) router: Router,
    folder: TemporaryFolder,
}

impl Fixture {
    /// Without any user.
    pub(crate) async fn empty() -> Self {
        let folder = temporary_folder();
        let keys = KeyRing::load_or_create(folder.path()).unwrap();
        let store = Arc::new(Store::open(folder.path(), keys).await.unwrap());
        let clock = Arc::new(ManualClock::at(NOW));
        let accounts = Arc::new(FakeAccounts::default());
        let journal = MemoryJournal::new();
        let level = |level: &str| match level {
            "debug" => Ok(()),
            other => Err(format!("`{other}` is not a log level")),
        };
        let state = Arc::new(ControlState {
            store,
            clock: clock.clone(),
            entropy: |bytes| aws_lc_rs::rand::fill(bytes).unwrap(),
            set_log_level: Arc::new(level),
            accounts: accounts.clone(),
            probe: Arc::new(FakeProbe),
            freezes: Arc::new(FakeFreezes::default()),
            balances: tokio::sync::Mutex::default(),
            ledger: Ledger::open(Book::new(), Arc::new(journal.clone()), NOW),
            jwt_keys: JwtKeys::load_or_create(&folder.path().join("keys"), NOW).unwrap(),
            admin_token: Some(Secret::new(ADMIN_TOKEN.to_owned())),
            passwords: Passwords::new(),
            throttle: LoginThrottle::default(),
            readiness: Arc::default(),
        });
        let router = crate::router(Arc::clone(&state));
        Self { state, clock, accounts, journal, router, folder }
    }

    /// Where the keys of access tokens are.
    pub(crate) fn keys_folder(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    /// A user of `role` and an access token of theirs.
    pub(crate) async fn signed_in(&self, role: Role) -> (User, String) {
        let user = User {
            id: self.state.mint_id(),
            email: format!("{}@example.org", self.state.mint_id()),
            ..user(role)
        };
        self.state.store.insert_user(&Scope::system(), &user, None).await.unwrap();
        let claims = Claims::issue(&user, &user.id, self.clock.now_ms());
        let token = self.state.jwt_keys.sign(&claims).unwrap();
        (user, token)
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Seen {
        self.send(request(Method::GET, path, Some(token), None)).await
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> Seen {
        self.send(request(Method::DELETE, path, Some(token), None)).await
    }

    pub(crate) async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Seen {
        self.send(request(Method::POST, path, token, Some(body))).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Seen {
        self.send(request(Method::PUT, path, Some(ADMIN_TOKEN), Some(body))).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Seen {
        self.send(request(Method::PATCH, path, Some(ADMIN_TOKEN), Some(body))).await
    }

    /// Creates something as the administrator and gives its answer.
    pub(crate) async fn created(&self, path: &str, body: Value) -> Value {
        let seen = self.post(path, Some(ADMIN_TOKEN), &body).await;
        assert_eq!(seen.status, 201, "{path} {body}: {}", seen.json);
        seen.json
    }

    /// Expects the refusal `code` with its native envelope and headers.
    pub(crate) fn refused(seen: &Seen, status: u16, code: &str) {
        assert_eq!((seen.status, seen.json["code"].as_str()), (status, Some(code)), "{}", seen.json);
        assert_eq!(seen.headers["x-yumen-code"], code);
        assert_eq!(seen.headers.contains_key("www-authenticate"), status == 401);
        assert_eq!(seen.headers["content-type"], "application/json");
        assert!(seen.json["message"].is_string() && seen.json["source"].is_string(), "{}", seen.json);
        assert_eq!(seen.json["trace_id"].as_str().unwrap().as_bytes(), seen.headers["x-trace-id"].as_bytes());
    }

    pub(crate) async fn send(&self, mut request: Request<Body>) -> Seen {
        let peer: IpAddr = "192.0.2.7".parse().unwrap();
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(RequestId::mint(NOW, [9; 10]));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        assert!(parts.headers.contains_key("x-request-id") && parts.headers.contains_key("x-trace-id"));
        let bytes = to_bytes(body, 4 << 20).await.unwrap();
        let json = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).unwrap(),
        };
        assert_eq!(bytes.is_empty(), parts.status == StatusCode::NO_CONTENT);
        Seen { status: parts.status.as_u16(), headers: parts.headers, json }
    }
}

/// A request as a caller would send it.
pub(crate) fn request(
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    match body {
        Some(body) => {
            request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
        }
        None => request.body(Body::empty()).unwrap(),
    }
}

/// A user of `role`.
pub(crate) fn user(role: Role) -> User {
    User {
        id: ResourceId::mint(NOW, [1; 10]),
        email: "ann@example.org".to_owned(),
        name: "Ann".to_owned(),
        role,
        enabled: true,
        tenant_id: "default".to_owned(),
        terms: model::resource::OwnerTerms::default(),
        created_at: NOW,
        updated_at: NOW,
    }
}

/// The `n`th record: measured use of `gpt-5`, answered by the account `main`.
pub(crate) fn record(n: usize) -> RequestRecord {
    let chance = (n as u64).to_be_bytes();
    let mut ten = [0; 10];
    ten[2..].copy_from_slice(&chance);
    let request_id = RequestId::mint(NOW, ten);
    RequestRecord {
        request_id,
        trace_id: request_id.into(),
        at: NOW,
        route: "POST /v1/chat/completions",
        surface: "openai_chat",
        key_id: Some(ResourceId::mint(NOW, [1; 10])),
        user_id: None,
        tenant_id: "default".into(),
        client_ip: Some([127, 0, 0, 1].into()),
        model: "gpt-5".into(),
        upstream_model: None,
        upstream: Some("main".into()),
        stream: false,
        status: 200,
        code: None,
        cause: None,
        checks: Vec::new(),
        candidates: Vec::new(),
        attempts: vec![Attempt {
            account: "main".into(),
            status: Some(200),
            class: "ok",
            error: None,
            upstream_request_id: None,
            reused: true,
            first_byte_ms: Some(210),
            total_ms: 900,
        }],
        usage: Usage {
            input: 12,
            output: 34,
            cache_read: 5,
            source: UsageSource::Measured,
            ..Usage::default()
        },
        cost: Some(NanoUsd(355_000)),
        bytes_in: 321,
        bytes_out: 4_567,
        first_byte_ms: Some(212),
        latency_ms: 903,
        own_us: 41,
        revision: 3,
        program: None,
        translation: None,
        signature: None,
        stated_usage: None,
    }
}
