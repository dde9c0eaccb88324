//! The crate from outside: scripted upstreams on 127.0.0.1 and in-process pipes, no network.

mod decoding;
mod differential;
mod exchange;
mod http2;
mod http2_floods;
mod pooling;
mod ssrf;
mod timing;
mod tls;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

use crate::{Answer, AnswerError, Class, Egress, InProcess, Origin, Resolve, Resolving, Target};

/// A resolver that knows a few names; each call may answer differently.
#[derive(Default)]
pub struct FakeResolver {
    answers: HashMap<&'static str, Vec<Vec<IpAddr>>>,
    calls: AtomicUsize,
}

impl FakeResolver {
    /// `host` resolves to each of `answers` in turn, then to the last one for good.
    pub fn with(mut self, host: &'static str, answers: &[&[&str]]) -> Self {
        let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
        self.answers.insert(host, answers.iter().map(parse).collect());
        self
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Resolve for FakeResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let answers = self.answers.get(host);
        let answer = answers.map(|answers| answers[call.min(answers.len() - 1)].clone());
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("NXDOMAIN")) })
    }
}

/// An upstream on 127.0.0.1 that plays `script` on every connection and counts them.
pub struct Upstream {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    pub async fn start<S, F>(script: S) -> Self
    where
        S: Fn(usize, TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(script(counter.fetch_add(1, Ordering::SeqCst), stream));
            }
        });
        Self { address, connections }
    }

    /// One that answers every request with `answer`, on as few connections as the caller uses.
    pub async fn answering(answer: &'static str) -> Self {
        Self::start(move |_, stream| serve(stream, answer)).await
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn target(&self) -> Target {
        target(&format!("http://{}", self.address))
    }
}

/// Answers every request on `stream` with `answer` until the caller is gone.
pub async fn serve(mut stream: TcpStream, answer: &'static str) {
    while read_request(&mut stream).await.is_some() {
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// Reads one request with its body; `None` at the end of the connection.
pub async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
        if bytes.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

/// A service in this process: the test plays the other end of each pipe.
pub struct Pipes {
    opened: mpsc::UnboundedSender<DuplexStream>,
    waiting: Mutex<mpsc::UnboundedReceiver<DuplexStream>>,
}

impl Pipes {
    /// The service's end of the next connection.
    pub async fn accept(&self) -> DuplexStream {
        self.waiting.lock().await.recv().await.unwrap()
    }
}

impl Default for Pipes {
    fn default() -> Self {
        let (opened, waiting) = mpsc::unbounded_channel();
        Self { opened, waiting: Mutex::new(waiting) }
    }
}

impl InProcess for Pipes {
    fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.opened.send(far).unwrap();
        near
    }
}

/// An egress that knows no names.
pub fn egress() -> Egress {
    Egress::new(Arc::new(FakeResolver::default()))
}

/// An egress with a service at `demo://demo`, and that service.
pub fn egress_with_pipes() -> (Arc<Egress>, Arc<Pipes>) {
    let pipes = Arc::new(Pipes::default());
    (Arc::new(egress().with_in_process("demo", Arc::clone(&pipes) as Arc<dyn InProcess>)), pipes)
}

/// A provider at `url`, private addresses allowed.
pub fn target(url: &str) -> Target {
    Target::new(Origin::parse(url).unwrap(), Class::Provider, true)
}

pub fn get(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).unwrap()
}

pub fn post(path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    Request::post(path).body(body.into()).unwrap()
}

pub async fn text(answer: Response<Answer>) -> Result<String, AnswerError> {
    let collected = answer.into_body().collect().await?;
    Ok(String::from_utf8(collected.to_bytes().to_vec()).unwrap())
}

#[test]
fn workers_can_share_an_egress() {
    fn check<T: Send + Sync>() {}
    check::<Egress>();
    check::<Target>();
    check::<crate::BoundSecret>();
}
