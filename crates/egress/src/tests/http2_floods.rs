//! HTTP/2 upstreams that send more than anybody asked for (reliability.md T42): each loses its connection
//! and its requests, and nobody else loses anything.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::http2::{END_HEADERS, Frames, HEADERS, RST_STREAM, SETTINGS, h2c};
use super::{Upstream, egress, get, post, text};
use crate::{Phase, Pool, SendError, Timers};

const DATA: u8 = 0;
const PRIORITY: u8 = 2;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// `:status: 200`, entry 8 of the static table (RFC 7541, appendix A).
const OK: u8 = 0x88;
/// `:status: 103`, by the name of entry 8.
const INTERIM: [u8; 5] = [0x08, 3, b'1', b'0', b'3'];
/// Frames that an upstream gets rid of at most: those that are allowed, and what fits into the buffers of two
/// sockets.
const MOST_FRAMES: usize = 2_000_000;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// What comes once behind the first request, and what then comes again and again until the connection ends.
struct Flood {
    name: &'static str,
    first: Vec<u8>,
    again: Vec<u8>,
    /// Whether what came is not HTTP.
    is_malformed: bool,
    /// A part of what people are told.
    told: &'static str,
}

const TOO_MANY: &str = "nobody asked for";

fn floods() -> Vec<Flood> {
    let flood = |name, again| Flood { name, first: Vec::new(), again, is_malformed: false, told: TOO_MANY };
    let window = |by: u32| frame(WINDOW_UPDATE, 0, 0, &by.to_be_bytes());
    vec![
        flood("pings", frame(PING, 0, 0, &[0; 8])),
        flood("settings", frame(SETTINGS, 0, 0, &[])),
        flood("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7])),
        flood("frames of no type", frame(0x42, 0, 0, &[0; 16])),
        flood("window updates", window(1)),
        flood("interim heads", frame(HEADERS, END_HEADERS, 1, &INTERIM)),
        Flood {
            name: "a window that overflows",
            first: Vec::new(),
            again: window(0x7fff_ffff),
            is_malformed: true,
            told: "flow-control",
        },
        Flood {
            name: "a head without end",
            first: frame(HEADERS, 0, 1, &[OK]),
            again: frame(CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b']),
            is_malformed: true,
            told: "",
        },
    ]
}

/// An upstream whose first connection sends a flood, and which tells how many frames of it were taken.
async fn flooding(first: Vec<u8>, again: Vec<u8>) -> (Upstream, mpsc::UnboundedReceiver<usize>) {
    let (said, heard) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |number, stream| {
        let (said, first, again) = (said.clone(), first.clone(), again.clone());
        async move {
            let mut frames = Frames::begin(stream, 100).await;
            while let Some((stream, _)) = frames.next(HEADERS).await {
                if number > 0 {
                    frames.answer(stream).await;
                    continue;
                }
                let mut taken = 0;
                let _ = frames.0.write_all(&first).await;
                while taken < MOST_FRAMES && frames.0.write_all(&again).await.is_ok() {
                    taken += 1;
                }
                let _ = said.send(taken);
                return;
            }
        }
    })
    .await;
    (upstream, heard)
}

async fn taken(mut heard: mpsc::UnboundedReceiver<usize>) -> usize {
    tokio::time::timeout(Duration::from_secs(20), heard.recv()).await.expect("it goes on").unwrap()
}

/// A request to an upstream that behaves, on the connection that is open to it.
async fn check_neighbour(pool: &Rc<Pool>, neighbour: &Upstream) {
    let answer = pool.send(&h2c(neighbour), get("/"), &Timers::standard()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(text(answer).await.is_ok());
    assert_eq!(neighbour.connections(), 1);
}

async fn behaving() -> Upstream {
    Upstream::start(|_, stream| async move {
        let mut frames = Frames::begin(stream, 100).await;
        while let Some((stream, _)) = frames.next(HEADERS).await {
            frames.answer(stream).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_flood_ends_its_connection_and_no_other() {
    for flood in floods() {
        let neighbour = behaving().await;
        let (upstream, heard) = flooding(flood.first, flood.again).await;
        let pool = Pool::new(Arc::new(egress()));
        check_neighbour(&pool, &neighbour).await;
        let (target, timers) = (h2c(&upstream), Timers::standard());
        let sent = pool.send(&target, get("/"), &timers);
        let sent = tokio::time::timeout(Duration::from_secs(20), sent).await.expect(flood.name);
        let SendError { phase, written, timer, malformed, message } = sent.map(|_| ()).unwrap_err();
        assert_eq!((phase, written, timer), (Phase::Head, true, None), "{}: {message}", flood.name);
        assert_eq!(malformed, flood.is_malformed, "{}: {message}", flood.name);
        assert!(message.contains(flood.told), "{}: {message}", flood.name);
        let taken = taken(heard).await;
        println!("{}: {taken} frames, {message}", flood.name);
        assert!(taken < MOST_FRAMES, "{}", flood.name);
        check_neighbour(&pool, &neighbour).await;
        // The next request goes on a connection of its own.
        let next = pool.send(&h2c(&upstream), get("/"), &Timers::standard()).await.unwrap();
        assert_eq!((next.status(), upstream.connections()), (StatusCode::OK, 2), "{}", flood.name);
    }
}

#[tokio::test]
async fn a_flood_behind_the_head_breaks_the_answer_off() {
    let first = frame(HEADERS, END_HEADERS, 1, &[OK]);
    for (name, again) in [
        ("frames without content", frame(DATA, 0, 1, &[])),
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("window updates", frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())),
    ] {
        let (upstream, heard) = flooding(first.clone(), again).await;
        let pool = Pool::new(Arc::new(egress()));
        let answer = pool.send(&h2c(&upstream), get("/"), &Timers::standard()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
        let broken = tokio::time::timeout(Duration::from_secs(20), text(answer)).await.expect(name);
        assert!(broken.is_err(), "{name}");
        assert!(taken(heard).await < MOST_FRAMES, "{name}");
    }
}

#[tokio::test]
async fn streams_that_are_reset_as_fast_as_they_begin_cost_only_themselves() {
    let upstream = Upstream::start(|_, stream| async move {
        let mut frames = Frames::begin(stream, 100).await;
        let mut number = 0;
        while let Some((stream, _)) = frames.next(HEADERS).await {
            number += 1;
            match number % 10 {
                0 => frames.answer(stream).await,
                _ => frames.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await,
            }
        }
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    for number in 1..=2_000 {
        let answer = pool.send(&h2c(&upstream), get("/"), &Timers::standard()).await;
        match answer {
            Ok(answer) => assert_eq!((answer.status(), number % 10), (StatusCode::OK, 0)),
            Err(error) => assert!(error.written && !error.malformed && number % 10 > 0, "{error}"),
        }
    }
    assert_eq!(upstream.connections(), 1);
}

/// A head of far more bytes than are taken, as it is, and as few bytes that stand for many (HPACK).
#[tokio::test]
async fn a_head_that_is_too_long_ends_its_stream() {
    let field = |value: usize| {
        // A field that is remembered: a name of one byte, and a value whose length takes three.
        let rest = value - 127;
        let mut bytes = vec![0x40, 1, b'a', 0x7f, 0x80 | u8::try_from(rest & 0x7f).unwrap()];
        bytes.push(u8::try_from(rest >> 7).unwrap());
        bytes.resize(bytes.len() + value, b'x');
        bytes
    };
    let long: Vec<Vec<u8>> = (0..4).map(|_| field(12_000)).collect();
    let mut bomb = [vec![OK], field(3_900)].concat();
    bomb.resize(12_000, 0xbe);
    for (name, pieces) in [("long", long), ("a bomb", vec![bomb])] {
        let upstream = Upstream::start(move |_, stream| {
            let pieces = pieces.clone();
            async move {
                let mut frames = Frames::begin(stream, 100).await;
                let (first, _) = frames.next(HEADERS).await.unwrap();
                let end = |at| if at + 1 == pieces.len() { END_HEADERS } else { 0 };
                for (at, piece) in pieces.iter().enumerate() {
                    let kind = if at == 0 { HEADERS } else { CONTINUATION };
                    frames.send(kind, end(at), first, piece).await;
                }
                while let Some((stream, _)) = frames.next(HEADERS).await {
                    frames.answer(stream).await;
                }
            }
        })
        .await;
        let pool = Pool::new(Arc::new(egress()));
        let error = pool.send(&h2c(&upstream), get("/"), &Timers::standard()).await;
        let error = error.map(|_| ()).unwrap_err();
        assert!(error.malformed && error.written, "{name}: {error:?}");
    }
}

#[tokio::test]
async fn a_window_that_never_opens_ends_with_the_time_for_an_answer() {
    let upstream = Upstream::start(|_, stream| async move {
        let mut frames = Frames::begin(stream, 100).await;
        // SETTINGS_INITIAL_WINDOW_SIZE.
        frames.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await;
        while frames.next(DATA).await.is_some_and(|(_, payload)| payload.is_empty()) {}
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    // So that the settings are known before there is something to send.
    let timers = Timers { first_byte: Duration::from_millis(200), ..Timers::standard() };
    let silent = pool.send(&h2c(&upstream), get("/"), &timers).await.map(|_| ()).unwrap_err();
    assert_eq!((silent.timer, silent.written), (Some("first_byte"), true));
    let stalled = pool.send(&h2c(&upstream), post("/", "content"), &timers).await.map(|_| ()).unwrap_err();
    assert_eq!((stalled.timer, stalled.written, upstream.connections()), (Some("first_byte"), true, 1));
}
