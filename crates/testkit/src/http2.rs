//! A model provider that speaks HTTP/2 without TLS, frame by frame: it can refuse a stream in every way that
//! HTTP/2 has, and end a connection with or without having worked on it.
//!
//! It takes one stream at a time, so that what it says of a connection is said of one request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::upstream::Received;

// Types of frames (RFC 9113, §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// A type that nobody has given a meaning.
const UNKNOWN: u8 = 0x42;
/// Flags: of SETTINGS and PING; of DATA and HEADERS; of HEADERS.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Codes of errors (RFC 9113, §7).
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
/// SETTINGS: how many streams are taken at one time.
const MAX_CONCURRENT_STREAMS: u16 = 3;
/// The longest frame that a peer may send unasked (RFC 9113, §4.2).
const LONGEST_FRAME: usize = 16_384;
const PREFACE: usize = 24;

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is answered with 200 and this JSON.
    Answer(String),
    /// GOAWAY that says that it was not worked on, then the end of the connection.
    GoAwayBefore,
    /// GOAWAY that says that it may have been worked on, then the end of the connection.
    GoAwayBehind,
    /// The stream is refused.
    RefuseStream,
    /// The stream breaks, and nobody says whether it was worked on.
    BreakStream,
    /// The connection ends without a word.
    Close,
    /// Frames that nobody asked for, until the other side has had enough.
    Flood(Flood),
}

/// What a connection is flooded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Pings.
    Pings,
    /// Settings that change nothing.
    Settings,
    /// Weights of streams, which HTTP/2 has given up.
    Priorities,
    /// Frames of no known type.
    Unknown,
    /// Room for one byte more, again and again.
    Windows,
    /// More room than there may be.
    Overflow,
    /// Heads that say that another will come.
    InterimHeads,
    /// One head that never ends.
    EndlessHead,
    /// A head, then frames of content without content.
    EmptyContent,
}

impl Flood {
    /// Every flood.
    pub const ALL: [Self; 9] = [
        Self::Pings,
        Self::Settings,
        Self::Priorities,
        Self::Unknown,
        Self::Windows,
        Self::Overflow,
        Self::InterimHeads,
        Self::EndlessHead,
        Self::EmptyContent,
    ];

    /// What comes first, and what then comes again and again, in answer to `stream`.
    fn frames(self, stream: u32) -> (Vec<u8>, Vec<u8>) {
        // `:status: 200`, and `:status: 103` by the name of entry 8 (RFC 7541, appendix A).
        let (ok, interim): (&[u8], &[u8]) = (&[0x88], &[0x08, 3, b'1', b'0', b'3']);
        match self {
            Self::Pings => (Vec::new(), frame((PING, 0, 0), &[0; 8])),
            Self::Settings => (Vec::new(), frame((SETTINGS, 0, 0), &[])),
            Self::Priorities => (Vec::new(), frame((PRIORITY, 0, stream), &[0, 0, 0, 0, 7])),
            Self::Unknown => (Vec::new(), frame((UNKNOWN, 0, 0), &[0; 16])),
            Self::Windows => (Vec::new(), frame((WINDOW_UPDATE, 0, 0), &1_u32.to_be_bytes())),
            Self::Overflow => (Vec::new(), frame((WINDOW_UPDATE, 0, 0), &0x7fff_ffff_u32.to_be_bytes())),
            Self::InterimHeads => (Vec::new(), frame((HEADERS, END_HEADERS, stream), interim)),
            Self::EndlessHead => {
                let field = [0, 1, b'a', 1, b'b'];
                (frame((HEADERS, 0, stream), ok), frame((CONTINUATION, 0, stream), &field))
            }
            Self::EmptyContent => (frame((HEADERS, END_HEADERS, stream), ok), frame((DATA, 0, stream), &[])),
        }
    }
}

type Handler = dyn Fn(&Received) -> Act + Send + Sync;

/// A running upstream; it stops when dropped.
pub struct Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Starts one that does with each request what `handler` says.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(handler: impl Fn(&Received) -> Act + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (connections, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let handler = Arc::new(handler);
        let (counted, over) = (Arc::clone(&connections), Arc::clone(&ended));
        let accepting = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (number, handler) = (counted.fetch_add(1, Ordering::SeqCst), Arc::clone(&handler));
                let over = Arc::clone(&over);
                serving.spawn(async move {
                    drop(serve(stream, number, &*handler).await);
                    over.fetch_add(1, Ordering::SeqCst);
                });
                while serving.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, connections, ended, accepting })
    }

    /// Its base URL, which has the gateway speak HTTP/2 at once.
    #[must_use]
    pub fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    /// How many connections were opened to it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many of them have ended.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// Serves one connection until either side ends it.
