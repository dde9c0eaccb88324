//! The checked settings. Defaults are written here once; how each is spelled is in the table.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use ledger::journal::Durability;
use model::Secret;
use proxy::settings::DefaultLimits;

/// Everything a process needs to start. Carries secrets, so it has no `Debug`.
pub struct Settings {
    /// The public socket; port 0 takes any free port.
    pub listen: SocketAddr,
    /// A socket of its own for `/api`, `/admin` and `/console`; `None` leaves them on the public one.
    pub admin_listen: Option<SocketAddr>,
    /// The operator's socket; `None` is off.
    pub ops_listen: Option<SocketAddr>,
    /// Where keys, databases and journals are kept.
    pub data: PathBuf,
    /// The main database's file in `data`, where somebody named it; `None` is what `data` says itself.
    pub database: Option<String>,
    /// Data-plane workers; `None` is one for each core.
    pub workers: Option<NonZeroUsize>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The names under which callers reach this gateway, as they stand in `Host`; empty allows any.
    pub public_hosts: Vec<String>,
    /// Whether a proxy in front speaks TLS to callers.
    pub tls_terminated: bool,
    /// Whether a clock that is behind what is stored keeps the gateway from starting.
    pub clock_check: bool,
    /// A static administrator's credential, at least [`ADMIN_TOKEN_LENGTH`](super::value::ADMIN_TOKEN_LENGTH) characters.
    pub admin_token: Option<Secret<String>>,
    /// The credential for `/metrics` away from loopback.
    pub metrics_token: Option<Secret<String>>,
    /// The key that all stored credentials are sealed under; `None` keeps one in the data directory.
    pub encryption_key: Option<Secret<[u8; 32]>>,
    /// What access tokens are signed with; the folder is within `data`.
    pub jwt: control::KeySource,
    /// The log.
    pub log: Log,
    /// Where the streams of the log go.
    pub streams: telemetry::stream::Plan,
    /// How long things may take.
    pub timers: Timers,
    /// How large things may be.
    pub sizes: Sizes,
    /// A provider that the environment defines an account of.
    pub openai: ProviderKey,
    /// Likewise.
    pub deepseek: ProviderKey,
    /// Limits of keys that have none of their own.
    pub rate_limit: DefaultLimits,
    /// What the ledger's intents survive before an upstream is called.
    pub durability: Durability,
    /// Where a test wants the process to die.
    pub failpoint: Option<String>,
}

/// A provider that the environment defines an account of, where it names an API key.
#[derive(Clone)]
pub struct ProviderKey {
    /// The preset.
    pub provider: &'static str,
    /// The API key.
    pub api_key: Option<Secret<String>>,
    /// The base URL in place of the preset's.
    pub base_url: Option<String>,
}

impl ProviderKey {
    fn of(provider: &'static str) -> Self {
        Self { provider, api_key: None, base_url: None }
    }
}

/// What is logged and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// `trace`, `debug`, `info`, `warn`, `error` or `off`.
    pub level: &'static str,
    /// One line's form.
    pub format: LogFormat,
}

/// One log line's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value`, for people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// How long each step may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Opening a connection to an upstream.
    pub connect: Duration,
    /// The TLS handshake with an upstream.
    pub tls: Duration,
    /// From the request's last byte to the answer's first.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// A whole exchange.
    pub total: Duration,
    /// From a caller's connection to the end of its request's header.
    pub header_read: Duration,
    /// Writing one piece to a peer that does not read.
    pub write: Duration,
    /// What running requests are given after SIGTERM.
    pub drain: Duration,
    /// How long an unused upstream connection is kept.
    pub upstream_keep_alive: Duration,
}

/// How large a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Bytes of all header lines together.
    pub header_bytes: usize,
    /// Number of header lines.
    pub header_count: usize,
    /// Requests in flight at one time, of all callers together.
    pub requests: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: loopback(8787),
            admin_listen: None,
            ops_listen: Some(loopback(8788)),
            data: PathBuf::from("data"),
            database: None,
            workers: None,
            trusted_proxies: Vec::new(),
            public_hosts: Vec::new(),
            tls_terminated: false,
            clock_check: true,
            admin_token: None,
            metrics_token: None,
            encryption_key: None,
            jwt: control::KeySource::default(),
            log: Log { level: "info", format: LogFormat::Text },
            streams: telemetry::stream::Plan::default(),
            timers: Timers::default(),
            sizes: Sizes {
                body_bytes: 32 << 20,
                header_bytes: 32 << 10,
                header_count: 100,
                requests: 16_384,
            },
            openai: ProviderKey::of("openai"),
            deepseek: ProviderKey::of("deepseek"),
            rate_limit: DefaultLimits::standard(),
            durability: Durability::default(),
            failpoint: None,
        }
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            tls: Duration::from_secs(5),
            first_byte: Duration::from_mins(5),
            idle: Duration::from_mins(3),
            total: Duration::from_hours(1),
            header_read: Duration::from_secs(10),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            upstream_keep_alive: Duration::from_mins(1),
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
