//! One worker between callers and scripted upstreams, all in one thread and connected by pipes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use egress::{Egress, InProcess, SystemResolver};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ledger::meter::{MemoryMeter, Meter};
use model::record::RequestRecord;
use model::resource::account::{DEFAULT_PRIORITY, DEFAULT_WEIGHT};
use model::resource::key::{DEFAULT_GROUP, DEFAULT_TENANT, KeyStatus};
use model::resource::{Account, ApiKey, Configuration, KeyKind, KeyTerms, ModelEntry};
use model::{Clock, Code, Rejection, ResourceId, key_text};
use policy::identify::{Pepper, TrustedProxies};
use state::capacity::Capacity;
use state::homes::Homes;
use state::limits::Limits;
use state::outputs::Outputs;
use state::replay::Replays;
use state::seals::Seals;
use state::sessions::Sessions;
use state::trials::Trials;
use state::{Blocks, Circuits, InFlight};
use telemetry::metric::Metrics;
use telemetry::queue::{RecordReceiver, record_channel};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::control_plane::{AdministratorUse, ControlBody, ControlPlane, HandedOver, Holder};
use crate::replay::{AnswerName, AnswerShelf, KeptAnswer};
use crate::settings::{ClientTimers, DefaultLimits, Settings, Sizes};
use crate::worker::Worker;
use crate::{Catalog, Shared, request};

/// The upstreams' names; `demo://<name>` leads to them.
const NAMES: [&str; 3] = ["one", "two", "three"];
/// The model that every account offers.
pub const MODEL: &str = "m";
const PEPPER: [u8; 32] = [7; 32];
const PIPE_BYTES: usize = 1 << 16;

/// What an upstream does once it has a request.
#[derive(Clone)]
pub enum Step {
    /// Nothing, for so many milliseconds.
    Wait(u64),
    /// Writes.
    Send(String),
    /// Writes what is no text.
    Bytes(Vec<u8>),
    /// Waits until it is left.
    Hold,
}

/// A whole JSON answer.
pub fn json(status: u16, body: &str) -> Step {
    let length = body.len();
    Step::Send(format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
}

/// The head of a stream that ends with its connection.
pub fn stream_head() -> Step {
    Step::Send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".into())
}

/// A frame with content.
pub fn word(text: &str) -> Step {
    let chunk =
        r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"TEXT"}}]}"#;
    Step::Send(format!("data: {}\n\n", chunk.replace("TEXT", text)))
}

/// The last frames: why it ended, the usage, the marker.
pub fn stream_end() -> Step {
    let finish = r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let usage =
        r#"{"id":"c","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}"#;
    Step::Send(format!("data: {finish}\n\ndata: {usage}\n\ndata: [DONE]\n\n"))
}

/// A whole unary answer that states 11 and 7 tokens.
pub fn answer() -> Step {
    json(
        200,
        r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}"#,
    )
}

/// A scripted upstream: each connection takes one request and runs the script of its number, the last
/// one's again and again.
pub struct Upstream {
    scripts: Vec<Vec<Step>>,
    /// The last request, in lower case.
    pub last: Mutex<String>,
    pub requests: AtomicUsize,
    pub abandoned: AtomicUsize,
}

impl Upstream {
    pub fn new(scripts: Vec<Vec<Step>>) -> Arc<Self> {
        Arc::new(Self {
            scripts,
            last: Mutex::default(),
            requests: AtomicUsize::new(0),
            abandoned: AtomicUsize::new(0),
        })
    }

    pub fn always(script: Vec<Step>) -> Arc<Self> {
        Self::new(vec![script])
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::SeqCst)
    }
}

/// The way to a scripted upstream.
pub struct Door(pub Arc<Upstream>);

impl InProcess for Door {
    fn connect(&self) -> DuplexStream {
        let (near, far) = duplex(PIPE_BYTES);
        tokio::spawn(serve(Arc::clone(&self.0), far));
        near
    }
}

async fn serve(upstream: Arc<Upstream>, mut pipe: DuplexStream) {
    let Some(request) = read_request(&mut pipe).await else {
        return;
    };
    *upstream.last.lock().unwrap() = request;
    let number = upstream.requests.fetch_add(1, Ordering::SeqCst);
    let script = &upstream.scripts[number.min(upstream.scripts.len() - 1)];
    for step in script {
        let mut byte = [0];
        let left = match step {
            Step::Wait(ms) => tokio::select! {
                () = sleep(Duration::from_millis(*ms)) => false,
                _ = pipe.read(&mut byte) => true,
            },
            Step::Send(text) => pipe.write_all(text.as_bytes()).await.is_err(),
            Step::Bytes(bytes) => pipe.write_all(bytes).await.is_err(),
            Step::Hold => pipe.read(&mut byte).await.is_ok(),
        };
        if left {
            upstream.abandoned.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}

async fn read_request(pipe: &mut DuplexStream) -> Option<String> {
    let mut got = Vec::new();
    loop {
        if pipe.read_buf(&mut got).await.unwrap_or(0) == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&got).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
            return Some(text);
        }
    }
}

