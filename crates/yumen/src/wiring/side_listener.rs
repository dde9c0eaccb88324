//! Sockets beside the public one: administration on a socket of its own, and the operator's.
//!
//! Both are served by the control plane on its runtime; neither reaches a model.

use std::convert::Infallible;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use model::{Clock, Code, Rejection, RequestId};
use policy::identify::TrustedProxies;
use proxy::caller::CallerSocket;
use proxy::connection;
use proxy::settings::{ClientTimers, Sizes};
use proxy::{ControlBody, HandedOver};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::config::Settings;
use crate::entropy::random_bytes;
use crate::problem::Problem;
use crate::startup;
use crate::system_clock::SystemClock;
use crate::wiring::control_plane::{self, Bridge};
use crate::wiring::manual_paths::{self, ManualPaths};

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// `/api`, `/admin`, `/console`, and what follows.
    Administration,
    /// Health and metrics, for the machine's operator.
    Operation,
}

/// What answers on a socket, and what it holds callers to.
struct Behind {
    bridge: Bridge,
    manual: ManualPaths,
    purpose: Purpose,
    sizes: Sizes,
    timers: ClientTimers,
    trusted_proxies: TrustedProxies,
}

/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound socket that is not served yet.
pub struct Bound(TcpListener, Purpose);

/// Binds the sockets that the settings name.
///
/// # Errors
/// An address is taken or cannot be used.
pub fn bind(settings: &Settings) -> Result<Vec<Bound>, Problem> {
    let wanted = [
        (settings.admin_listen, "admin_listen", Purpose::Administration),
        (settings.ops_listen, "ops_listen", Purpose::Operation),
    ];
    let mut bound = Vec::new();
    for (address, setting, purpose) in wanted {
        if let Some(address) = address {
            bound.push(Bound(startup::bind(address, setting)?, purpose));
        }
    }
    Ok(bound)
}

/// What all side sockets are served with.
pub struct Served<'a> {
    /// What answers on them.
    pub bridge: &'a Bridge,
    /// And on the operator's besides.
    pub manual: &'a ManualPaths,
    /// The settings of the public socket, most of which hold here too.
    pub settings: &'a proxy::Settings,
    /// Connections of each that may be open at one time.
    pub connections: usize,
}

/// Serves the sockets until the order to stop.
pub fn serve(sockets: Vec<Bound>, served: &Served<'_>, stop: &watch::Receiver<bool>) -> JoinHandle<()> {
    let mut serving = JoinSet::new();
    for Bound(listener, purpose) in sockets {
        let behind = Arc::new(Behind {
            bridge: served.bridge.clone(),
            manual: served.manual.clone(),
            purpose,
            sizes: served.settings.sizes,
            timers: served.settings.client,
            trusted_proxies: served.settings.trusted_proxies.clone(),
        });
        serving.spawn(accept(listener, behind, served.connections, stop.clone()));
    }
    tokio::spawn(async move { while serving.join_next().await.is_some() {} })
}

async fn accept(listener: TcpListener, behind: Arc<Behind>, most: usize, mut stop: watch::Receiver<bool>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    // Connections end with this set: administration does not hold a stop up.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < most => accepted,
            // Further ones wait in the kernel's queue, as at the public socket.
            Some(_) = connections.join_next(), if connections.len() >= most => continue,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(serve_caller(stream, Arc::clone(&behind), peer.ip()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_caller(stream: TcpStream, behind: Arc<Behind>, peer: IpAddr) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (socket, activity) = CallerSocket::new(stream, behind.timers);
    let builder = connection::builder(&behind.sizes);
    let service = service_fn(move |request| {
        let (busy, answering) = (activity.serve(), answer(Arc::clone(&behind), request, peer));
        async move { Ok::<_, Infallible>(busy.until_end(answering.await)) }
    });
    // How a caller leaves is its own affair.
    let _ = builder.serve_connection(socket, service).await;
}

async fn answer(behind: Arc<Behind>, request: Request<Incoming>, peer: IpAddr) -> Response<ControlBody> {
    let request_id = RequestId::mint(SystemClock.now_ms(), random_bytes());
    let client = behind.trusted_proxies.client(peer, request.headers());
    let known = HandedOver { request_id, trace_id: request_id.into(), client, key: None };
    if let Err(rejection) = proxy::check_head(&behind.sizes, &request) {
        return control_plane::refuse(&rejection, &known);
    }
    let path = request.uri().path();
    if behind.purpose == Purpose::Operation && manual_paths::names(path) {
        // Without the body, which nobody reads.
        return behind.manual.answer(&request.map(drop), request_id).await;
    }
    if behind.purpose == Purpose::Operation && !control_plane::is_operation(path) {
        return control_plane::refuse(&Rejection::new(Code::NotFound), &known);
    }
    behind.bridge.answer(request, known).await
}
