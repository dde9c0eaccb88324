//! A model provider played over raw TCP: it answers by script, byte for byte, and remembers exactly
//! what it was sent, on which connection, and when its caller went away.
//!
//! It knows nothing of HTTP but where a request ends; whether an answer is right is the script's affair.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::http::find;
use crate::script::{Script, Step};
use crate::wait;

/// The longest request that is read.
const REQUEST_LIMIT: usize = 64 * 1024 * 1024;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The number of the connection it came on, from 0.
    pub connection: usize,
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The headers in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// The body, without chunk framing.
    pub body: Bytes,
    /// When its last byte had arrived.
    pub at: Instant,
}

impl Received {
    /// The first header of that name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

type Handler = dyn Fn(&Received) -> Script + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    queue: Mutex<VecDeque<Script>>,
    received: Mutex<Vec<Received>>,
    abandoned: Mutex<Vec<Instant>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    sent: AtomicU64,
    gate: watch::Sender<u64>,
}

/// A running upstream; it stops when dropped.
pub struct Upstream {
    address: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Starts one that answers with what `handler` makes of each request.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start<F>(handler: F) -> Result<Self>
    where
        F: Fn(&Received) -> Script + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            queue: Mutex::default(),
            received: Mutex::default(),
            abandoned: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            gate: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Starts one that always gives the same answer.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn always(script: Script) -> Result<Self> {
        Self::start(move |_| script.clone()).await
    }

    /// Its origin, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next answers, before the handler is asked again.
    pub fn next(&self, scripts: impl IntoIterator<Item = Script>) {
        lock(&self.shared.queue).extend(scripts);
    }

    /// Lets every script go on that stands at a [`Step::Gate`] below `number`.
    pub fn open_gate(&self, number: u64) {
        self.shared.gate.send_replace(number);
    }

    /// Every request so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// How many requests came so far.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.shared.received).len()
    }

    /// How many connections were ever accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Bytes of answers handed to the sockets so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// When callers closed their connection in the middle of an answer.
    #[must_use]
    pub fn abandoned(&self) -> Vec<Instant> {
        lock(&self.shared.abandoned).clone()
    }

    /// Waits until `count` requests have come.
    ///
    /// # Errors
    /// When they do not come within the kit's patience.
    pub async fn wait_for(&self, count: usize) -> Result<Vec<Received>> {
        wait::until("requests at the upstream", wait::PATIENCE, async || {
            Ok((self.count() >= count).then(|| self.received()))
        })
        .await
    }

    /// Waits until `count` answers were abandoned.
    ///
    /// # Errors
    /// When that does not happen within `limit`.
    pub async fn wait_abandoned(&self, count: usize, limit: Duration) -> Result<Vec<Instant>> {
        wait::until("the caller to leave the upstream", limit, async || {
            let abandoned = self.abandoned();
            Ok((abandoned.len() >= count).then_some(abandoned))
        })
        .await
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A port on which nobody listens, and on which nobody can begin to as long as this is held.
pub struct ClosedPort {
    socket: TcpSocket,
}

impl ClosedPort {
    /// Takes a free port without listening on it: whoever connects is refused.
    ///
    /// # Errors
    /// When no port is free.
    pub fn take() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self { socket })
    }

    /// The origin of the port.
    ///
    /// # Errors
    /// When the socket has no address, which a bound one has.
    pub fn url(&self) -> Result<String> {
        Ok(format!("http://{}", self.socket.local_addr()?))
    }
}

/// A lock that a failed test may have poisoned; its content is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(serve(stream, number, Arc::clone(&shared)));
    }
}