/// The clock that paused time moves.
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000 + u64::try_from(self.0.elapsed().as_millis()).unwrap_or(0)
    }
}

struct NoControl;

impl ControlPlane for NoControl {
    fn serve(&self, _: Request<Incoming>, _: HandedOver) -> oneshot::Receiver<Response<ControlBody>> {
        oneshot::channel().1
    }

    fn note(&self, _: AdministratorUse) {}

    fn holder(&self, _: &str, _: u64) -> Result<Holder, Rejection> {
        Err(Rejection::new(Code::TokenInvalid))
    }
}

/// Answers kept in memory, as long as it works.
#[derive(Default)]
pub struct Shelf {
    kept: Mutex<HashMap<(String, String), KeptAnswer>>,
    pub broken: AtomicBool,
}

impl AnswerShelf for Shelf {
    fn find(&self, name: AnswerName) -> oneshot::Receiver<Result<Option<KeptAnswer>, String>> {
        let (sender, receiver) = oneshot::channel();
        let key = (name.key.as_str().to_owned(), name.idempotency_key.into());
        let kept = self.kept.lock().unwrap().get(&key).cloned();
        let broken = self.broken.load(Ordering::SeqCst);
        let _ = sender.send(if broken { Err("broken".into()) } else { Ok(kept) });
        receiver
    }

    fn keep(&self, name: AnswerName, answer: Arc<KeptAnswer>) -> oneshot::Receiver<Result<(), String>> {
        let (sender, receiver) = oneshot::channel();
        let key = (name.key.as_str().to_owned(), name.idempotency_key.into());
        self.kept.lock().unwrap().insert(key, KeptAnswer::clone(&answer));
        let _ = sender.send(Ok(()));
        receiver
    }
}

/// The worker and what surrounds it.
pub struct Stage {
    pub worker: Rc<Worker>,
    pub shelf: Arc<Shelf>,
    records: RecordReceiver,
    key: String,
}

/// Runs a test in one thread under paused time; what still runs at its end is cut off.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

/// Lets so many milliseconds of paused time pass.
pub async fn pass(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

impl Stage {
    /// A key on these terms, and an account for each upstream, each with its limit, in order of priority.
    pub fn new(terms: KeyTerms, upstreams: &[(&Arc<Upstream>, Option<u32>)]) -> Self {
        Self::with(terms, upstreams, Arc::new(MemoryMeter::default()), |_, _| {})
    }

    /// The same, with another meter, and after a change to what is configured.
    pub fn with(
        terms: KeyTerms,
        upstreams: &[(&Arc<Upstream>, Option<u32>)],
        meter: Arc<dyn Meter>,
        change: impl FnOnce(&mut Configuration, &mut Settings),
    ) -> Self {
        let clock = Arc::new(PausedClock(Instant::now()));
        let id = ResourceId::mint(1, [1; 10]);
        let text = key_text::mint(KeyKind::Standard, &id, [3; 32]).expose().clone();
        let key = api_key(id, &text, terms);
        let mut egress = Egress::new(Arc::new(SystemResolver));
        let mut accounts = Vec::new();
        for ((upstream, concurrency), name) in upstreams.iter().zip(NAMES) {
            egress = egress.with_in_process(name, Arc::new(Door(Arc::clone(upstream))));
            accounts.push(Arc::new(account(name, accounts.len(), *concurrency)));
        }
        let mut configuration =
            Configuration { keys: vec![Arc::new(key)], accounts, ..Configuration::default() };
        let mut settings = settings();
        change(&mut configuration, &mut settings);
        let catalog = Catalog::compile(&configuration, &settings.default_limits, None);
        let (sender, records) = record_channel(1_000);
        let shelf = Arc::new(Shelf::default());
        let shared = Arc::new(Shared {
            catalog: ArcSwap::from_pointee(catalog),
            clock,
            pepper: Pepper::new(&PEPPER),
            signatures: Arc::new(state::signatures::Signatures::in_memory()),
            egress: Arc::new(egress),
            circuits: Arc::new(Circuits::default()),
            blocks: Arc::new(Blocks::default()),
            limits: Arc::new(Limits::new()),
            in_flight: Arc::new(InFlight::new()),
            replays: Replays::new(),
            answers: Arc::clone(&shelf) as Arc<dyn AnswerShelf>,
            capacity: Capacity::new(settings.sizes.most),
            outputs: Outputs::new(),
            homes: Arc::new(Homes::new()),
            running: Arc::default(),
            trials: Trials::new(),
            sessions: Arc::new(Sessions::new()),
            seals: Arc::new(Seals::new()),
            settings,
            meter,
            records: sender,
            metrics: Arc::new(Metrics::new()),
            control: Arc::new(NoControl),
        });
        Self { worker: Rc::new(Worker::new(shared, 0, 1)), shelf, records, key: text }
    }

    /// A connection of a caller who has sent a chat request.
    pub async fn call(&self, stream: bool, headers: &str, text: &str) -> Caller {
        let body = format!(
            r#"{{"model":"{MODEL}","stream":{stream},"stream_options":{{"include_usage":{stream}}},"messages":[{{"role":"user","content":"{text}"}}]}}"#
        );
        self.post("/v1/chat/completions", headers, &body).await
    }

    /// A connection of a caller who has sent a request.
    pub async fn post(&self, path: &str, headers: &str, body: &str) -> Caller {
        self.begin(path, headers, body, body.len()).await
    }

    /// The same, of a caller who has sent only the beginning of a body of `length` bytes.
    pub async fn begin(&self, path: &str, headers: &str, body: &str, length: usize) -> Caller {
        let (near, far) = duplex(PIPE_BYTES);
        let worker = Rc::clone(&self.worker);
        let service = service_fn(move |request: Request<Incoming>| {
            let worker = Rc::clone(&worker);
            let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
            async move { Ok::<_, std::convert::Infallible>(request::serve(worker, request, peer).await) }
        });
        tokio::task::spawn_local(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(far), service).await;
        });
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n",
            self.key
        );
        let mut caller = Caller { pipe: near, got: Vec::new(), since: Instant::now() };
        caller.pipe.write_all((head + body).as_bytes()).await.unwrap();
        caller
    }

    /// The records that are there.
    pub fn records(&mut self) -> Vec<RequestRecord> {
        let mut records = Vec::new();
        self.records.take_waiting(&mut records, 1_000);
        records.into_iter().map(|record| *record).collect()
    }

    /// The next record.
    pub async fn record(&mut self) -> RequestRecord {
        let mut records = Vec::new();
        self.records.recv_many(&mut records, 1).await;
        *records.remove(0)
    }
}

