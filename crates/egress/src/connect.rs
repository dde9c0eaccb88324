//! Opens connections: the one place of the product that connects to an address named by a
//! resource or a request.
//!
//! Resolves, judges, connects to exactly the judged address, and shakes hands over TLS. It reads
//! no proxy settings from the environment, follows nothing and keeps no connection.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::DuplexStream;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::address::Denied;
use crate::error::{Phase, SendError};
use crate::origin::Scheme;
use crate::resolve::{Resolve, Unreachable, checked_addresses};
use crate::target::Target;
use crate::timers::{Deadline, Timers};
use crate::tls;
use crate::wire::Stream;

/// A service inside this process that is spoken to like an upstream.
pub trait InProcess: Send + Sync {
    /// The caller's end of a new connection; the service serves the other end.
    fn connect(&self) -> DuplexStream;
}

/// What all workers share to open connections: the resolver, the TLS configuration, the services
/// inside this process.
pub struct Egress {
    resolver: Arc<dyn Resolve>,
    tls: Arc<rustls::ClientConfig>,
    in_process: HashMap<&'static str, Arc<dyn InProcess>>,
}

impl Egress {
    /// Trusts the public certificate authorities (Mozilla's list) and nothing else.
    #[must_use]
    pub fn new(resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, tls: tls::client_config(&[]), in_process: HashMap::new() }
    }

    /// Trusts `roots` besides the public ones; authorities that cannot be read are left out.
    #[must_use]
    pub fn with_extra_roots(mut self, roots: &[CertificateDer<'static>]) -> Self {
        self.tls = tls::client_config(roots);
        self
    }

    /// Makes `service` reachable as `demo://<name>`.
    #[must_use]
    pub fn with_in_process(mut self, name: &'static str, service: Arc<dyn InProcess>) -> Self {
        self.in_process.insert(name, service);
        self
    }

    /// A new stream to `target`, within the connect and TLS timers and before `total`.
    pub(crate) async fn open(
        &self,
        target: &Target,
        timers: &Timers,
        total: Deadline,
    ) -> Result<Stream, SendError> {
        match target.origin.scheme() {
            Scheme::Demo => self.open_in_process(target),
            Scheme::Http | Scheme::H2c if !target.allow_private => {
                Err(Denied::new(target.class, "plain http and allow_private is off").into())
            }
            Scheme::Http | Scheme::H2c => Ok(Stream::Tcp(self.open_tcp(target, timers, total).await?)),
            Scheme::Https => {
                let tcp = self.open_tcp(target, timers, total).await?;
                let deadline = Deadline::new("tls", Instant::now(), timers.tls).or(total);
                within(deadline, Phase::Tls, self.shake_hands(target, tcp)).await?
            }
        }
    }

    fn open_in_process(&self, target: &Target) -> Result<Stream, SendError> {
        let host = target.origin.host();
        match self.in_process.get(host) {
            Some(service) => Ok(Stream::InProcess(service.connect())),
            None => Err(Denied::new(target.class, format!("no service {host:?} in this process")).into()),
        }
    }

    async fn open_tcp(
        &self,
        target: &Target,
        timers: &Timers,
        total: Deadline,
    ) -> Result<TcpStream, SendError> {
        let deadline = Deadline::new("connect", Instant::now(), timers.connect).or(total);
        let resolving = checked_addresses(self.resolver.as_ref(), target);
        let addresses =
            within(deadline, Phase::Resolve, resolving).await?.map_err(|failure| match failure {
                Unreachable::Denied(denied) => denied.into(),
                Unreachable::Resolve(message) => SendError::unsent(Phase::Resolve, message),
            })?;
        connect_first(&addresses, deadline).await
    }

    async fn shake_hands(&self, target: &Target, tcp: TcpStream) -> Result<Stream, SendError> {
        let host = target.origin.host();
        let failed = |error: &dyn std::fmt::Display| {
            SendError::unsent(Phase::Tls, format!("TLS handshake with {host} failed: {error}"))
        };
        let name = match target.origin.address() {
            Some(address) => ServerName::from(address),
            None => ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?,
        };
        let session = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await;
        Ok(Stream::Tls(Box::new(session.map_err(|error| failed(&error))?)))
    }
}

/// Tries the addresses in order. Each gets an equal share of the time that is left, so that a dead
/// first address does not use up the turn of the others.
async fn connect_first(addresses: &[SocketAddr], deadline: Deadline) -> Result<TcpStream, SendError> {
    let mut failure = SendError::unsent(Phase::Connect, "no address to connect to");
    for (tried, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let waiting = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.at.saturating_duration_since(now) / waiting;
        let turn = Deadline { at: now + share, timer: deadline.timer };
        failure = match within(turn, Phase::Connect, connect_tcp(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => SendError::unsent(Phase::Connect, format!("connect to {address}: {error}")),
            Err(timed_out) => timed_out,
        };
    }
    Err(failure)
}

/// Connects with `TCP_NODELAY`: a request or an event that waits for the peer's acknowledgement
/// would be delayed by 40 ms.
async fn connect_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

async fn within<F: Future>(deadline: Deadline, phase: Phase, future: F) -> Result<F::Output, SendError> {
    let outcome = timeout_at(deadline.at, future).await;
    outcome.map_err(|_| SendError::timed_out(phase, deadline.timer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn sets_nodelay_on_upstream_sockets() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = connect_tcp(listener.local_addr().unwrap()).await.unwrap();
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn goes_on_to_the_next_address_when_one_refuses() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let deadline = Deadline::new("connect", Instant::now(), std::time::Duration::from_secs(5));
        let stream = connect_first(&[closed, open], deadline).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        let error = connect_first(&[closed], deadline).await.unwrap_err();
        assert_eq!((error.phase, error.written, error.timer), (Phase::Connect, false, None));
    }
}
