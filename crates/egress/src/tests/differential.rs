//! Plays mutated answers to our reader of HTTP/1.1 and to hyper's: what ours takes, hyper's takes, too, and
//! as the same.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use super::{get, target};
use crate::link::Link;
use crate::timers::{Deadline, Timers};
use crate::wire::Stream;

const ROUNDS: usize = 6_000;
const SEED: u64 = 0x5175_1e57;

const ANSWERS: [&str; 8] = [
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nok",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ntrailer: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok",
    "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
];
/// Bytes that mean something to a reader of HTTP.
const MEANINGFUL: &[u8] = b"\r\n\t :;,0123456789abcfACF\x00\xff-+/HTP";

/// A whole answer: its status, its fields, its body.
#[derive(Debug, PartialEq)]
struct Seen(u16, Vec<(String, Vec<u8>)>, Bytes);

fn seen(head: &http::response::Parts, body: Bytes) -> Seen {
    // A length beside a coding counts for neither; we take it out.
    let is_coded = head.headers.contains_key(TRANSFER_ENCODING);
    let counts = |name: &HeaderName| !(is_coded && name == CONTENT_LENGTH);
    let fields = head.headers.iter().filter(|(name, _)| counts(name));
    let mut fields: Vec<_> =
        fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    // In what order different names come means nothing; the sort keeps that of equal ones.
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    Seen(head.status.as_u16(), fields, body)
}

fn mutated(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut answer = ANSWERS[rng.usize(..ANSWERS.len())].as_bytes().to_vec();
    for _ in 0..rng.usize(0..4) {
        let at = rng.usize(..answer.len());
        let byte = MEANINGFUL[rng.usize(..MEANINGFUL.len())];
        match rng.u8(0..4) {
            0 => answer[at] = byte,
            1 => answer.insert(at, byte),
            2 if answer.len() > 1 => drop(answer.remove(at)),
            _ => {
                let end = (at + rng.usize(1..24)).min(answer.len());
                let part = answer[at..end].to_vec();
                let to = rng.usize(..=answer.len());
                answer.splice(to..to, part);
            }
        }
    }
    answer
}

/// Answers one request with `answer`, cut at random, and closes.
async fn play(mut far: DuplexStream, answer: &[u8], mut rng: fastrand::Rng) {
    let mut request = [0; 256];
    let _ = far.read(&mut request).await;
    let mut rest = answer;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rng.usize(1..=rest.len()));
        if far.write_all(now).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
        rest = later;
    }
}

async fn by_us(near: DuplexStream) -> Option<Seen> {
    let timers = Timers::standard();
    let total = Deadline::new("total", Instant::now(), timers.total);
    let mut link = Link::new(Stream::InProcess(near), &target("demo://demo"), total);
    let (head, ()) = link.exchange(Box::new(get("/")), &timers, total).await.ok()?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = std::future::poll_fn(|cx| link.poll_body(cx)).await {
        body.extend_from_slice(&piece.ok()?);
    }
    Some(seen(&head, body.into()))
}

async fn by_hyper(near: DuplexStream) -> Option<Seen> {
    let io = TokioIo::new(near);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
    let request = async {
        let request = Request::get("/").header("host", "demo").body(Full::<Bytes>::default()).ok()?;
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        Some(seen(&head, body.collect().await.ok()?.to_bytes()))
    };
    let connection = async {
        let _ = connection.await;
    };
    tokio::join!(request, connection).0
}

#[tokio::test(start_paused = true)]
async fn takes_nothing_that_hyper_would_not_take_the_same() {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let (mut whole, mut stricter) = (0, 0);
    for round in 0..ROUNDS {
        let answer = mutated(&mut rng);
        let cuts = rng.fork();
        let (near, far) = tokio::io::duplex(1024);
        let (ours, ()) = tokio::join!(by_us(near), play(far, &answer, cuts.clone()));
        let (near, far) = tokio::io::duplex(1024);
        let (hypers, ()) = tokio::join!(by_hyper(near), play(far, &answer, cuts));
        let text = String::from_utf8_lossy(&answer);
        match (ours, hypers) {
            (Some(ours), hypers) => {
                assert_eq!(Some(ours), hypers, "round {round}: {text:?}");
                whole += 1;
            }
            (None, Some(_)) => stricter += 1,
            (None, None) => {}
        }
    }
    assert!(whole > ROUNDS / 4, "{whole} of {ROUNDS} were whole, {stricter} only to hyper");
}