/// A caller's end of its connection.
pub struct Caller {
    pipe: DuplexStream,
    got: Vec<u8>,
    since: Instant,
}

impl Caller {
    /// Sends more of the request.
    pub async fn send(&mut self, text: &str) {
        self.pipe.write_all(text.as_bytes()).await.unwrap();
    }

    /// Sends so many bytes, or fewer when the connection closes before; how many were taken.
    pub async fn pour(&mut self, bytes: usize) -> usize {
        let mut taken = 0;
        while taken < bytes {
            match self.pipe.write(&vec![b'x'; (bytes - taken).min(PIPE_BYTES)]).await {
                Ok(more) => taken += more,
                Err(_) => break,
            }
        }
        taken
    }

    /// Reads until `text` has come; how many milliseconds after the call that was.
    pub async fn until(&mut self, text: &str) -> u128 {
        while !self.text().contains(text) {
            let read = self.pipe.read_buf(&mut self.got).await.unwrap();
            assert!(read > 0, "it ended without {text:?}: {}", self.text());
        }
        self.since.elapsed().as_millis()
    }

    /// Reads to the end; how many milliseconds after the call that was.
    pub async fn end(&mut self) -> u128 {
        while self.pipe.read_buf(&mut self.got).await.unwrap() > 0 {}
        self.since.elapsed().as_millis()
    }

    /// All that has come.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.got).into_owned()
    }

    /// What has come behind the head.
    pub fn body(&self) -> String {
        self.text().split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

pub fn api_key(id: ResourceId, text: &str, terms: KeyTerms) -> ApiKey {
    let secret = key_text::parse(text).unwrap().secret;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &PEPPER), secret.as_bytes());
    ApiKey {
        id,
        name: "k".into(),
        secret_hmac: tag.as_ref().try_into().unwrap(),
        hint: key_text::hint(text).into(),
        kind: KeyKind::Standard,
        status: KeyStatus::Active,
        user_id: None,
        tenant_id: DEFAULT_TENANT.into(),
        group_id: DEFAULT_GROUP.into(),
        expires_at: None,
        models: Box::default(),
        allowed_ips: Box::default(),
        rate_limit: Arc::default(),
        terms,
        access: model::resource::KeyAccess::default(),
        created_at: 1,
        updated_at: 1,
    }
}

fn account(name: &str, index: usize, concurrency: Option<u32>) -> Account {
    let number = u8::try_from(index).unwrap();
    Account {
        id: ResourceId::mint(1, [number + 100; 10]),
        name: name.into(),
        provider: "demo".into(),
        base_url: Some(format!("demo://{name}")),
        api_version: None,
        family: None,
        credential: None,
        models: vec![ModelEntry::Same(MODEL.into())],
        priority: DEFAULT_PRIORITY + u32::from(number),
        weight: DEFAULT_WEIGHT,
        concurrency,
        allow_private: true,
        enabled: true,
        tenant_id: DEFAULT_TENANT.into(),
        group_id: DEFAULT_GROUP.into(),
        created_at: 1,
        updated_at: 1,
    }
}

pub fn settings() -> Settings {
    Settings {
        workers: 1,
        upstream: egress::Timers::standard(),
        client: ClientTimers::standard(),
        sizes: Sizes::standard(),
        default_limits: DefaultLimits::none(),
        trusted_proxies: TrustedProxies::new(Vec::new()),
        public_hosts: Vec::new(),
        serve_control: false,
    }
}
