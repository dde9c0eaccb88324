//! From a host name to addresses that have all been judged.
//!
//! Resolves once per new connection and hands the judged addresses on, so that nothing is looked
//! up again between the check and the connect; it opens no connection.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use crate::address::{Denied, check_address};
use crate::target::Target;

/// Most addresses of one answer that are tried; all of them are judged.
const MAX_TRIED: usize = 8;

/// The answer of a resolver, still to come.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Where addresses come from; a fake in tests.
pub trait Resolve: Send + Sync {
    /// Every address of `host`, which is a lower-case name without trailing dot.
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a>;
}

/// The operating system's resolver, asked off the worker's thread. It keeps no cache: the system
/// has one, and a name is looked up only when a connection is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Why there is no address to connect to.
#[derive(Debug)]
pub(crate) enum Unreachable {
    Denied(Denied),
    Resolve(String),
}

/// The addresses that may be connected to for `target`, in the resolver's order.
///
/// One denied address denies the whole answer: a mixture of public and private addresses is what
/// a rebinding attack looks like.
pub(crate) async fn checked_addresses(
    resolver: &dyn Resolve,
    target: &Target,
) -> Result<Vec<SocketAddr>, Unreachable> {
    let host = target.origin.host();
    let found = match target.origin.address() {
        Some(address) => vec![address],
        None => resolver
            .resolve(host)
            .await
            .map_err(|error| Unreachable::Resolve(format!("{host} did not resolve: {error}")))?,
    };
    if found.is_empty() {
        return Err(Unreachable::Resolve(format!("{host} has no address")));
    }
    for address in &found {
        check_address(target.class, target.allow_private, *address).map_err(Unreachable::Denied)?;
    }
    let port = target.origin.port();
    // A mapped address is connected to as what it was judged as.
    Ok(found.iter().take(MAX_TRIED).map(|ip| SocketAddr::new(ip.to_canonical(), port)).collect())
}