async fn serve(mut stream: TcpStream, number: usize, shared: Arc<Shared>) {
    shared.open.fetch_add(1, Ordering::SeqCst);
    let _ = stream.set_nodelay(true);
    let mut buffer = BytesMut::new();
    while let Some(received) = read_request(&mut stream, &mut buffer, number).await {
        lock(&shared.received).push(received.clone());
        let queued = lock(&shared.queue).pop_front();
        let script = queued.unwrap_or_else(|| (shared.handler)(&received));
        match play(&mut stream, &script, &shared).await {
            Next::Request => {}
            Next::Close => break,
            Next::Abandoned => {
                lock(&shared.abandoned).push(Instant::now());
                break;
            }
        }
    }
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

/// What happens to a connection after a script.
enum Next {
    Request,
    Close,
    /// The caller closed it before the script was through.
    Abandoned,
}

async fn play(stream: &mut TcpStream, script: &Script, shared: &Shared) -> Next {
    for step in script.steps() {
        let went_on = match step {
            Step::Send(bytes) => send(stream, bytes, shared).await,
            Step::Wait(time) => stayed(stream, tokio::time::sleep(*time)).await,
            Step::Drip { bytes, every } => drip(stream, bytes, *every, shared).await,
            Step::Repeat { bytes, every } => repeat(stream, bytes, *every, shared).await,
            Step::Hold => stayed(stream, std::future::pending()).await,
            Step::Gate(number) => stayed(stream, opened(shared, *number)).await,
            Step::Close => {
                let _ = stream.shutdown().await;
                return Next::Close;
            }
            Step::Reset => {
                let _ = stream.set_zero_linger();
                return Next::Close;
            }
        };
        if !went_on {
            return Next::Abandoned;
        }
    }
    Next::Request
}

async fn send(stream: &mut TcpStream, bytes: &Bytes, shared: &Shared) -> bool {
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        match stream.write(rest).await {
            Ok(count) if count > 0 => {
                shared.sent.fetch_add(count as u64, Ordering::SeqCst);
                rest = &rest[count..];
            }
            _ => return false,
        }
    }
    true
}

async fn drip(stream: &mut TcpStream, bytes: &Bytes, every: Duration, shared: &Shared) -> bool {
    for at in 0..bytes.len() {
        let sent = send(stream, &bytes.slice(at..=at), shared).await;
        if !sent || !stayed(stream, tokio::time::sleep(every)).await {
            return false;
        }
    }
    true
}

async fn repeat(stream: &mut TcpStream, bytes: &Bytes, every: Duration, shared: &Shared) -> bool {
    while send(stream, bytes, shared).await {
        if !stayed(stream, tokio::time::sleep(every)).await {
            return false;
        }
    }
    false
}

async fn opened(shared: &Shared, number: u64) {
    let mut gate = shared.gate.subscribe();
    let _ = gate.wait_for(|open| *open > number).await;
}

/// Waits for `event` while watching the caller: `false` when it closed the connection first.
async fn stayed(stream: &mut TcpStream, event: impl Future<Output = ()>) -> bool {
    let mut byte = [0_u8; 1];
    tokio::select! {
        () = event => true,
        _ = stream.peek(&mut byte) => false,
    }
}

