//! HTTP/2: sharing, growing, and what each way of failing proves.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use super::{Upstream, egress, get, post, target, text};
use crate::{Phase, Pool, SendError, Target, Timers};

/// Frame types (RFC 9113 §6).
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// Flags: of SETTINGS, of DATA and HEADERS, of HEADERS.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// An upstream's end of a connection, frame by frame.
pub(super) struct Frames(pub(super) TcpStream);

impl Frames {
    /// Reads the preface and exchanges settings; `streams` is how many it takes at one time.
    pub(super) async fn begin(mut stream: TcpStream, streams: u32) -> Self {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        let mut frames = Self(stream);
        let mut setting = vec![0, 3];
        setting.extend(streams.to_be_bytes());
        frames.send(SETTINGS, 0, 0, &setting).await;
        frames
    }

    pub(super) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend_from_slice(payload);
        let _ = self.0.write_all(&frame).await;
    }

    /// The next frame of `kind`: its stream and payload; `None` at the end of the connection.
    pub(super) async fn next(&mut self, kind: u8) -> Option<(u32, Vec<u8>)> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            if head[3] == SETTINGS && head[4] & ACK == 0 {
                self.send(SETTINGS, ACK, 0, &[]).await;
            }
            if head[3] == kind {
                return Some((u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload));
            }
        }
    }

    /// `:status: 200`, which is entry 8 of the static table.
    pub(super) async fn answer(&mut self, stream: u32) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &[0x88]).await;
    }
}

pub(super) fn h2c(upstream: &Upstream) -> Target {
    target(&format!("h2c://{}", upstream.address))
}

/// A real server that answers with its protocol version once `gate` lets it, taking `streams` at a time.
async fn gated(streams: u32, gate: Arc<Notify>) -> Upstream {
    Upstream::start(move |_, stream| {
        let gate = Arc::clone(&gate);
        async move {
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let gate = Arc::clone(&gate);
                async move {
                    assert_eq!(request.version(), Version::HTTP_2);
                    assert!(!request.headers().contains_key("host"));
                    if request.uri().path() == "/wait" {
                        gate.notified().await;
                    }
                    let authority = request.uri().authority().unwrap().to_string();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let text = format!("{authority} {}", String::from_utf8_lossy(&body));
                    Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(text))))
                }
            });
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ =
                server.max_concurrent_streams(streams).serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

