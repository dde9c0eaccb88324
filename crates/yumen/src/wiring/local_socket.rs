//! The socket in the data directory, over which the command line administers the running gateway.
//!
//! It lies in a folder that only the directory's owner may enter: whoever can open it could as well read the
//! keys and write the database, so it asks for no credential. It serves the administration's paths alone.

use std::convert::Infallible;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use control::LocalOperator;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use model::{Clock, RequestId};
use proxy::HandedOver;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::entropy::random_bytes;
use crate::system_clock::SystemClock;
use crate::wiring::control_plane::Bridge;

/// The socket's name in its folder.
pub const NAME: &str = "control.sock";

/// The folder of the socket in the data directory.
#[must_use]
pub fn folder(data: &Path) -> PathBuf {
    data.join("run")
}

/// Listens in the data directory, which this process holds the lock of.
///
/// # Errors
/// The system's. The gateway works without it; only commands then need the address and a token.
pub fn bind(data: &Path) -> io::Result<UnixListener> {
    let folder = folder(data);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
    match fs::remove_file(folder.join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // By the folder's number, because the kernel takes no path of more than 107 bytes.
    let opened = File::open(&folder)?;
    let short = Path::new("/proc/self/fd").join(opened.as_raw_fd().to_string()).join(NAME);
    let listener = UnixListener::bind(short)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves the socket until the order to stop, then removes it.
pub fn serve(data: &Path, bridge: &Bridge, stop: &watch::Receiver<bool>) -> JoinHandle<()> {
    let (path, bridge, stop) = (folder(data).join(NAME), bridge.clone(), stop.clone());
    let listener = bind(data).and_then(tokio::net::UnixListener::from_std);
    tokio::spawn(async move {
        match listener {
            Ok(listener) => accept(listener, bridge, stop).await,
            Err(error) => {
                tracing::warn!(path = %path.display(), cause = %error, "commands cannot reach this process by a socket");
            }
        }
        let _ = fs::remove_file(path);
    })
}

async fn accept(listener: tokio::net::UnixListener, bridge: Bridge, mut stop: watch::Receiver<bool>) {
    // Connections end with this set: a command does not hold a stop up.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else { continue };
        let bridge = bridge.clone();
        connections.spawn(async move {
            let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
                let bridge = bridge.clone();
                request.extensions_mut().insert(LocalOperator);
                async move { Ok::<_, Infallible>(bridge.answer(request, known()).await) }
            });
            // How a caller leaves is its own affair.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// What is known of a request that came by the socket, or from within the process.
#[must_use]
pub fn known() -> HandedOver {
    let request_id = RequestId::mint(SystemClock.now_ms(), random_bytes());
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    HandedOver { request_id, trace_id: request_id.into(), client, key: None }
}
