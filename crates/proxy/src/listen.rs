//! One listening socket, one accept loop, and the workers: each connection goes to the worker with the
//! fewest open ones.
//!
//! Not `SO_REUSEPORT`: with few long connections it leaves a worker idle, and it drops queued
//! connections when a worker closes.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, thread};

use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, LocalSet};

use crate::Shared;
use crate::connection;
use crate::worker::Worker;

/// Accepted connections that may wait for a worker's attention.
const HANDED_OVER: usize = 1_024;
/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often idle upstream connections are looked through for closed ones, and leases are renewed.
const SWEEP: Duration = Duration::from_secs(5);

/// A connection on its way to a worker.
struct Accepted {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
    counted: Counted,
}

/// Counts a connection among a worker's from when it is handed over until it ends, wherever that is.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn one_more(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One worker, as the accept loop sees it.
struct Place {
    sender: mpsc::Sender<Accepted>,
    open: Arc<AtomicUsize>,
}

/// The running data plane.
pub struct Listening {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Starts the workers and begins to accept.
///
/// # Errors
/// A thread or runtime cannot be created, or the socket cannot be used.
pub fn start(
    shared: &Arc<Shared>,
    listener: std::net::TcpListener,
    control: &Handle,
    seeds: impl Fn() -> u64,
) -> io::Result<Listening> {
    listener.set_nonblocking(true)?;
    let (stop, stopping) = watch::channel(false);
    let mut places = Vec::new();
    let mut threads = Vec::new();
    for index in 0..shared.settings.workers.max(1) {
        let (sender, receiver) = mpsc::channel(HANDED_OVER);
        let open = Arc::new(AtomicUsize::new(0));
        places.push(Place { sender, open: Arc::clone(&open) });
        let (shared, stopping, seed) = (Arc::clone(shared), stopping.clone(), seeds());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || {
            let worker = Rc::new(Worker::new(shared, index, seed));
            LocalSet::new().block_on(&runtime, serve_connections(worker, receiver, open, stopping));
        };
        threads.push(thread::Builder::new().name(format!("worker-{index}")).spawn(work)?);
    }
    let connections = Arc::new(Semaphore::new(shared.settings.sizes.connections));
    let accepting = control.spawn(async move {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => accept(&listener, &places, &connections, stopping).await,
            Err(error) => tracing::error!(%error, "the public socket cannot be used"),
        }
    });
    Ok(Listening { stop, accepting, threads })
}

impl Listening {
    /// Stops accepting, lets open exchanges end within the drain time, and waits for the workers.
    pub async fn drain(self) {
        let _ = self.stop.send(true);
        let _ = self.accepting.await;
        for thread in self.threads {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("a worker ended in a panic");
            }
        }
    }
}

async fn accept(
    listener: &tokio::net::TcpListener,
    places: &[Place],
    connections: &Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    let mut next = 0;
    loop {
        let Ok(permit) = Arc::clone(connections).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => {
                let (place, counted) = least_loaded(places, &mut next);
                // A worker that is gone took its receiver with it: the connection closes, as at any stop.
                let _ = place.sender.send(Accepted { stream, peer, permit, counted }).await;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The worker with the fewest open connections, among equals in turn, and the count of one more.
fn least_loaded<'p>(places: &'p [Place], next: &mut usize) -> (&'p Place, Counted) {
    let turn = *next;
    *next = turn.wrapping_add(1);
    let order = (0..places.len()).map(|i| (turn.wrapping_add(i)) % places.len());
    let least = order.min_by_key(|i| places[*i].open.load(Ordering::Relaxed));
    let place = &places[least.unwrap_or_default()];
    (place, Counted::one_more(&place.open))
}

async fn serve_connections(
    worker: Rc<Worker>,
    mut receiver: mpsc::Receiver<Accepted>,
    open: Arc<AtomicUsize>,
    stop: watch::Receiver<bool>,
) {
    let mut stopping = stop.clone();
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let accepted = tokio::select! {
            accepted = receiver.recv() => accepted,
            _ = sweep.tick() => {
                worker.sweep();
                continue;
            }
            _ = stopping.wait_for(|stop| *stop) => None,
        };
        let Some(accepted) = accepted else { break };
        begin(&worker, accepted, &stop);
    }
    // What was handed over in the same moment is served as what was before; nothing comes after it.
    receiver.close();
    while let Ok(accepted) = receiver.try_recv() {
        begin(&worker, accepted, &stop);
    }
    let ended = async {
        while open.load(Ordering::Relaxed) > 0 || worker.drains.running() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let drain = worker.shared.settings.client.drain;
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!(open = open.load(Ordering::Relaxed), "connections cut at the end of the drain time");
    }
}

/// Serves a connection beside the others.
fn begin(worker: &Rc<Worker>, accepted: Accepted, stop: &watch::Receiver<bool>) {
    let Accepted { stream, peer, permit, counted } = accepted;
    let guard = Open { _counted: counted, worker: Rc::clone(worker), _permit: permit };
    guard.worker.gauges.connections.inc();
    let (worker, stop) = (Rc::clone(worker), stop.clone());
    tokio::task::spawn_local(async move {
        let _guard = guard;
        if let Ok(stream) = ready(stream) {
            connection::serve(worker, stream, peer, stop).await;
        }
    });
}

/// Without `TCP_NODELAY` each event of a stream would wait 40 ms for the last one's acknowledgement.
fn ready(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

/// A connection until it ends.
struct Open {
    _counted: Counted,
    worker: Rc<Worker>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.gauges.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::stage::{Stage, run};
    use model::resource::KeyTerms;

    /// A connection that comes as the order to stop does must not keep its worker until the drain time is over.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "a caller of its own, on this machine")]
    fn a_connection_that_is_handed_over_while_stopping_keeps_nobody() {
        run(async {
            let stage = Stage::new(KeyTerms::default(), &[]);
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let caller = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, peer) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            let open = Arc::new(AtomicUsize::new(0));
            let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
            let (sender, receiver) = mpsc::channel(HANDED_OVER);
            let (stop, stopping) = watch::channel(false);
            let places = [Place { sender, open: Arc::clone(&open) }];
            let (place, counted) = least_loaded(&places, &mut 0);
            place.sender.try_send(Accepted { stream, peer, permit, counted }).ok().unwrap();
            stop.send(true).unwrap();
            drop(caller);
            let began = tokio::time::Instant::now();
            serve_connections(Rc::clone(&stage.worker), receiver, Arc::clone(&open), stopping).await;
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
            assert_eq!(open.load(Ordering::Relaxed), 0);
            assert!(place.sender.is_closed());
        });
    }
}