async fn failure(pool: &std::rc::Rc<Pool>, upstream: &Upstream) -> SendError {
    pool.send(&h2c(upstream), get("/"), &Timers::standard()).await.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn requests_share_one_connection() {
    let upstream = gated(100, Arc::default()).await;
    let pool = Pool::new(Arc::new(egress()));
    let target = h2c(&upstream);
    for turn in 0..4 {
        let answer = pool.send(&target, post("/v1/x", "hello"), &Timers::standard()).await.unwrap();
        assert_eq!((answer.status(), answer.body().reused()), (StatusCode::OK, turn > 0));
        assert_eq!(text(answer).await.unwrap(), format!("{} hello", upstream.address));
    }
    assert_eq!((upstream.connections(), pool.shared(), pool.idle()), (1, 1, 0));
}

#[tokio::test]
async fn opens_further_connections_when_the_streams_run_out() {
    let gate = Arc::new(Notify::new());
    let upstream = gated(3, Arc::clone(&gate)).await;
    let pool = Pool::new(Arc::new(egress()));
    let (target, timers) = (h2c(&upstream), Timers::standard());
    let waiting = (0..10).map(|_| pool.send(&target, get("/wait"), &timers));
    let mut waiting: Vec<_> = waiting.map(Box::pin).collect();
    // All are under way at one time: none waits for another to end.
    for send in &mut waiting {
        let started = tokio::time::timeout(Duration::from_millis(50), send.as_mut()).await;
        assert!(started.is_err(), "answered before its turn");
    }
    assert!((4..=5).contains(&upstream.connections()), "{}", upstream.connections());
    for _ in 0..10 {
        gate.notify_one();
    }
    for send in waiting {
        assert!(text(send.await.unwrap()).await.is_ok());
    }
}

#[tokio::test]
async fn those_who_wait_for_one_opening_share_its_failure() {
    let upstream = Upstream::start(|_, stream| async move { drop(stream) }).await;
    let pool = Pool::new(Arc::new(egress()));
    // TLS, so that the opening itself fails.
    let (target, timers) = (target(&format!("https://{}", upstream.address)), Timers::standard());
    let mut all: Vec<_> = (0..20).map(|_| Box::pin(pool.send(&target, get("/"), &timers))).collect();
    let mut failed = 0;
    std::future::poll_fn(|cx| {
        all.retain_mut(|send| match send.as_mut().poll(cx) {
            Poll::Ready(answer) => {
                let error = answer.map(|_| ()).unwrap_err();
                assert_eq!((error.written, error.phase), (false, Phase::Tls), "{error}");
                failed += 1;
                false
            }
            Poll::Pending => true,
        });
        if all.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert_eq!((failed, upstream.connections()), (20, 1));
}

#[tokio::test]
async fn a_refused_stream_has_done_nothing() {
    let upstream = Upstream::start(|_, stream| async move {
        let mut frames = Frames::begin(stream, 10).await;
        while let Some((stream, _)) = frames.next(HEADERS).await {
            frames.send(RST_STREAM, 0, stream, &7_u32.to_be_bytes()).await;
        }
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    let error = failure(&pool, &upstream).await;
    assert_eq!((error.written, error.phase, error.timer), (false, Phase::Head, None), "{error}");
}

#[tokio::test]
async fn another_reset_may_have_done_something() {
    let upstream = Upstream::start(|_, stream| async move {
        let mut frames = Frames::begin(stream, 10).await;
        while let Some((stream, _)) = frames.next(HEADERS).await {
            frames.send(RST_STREAM, 0, stream, &2_u32.to_be_bytes()).await;
        }
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    assert!(failure(&pool, &upstream).await.written);
}

/// Says farewell to the first request of each connection as `last` has it, and serves from the
/// `serves_from`th connection on.
async fn leaving(last: u32, reason: u32, serves_from: usize) -> Upstream {
    Upstream::start(move |number, stream| async move {
        let mut frames = Frames::begin(stream, 10).await;
        while let Some((stream, _)) = frames.next(HEADERS).await {
            if number >= serves_from {
                frames.answer(stream).await;
                continue;
            }
            let mut payload = last.to_be_bytes().to_vec();
            payload.extend(reason.to_be_bytes());
            frames.send(GOAWAY, 0, 0, &payload).await;
            return;
        }
    })
    .await
}

#[tokio::test]
async fn streams_above_the_farewell_have_done_nothing() {
    for reason in [0, 11] {
        let upstream = leaving(0, reason, usize::MAX).await;
        let error = failure(&Pool::new(Arc::new(egress())), &upstream).await;
        assert!(!error.written, "{error:?}");
    }
}

#[tokio::test]
async fn streams_below_the_farewell_may_have_done_something() {
    let upstream = leaving(1, 0, usize::MAX).await;
    let error = failure(&Pool::new(Arc::new(egress())), &upstream).await;
    assert!(error.written, "{error:?}");
}

#[tokio::test]
async fn a_connection_that_says_farewell_is_replaced() {
    let (said, mut farewells) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |number, stream| {
        let said = said.clone();
        async move {
            let mut frames = Frames::begin(stream, 10).await;
            let mut served = 0;
            while let Some((stream, _)) = frames.next(HEADERS).await {
                frames.answer(stream).await;
                served += 1;
                if number == 0 && served == 2 {
                    let mut payload = stream.to_be_bytes().to_vec();
                    payload.extend(0_u32.to_be_bytes());
                    frames.send(GOAWAY, 0, 0, &payload).await;
                    said.send(()).unwrap();
                }
            }
        }
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    let target = h2c(&upstream);
    for turn in 0..4 {
        let answer = pool.send(&target, get("/"), &Timers::standard()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{turn}");
        if turn == 1 {
            farewells.recv().await.unwrap();
        }
    }
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn dropping_an_exchange_resets_its_stream_and_nothing_else() {
    let (seen, mut resets) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |_, stream| {
        let seen = seen.clone();
        async move {
            let mut frames = Frames::begin(stream, 10).await;
            let (first, _) = frames.next(HEADERS).await.unwrap();
            frames.send(HEADERS, END_HEADERS, first, &[0x88]).await;
            while let Some((stream, payload)) = frames.next(RST_STREAM).await {
                seen.send((stream, payload)).unwrap();
                let (next, _) = frames.next(HEADERS).await.unwrap();
                frames.answer(next).await;
            }
        }
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    let target = h2c(&upstream);
    let answer = pool.send(&target, get("/"), &Timers::standard()).await.unwrap();
    drop(answer);
    let reset = tokio::time::timeout(Duration::from_secs(1), resets.recv()).await.unwrap().unwrap();
    assert_eq!(reset, (1, 8_u32.to_be_bytes().to_vec()), "CANCEL");
    assert!(pool.send(&target, get("/"), &Timers::standard()).await.is_ok());
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_slow_reader_stalls_nobody_else() {
    let upstream = Upstream::start(|_, stream| async move {
        let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
            let length = if request.uri().path() == "/large" { 8 << 20 } else { 2 };
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(vec![b'x'; length]))))
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    let (target, timers) = (h2c(&upstream), Timers::standard());
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(pool.send(&target, get("/large"), &timers).await.unwrap());
    }
    let quick = pool.send(&target, get("/small"), &timers).await.unwrap();
    assert_eq!(text(quick).await.unwrap(), "xx");
    assert_eq!(text(slow.remove(0)).await.unwrap().len(), 8 << 20);
}
