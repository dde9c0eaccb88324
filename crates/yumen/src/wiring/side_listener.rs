//! Sockets beside the public one: administration on a socket of its own, and the operator's.
//!
//! Both are served by the control plane on its runtime; neither reaches a model.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use model::{Code, Rejection, RequestId};
use proxy::{ControlBody, HandedOver};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::config::Settings;
use crate::entropy::random_bytes;
use crate::problem::Problem;
use crate::startup;
use crate::system_clock::SystemClock;
use crate::wiring::control_plane::Bridge;
use crate::wiring::manual_paths::{self, ManualPaths};
use model::Clock;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// `/api`, `/admin`, `/console`, and what follows.
    Administration,
    /// Health and metrics, for the machine's operator.
    Operation,
}

/// What answers on a socket.
#[derive(Clone)]
struct Behind {
    bridge: Bridge,
    manual: ManualPaths,
    purpose: Purpose,
}

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

/// Serves the sockets until the order to stop.
pub fn serve(
    sockets: Vec<Bound>,
    (bridge, manual): (&Bridge, &ManualPaths),
    stop: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    let mut serving = JoinSet::new();
    for Bound(listener, purpose) in sockets {
        let behind = Behind { bridge: bridge.clone(), manual: manual.clone(), purpose };
        serving.spawn(accept(listener, behind, stop.clone()));
    }
    tokio::spawn(async move { while serving.join_next().await.is_some() {} })
}

async fn accept(listener: TcpListener, behind: Behind, mut stop: watch::Receiver<bool>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    // Connections end with this set: administration does not hold a stop up.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, peer)) = accepted else { continue };
        let behind = behind.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(behind.clone(), request, peer));
            // How a caller leaves is its own affair.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    behind: Behind,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<ControlBody>, Infallible> {
    let Behind { bridge, manual, purpose } = behind;
    let request_id = RequestId::mint(SystemClock.now_ms(), random_bytes());
    if purpose == Purpose::Operation && manual_paths::names(request.uri().path()) {
        // Without the body, which nobody reads.
        return Ok(manual.answer(&request.map(drop), request_id).await);
    }
    let path = request.uri().path();
    let operation = path == "/metrics" || path.starts_with("/health") || path.starts_with("/actuator/");
    if purpose == Purpose::Operation && !operation {
        return Ok(manual_paths::refused(&Rejection::new(Code::NotFound), request_id));
    }
    let known = HandedOver { request_id, trace_id: request_id.into(), client: peer.ip(), key: None };
    Ok(bridge.answer(request, known).await)
}