/// Reads one request; `None` when the connection ends or what comes is not one.
async fn read_request(stream: &mut TcpStream, buffer: &mut BytesMut, connection: usize) -> Option<Received> {
    let end = until(stream, buffer, |bytes| find(bytes, b"\r\n\r\n")).await?;
    let head = String::from_utf8_lossy(&buffer.split_to(end + 4)[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let value =
        |name: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
    let body = match (value("content-length"), value("transfer-encoding")) {
        (Some(length), _) => {
            let length = length.parse().ok()?;
            until(stream, buffer, |bytes| (bytes.len() >= length).then_some(length)).await?;
            buffer.split_to(length).freeze()
        }
        (None, Some(_)) => read_chunks(stream, buffer).await?,
        (None, None) => Bytes::new(),
    };
    let at = Instant::now();
    Some(Received { connection, method, target, headers, body, at })
}

async fn read_chunks(stream: &mut TcpStream, buffer: &mut BytesMut) -> Option<Bytes> {
    let mut body = BytesMut::new();
    loop {
        let end = until(stream, buffer, |bytes| find(bytes, b"\r\n")).await?;
        let line = buffer.split_to(end + 2);
        let size = usize::from_str_radix(std::str::from_utf8(&line[..end]).ok()?.trim(), 16).ok()?;
        until(stream, buffer, |bytes| (bytes.len() >= size + 2).then_some(size)).await?;
        body.extend_from_slice(&buffer.split_to(size + 2)[..size]);
        if size == 0 {
            return Some(body.freeze());
        }
    }
}

async fn until(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    found: impl Fn(&[u8]) -> Option<usize>,
) -> Option<usize> {
    loop {
        if let Some(at) = found(buffer) {
            return Some(at);
        }
        buffer.reserve(64 * 1024);
        if buffer.len() > REQUEST_LIMIT || stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::badup::{Case, Told, faults};
    use crate::http::{Connection, Ended, Request};
    use crate::outcome::Outcome;
    use crate::{canned, surface};

    fn address(upstream: &Upstream) -> String {
        upstream.url().replace("http://", "")
    }

    #[tokio::test]
    async fn serves_several_requests_on_one_connection_and_keeps_their_bytes() {
        let upstream = Upstream::always(canned::answer(&surface::CHAT, "m", true)).await.unwrap();
        let mut connection = Connection::open(&address(&upstream)).await.unwrap();
        for body in ["{\"a\": 1}", "{}"] {
            let answer = connection.call(&Request::post("/v1/x?y=1", body)).await.unwrap();
            assert_eq!(Outcome::of(surface::CHAT.dialect, true, &answer), Outcome::Complete);
        }
        let received = upstream.received();
        assert_eq!((received[0].connection, received[1].connection), (0, 0));
        assert_eq!(&received[0].body[..], b"{\"a\": 1}");
        assert_eq!(received[1].target, "/v1/x?y=1");
    }

    #[tokio::test]
    async fn notices_that_its_caller_went_away() {
        let upstream = Upstream::always(canned::stream_head().hold()).await.unwrap();
        let mut connection = Connection::open(&address(&upstream)).await.unwrap();
        connection.send(&Request::post("/", "{}")).await.unwrap();
        connection.arriving().await.unwrap();
        drop(connection);
        upstream.wait_abandoned(1, wait::PATIENCE).await.unwrap();
    }

    #[tokio::test]
    async fn tells_a_cut_answer_from_a_whole_one() {
        let script = canned::stream_head().chunk("data: 1\n\n").close();
        let upstream = Upstream::always(script).await.unwrap();
        let answer = crate::http::call(&address(&upstream), &Request::get("/")).await.unwrap();
        assert_eq!(answer.ended, Ended::Truncated);
        assert_eq!(Outcome::of(surface::CHAT.dialect, true, &answer), Outcome::Cut);
    }

    /// A caller without a gateway in between sees what the table says is whole as whole, so that a
    /// failure of the same row with a gateway is the gateway's.
    #[tokio::test]
    async fn the_faults_to_be_tolerated_are_whole_answers() {
        for fault in faults() {
            for case in Case::ALL {
                let Some(script) = fault.script else { continue };
                if (fault.expectation)(&case).told != Told::Whole {
                    continue;
                }
                let upstream = Upstream::always(script(&case)).await.unwrap();
                let mut answer = crate::http::call(&address(&upstream), &Request::get("/")).await.unwrap();
                if answer.header("content-encoding") == Some("gzip") {
                    let mut unpacked = Vec::new();
                    GzDecoder::new(&*answer.body).read_to_end(&mut unpacked).unwrap();
                    answer.body = unpacked.into();
                }
                let outcome = Outcome::of(case.surface.dialect, case.stream, &answer);
                assert_eq!(outcome, Outcome::Complete, "{} {case:?}", fault.name);
            }
        }
    }
}