async fn serve(mut wire: TcpStream, connection: usize, handler: &Handler) -> Result<()> {
    wire.set_nodelay(true)?;
    wire.read_exact(&mut [0; PREFACE]).await?;
    let mut setting = MAX_CONCURRENT_STREAMS.to_be_bytes().to_vec();
    setting.extend(1_u32.to_be_bytes());
    send(&mut wire, (SETTINGS, 0, 0), &setting).await?;
    let mut body = Vec::new();
    loop {
        let frame = read(&mut wire).await?;
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => send(&mut wire, (SETTINGS, ACK, 0), &[]).await?,
            PING if frame.flags & ACK == 0 => send(&mut wire, (PING, ACK, 0), &frame.payload).await?,
            GOAWAY => return Ok(()),
            HEADERS => body.clear(),
            DATA if !frame.payload.is_empty() => {
                let taken = u32::try_from(frame.payload.len())?.to_be_bytes();
                send(&mut wire, (WINDOW_UPDATE, 0, 0), &taken).await?;
                body.extend_from_slice(&frame.payload);
            }
            _ => {}
        }
        if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
            let request = Received {
                connection,
                method: "POST".to_owned(),
                target: String::new(),
                headers: Vec::new(),
                body: Bytes::from(std::mem::take(&mut body)),
                at: Instant::now(),
            };
            if !act(&mut wire, frame.stream, handler(&request)).await? {
                return Ok(());
            }
        }
    }
}

/// Does it; whether the connection goes on.
async fn act(wire: &mut TcpStream, stream: u32, act: Act) -> Result<bool> {
    match act {
        Act::Answer(json) => {
            // `:status: 200` is entry 8 of the static table, `content-type` entry 31 (RFC 7541, appendix A).
            let kind = b"application/json";
            let mut block = vec![0x88, 0x0f, 0x10, u8::try_from(kind.len())?];
            block.extend_from_slice(kind);
            send(wire, (HEADERS, END_HEADERS, stream), &block).await?;
            send(wire, (DATA, END_STREAM, stream), json.as_bytes()).await?;
            return Ok(true);
        }
        Act::RefuseStream => send(wire, (RST_STREAM, 0, stream), &REFUSED_STREAM.to_be_bytes()).await?,
        Act::BreakStream => send(wire, (RST_STREAM, 0, stream), &INTERNAL_ERROR.to_be_bytes()).await?,
        // A caller's streams have odd numbers.
        Act::GoAwayBefore => go_away(wire, stream.saturating_sub(2)).await?,
        Act::GoAwayBehind => go_away(wire, stream).await?,
        Act::Flood(flood) => {
            let (first, again) = flood.frames(stream);
            wire.write_all(&first).await?;
            // The other side ends it; that is an error here.
            loop {
                wire.write_all(&again).await?;
            }
        }
        Act::Close => {}
    }
    Ok(matches!(act, Act::RefuseStream | Act::BreakStream))
}

/// Says up to which stream work may have been done, and closes.
async fn go_away(wire: &mut TcpStream, last: u32) -> Result<()> {
    let mut payload = last.to_be_bytes().to_vec();
    payload.extend(0_u32.to_be_bytes());
    send(wire, (GOAWAY, 0, 0), &payload).await?;
    wire.shutdown().await?;
    // What is not read when a connection is dropped resets it, and the peer may never see the frame.
    tokio::io::copy(wire, &mut tokio::io::sink()).await?;
    Ok(())
}

async fn send(wire: &mut TcpStream, head: (u8, u8, u32), payload: &[u8]) -> Result<()> {
    Ok(wire.write_all(&frame(head, payload)).await?)
}

/// A frame: type, flags and stream, then its payload, of less than 16 MiB.
fn frame((kind, flags, stream): (u8, u8, u32), payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

async fn read(wire: &mut TcpStream) -> Result<Frame> {
    let mut head = [0; 9];
    wire.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    anyhow::ensure!(length <= LONGEST_FRAME, "a frame of {length} bytes");
    let mut payload = vec![0; length];
    wire.read_exact(&mut payload).await.context("the frame ends early")?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Ok(Frame { kind: head[3], flags: head[4], stream, payload })
}
