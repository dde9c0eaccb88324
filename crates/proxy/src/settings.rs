//! Numbers that the data plane is started with. They are fixed for the life of the process.

use std::time::Duration;

use egress::Timers;
use policy::identify::TrustedProxies;
use state::capacity::Most;

/// Everything that the data plane is told at start.
pub struct Settings {
    /// Runtimes that serve requests, one thread each.
    pub workers: usize,
    /// Timers towards upstreams.
    pub upstream: Timers,
    /// Timers towards callers.
    pub client: ClientTimers,
    /// Sizes that are refused when exceeded.
    pub sizes: Sizes,
    /// Limits of keys that have none of their own, by channel.
    pub default_limits: DefaultLimits,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// The names under which this gateway is called; signatures that bind a host must be for one of them.
    /// Empty allows any.
    pub public_hosts: Vec<String>,
    /// Whether administration is answered on the public socket.
    pub serve_control: bool,
}

/// Timers towards callers.
#[derive(Clone, Copy, Debug)]
pub struct ClientTimers {
    /// From the first byte of a request to the end of its headers; also how long an idle connection waits.
    pub header_read: Duration,
    /// Between two reads of a request's body.
    pub body_idle: Duration,
    /// Without progress in writing an answer: then the caller has stopped reading.
    pub write: Duration,
    /// Silence on a stream before a comment keeps it alive; also how long a waiting stream commits nothing.
    pub keep_alive_comment: Duration,
    /// How long open exchanges may go on after the order to stop.
    pub drain: Duration,
}

impl ClientTimers {
    /// The values of the decisions page.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            header_read: Duration::from_secs(10),
            body_idle: Duration::from_secs(30),
            write: Duration::from_secs(30),
            keep_alive_comment: Duration::from_secs(10),
            drain: Duration::from_secs(30),
        }
    }
}

/// Sizes that are refused when exceeded.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of a request body.
    pub body: usize,
    /// Bytes of all request headers together.
    pub headers: usize,
    /// Number of request headers.
    pub header_count: usize,
    /// Bytes of the request URI.
    pub uri: usize,
    /// Connections open at one time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// What all requests together may take at one time.
    pub most: Most,
}

impl Sizes {
    /// The values of the decisions page and of `reliability.md` R9.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            body: 32 << 20,
            headers: 32 << 10,
            header_count: 100,
            uri: 8 << 10,
            connections: 16_384,
            // Each takes a connection, and more of those may wait or be idle; 1 GiB is what 32 of the largest
            // bodies take.
            most: Most { requests: 16_384, body_bytes: 1 << 30 },
        }
    }
}

/// Limits of keys without limits of their own, by channel (access contract, §1). Trial keys have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultLimits {
    /// On the open channel.
    pub open: ChannelLimits,
    /// On the external channel.
    pub external: ChannelLimits,
    /// Of internal keys, and of signed-in users on the internal channel.
    pub internal: ChannelLimits,
}

impl DefaultLimits {
    /// The figures of the contract's table.
    #[must_use]
    pub fn standard() -> Self {
        let limits = |rpm, tpm| ChannelLimits { rpm: Some(rpm), tpm: Some(tpm), concurrent: None };
        Self { open: limits(60, 100_000), external: limits(60, 100_000), internal: limits(600, 1_000_000) }
    }

    /// No limits at all.
    #[must_use]
    pub fn none() -> Self {
        let none = ChannelLimits::default();
        Self { open: none, external: none, internal: none }
    }
}

/// The default limits of a channel; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelLimits {
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute.
    pub tpm: Option<u64>,
    /// Requests in flight.
    pub concurrent: Option<u64>,
}
