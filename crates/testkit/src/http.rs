//! A raw HTTP/1.1 caller: sends exactly the bytes it is given and reports exactly what came back, in
//! which pieces, when, and whether the answer was whole.
//!
//! It must not be lenient: an answer that ends before its framing says so is `Ended::Truncated`.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout};

pub use crate::request::Request;
use crate::wait::PATIENCE;

/// The longest answer head that is read.
const HEAD_LIMIT: usize = 256 * 1024;

/// Room for one read: small enough for thousands of connections, larger than any frame that is timed.
const READ_SIZE: usize = 8 * 1024;

/// Status line and headers.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }
}

/// How an answer's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Where its framing said.
    Clean,
    /// Before that: the caller can see that something is missing.
    Truncated,
}

/// Bytes of a body and when they arrived.
#[derive(Clone, Debug)]
pub struct Piece {
    /// When.
    pub at: Instant,
    /// What, without chunk framing.
    pub bytes: Bytes,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status and headers.
    pub head: Head,
    /// The body.
    pub body: Bytes,
    /// The body as it arrived.
    pub pieces: Vec<Piece>,
    /// How it ended.
    pub ended: Ended,
}

impl Answer {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The gateway's code for a refusal or failure.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.header("x-yumen-code")
    }

    /// The gateway's id of the request.
    ///
    /// # Errors
    /// When the answer has none.
    pub fn request_id(&self) -> Result<&str> {
        self.header("x-request-id").context("the answer has no x-request-id")
    }
}

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    /// Bytes left of the chunk at hand.
    Chunked(u64),
    UntilClose,
    Done(Ended),
}

/// An answer whose head has been read and whose body is still arriving.
#[derive(Debug)]
pub struct Arriving {
    /// Status and headers.
    pub head: Head,
    framing: Framing,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    buffer: BytesMut,
    patience: Duration,
    no_body: bool,
}

impl Connection {
    /// Connects to `address` (`127.0.0.1:port`).
    ///
    /// # Errors
    /// When nobody listens there.
    #[expect(
        clippy::disallowed_methods,
        reason = "the test kit plays the caller, who connects to the gateway"
    )]
    pub async fn open(address: &str) -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader, writer, buffer: BytesMut::new(), patience: PATIENCE, no_body: false })
    }

    /// Waits at most `patience` for each piece instead of the standard time.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sends a request and reads its answer whole.
    ///
    /// # Errors
    /// When no answer came. Failing to send the rest of a body that was refused is no error.
    pub async fn call(&mut self, request: &Request) -> Result<Answer> {
        let bytes = request.to_bytes();
        self.no_body = request.method() == "HEAD";
        let Self { reader, writer, buffer, patience, no_body } = self;
        let mut input = Input { reader, buffer, patience: *patience };
        let (_, answer) = tokio::join!(writer.write_all(&bytes), input.answer(*no_body));
        answer
    }

    /// Sends a request; its answer is read with [`Self::arriving`].
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn send(&mut self, request: &Request) -> Result<()> {
        self.no_body = request.method() == "HEAD";
        self.send_raw(&request.to_bytes()).await
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(timeout(self.patience, self.writer.write_all(bytes)).await??)
    }

    /// Reads an answer's head.
    ///
    /// # Errors
    /// When the connection ends first or what comes is not HTTP/1.1.
    pub async fn arriving(&mut self) -> Result<Arriving> {
        let no_body = self.no_body;
        self.input().arriving(no_body).await
    }

    /// Reads the next piece of a body; `None` at its end.
    ///
    /// # Errors
    /// When nothing comes in time or the chunk framing is wrong.
    pub async fn piece(&mut self, arriving: &mut Arriving) -> Result<Option<Piece>> {
        self.input().piece(&mut arriving.framing).await
    }

    /// Reads the rest of a body whose head has been read.
    ///
    /// # Errors
    /// When nothing comes in time or the chunk framing is wrong.
    pub async fn rest(&mut self, arriving: Arriving) -> Result<Answer> {
        self.input().rest(arriving).await
    }

    /// Whether the other side has closed the connection, waiting up to `limit` for it.
    pub async fn closed_within(&mut self, limit: Duration) -> bool {
        let drained = async {
            let mut bytes = [0_u8; 4096];
            while matches!(self.reader.read(&mut bytes).await, Ok(n) if n > 0) {}
        };
        timeout(limit, drained).await.is_ok()
    }

    fn input(&mut self) -> Input<'_> {
        Input { reader: &mut self.reader, buffer: &mut self.buffer, patience: self.patience }
    }
}

/// Sends one request on a connection of its own.
///
/// # Errors
/// When no answer came.
pub async fn call(address: &str, request: &Request) -> Result<Answer> {
    Connection::open(address).await?.call(request).await
}

struct Input<'a> {
    reader: &'a mut OwnedReadHalf,
    buffer: &'a mut BytesMut,
    patience: Duration,
}

impl Input<'_> {
    async fn answer(&mut self, no_body: bool) -> Result<Answer> {
        let arriving = self.arriving(no_body).await?;
        self.rest(arriving).await
    }

    async fn rest(&mut self, mut arriving: Arriving) -> Result<Answer> {
        let mut pieces = Vec::new();
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece(&mut arriving.framing).await? {
            body.extend_from_slice(&piece.bytes);
            pieces.push(piece);
        }
        let ended = match arriving.framing {
            Framing::Done(ended) => ended,
            _ => Ended::Truncated,
        };
        Ok(Answer { head: arriving.head, body: body.freeze(), pieces, ended })
    }

    async fn arriving(&mut self, no_body: bool) -> Result<Arriving> {
        loop {
            let head = self.head().await?;
            if (100..200).contains(&head.status) {
                continue;
            }
            let framing = framing(&head, no_body)?;
            return Ok(Arriving { head, framing });
        }
    }

    async fn head(&mut self) -> Result<Head> {
        loop {
            if let Some(end) = find(self.buffer, b"\r\n\r\n") {
                let bytes = self.buffer.split_to(end + 4);
                return head(&bytes[..end]);
            }
            ensure!(self.buffer.len() < HEAD_LIMIT, "the answer's head is too long");
            ensure!(self.more().await?, "the connection ended before an answer");
        }
    }

    async fn piece(&mut self, framing: &mut Framing) -> Result<Option<Piece>> {
        loop {
            match *framing {
                Framing::Done(_) => return Ok(None),
                Framing::Length(0) => *framing = Framing::Done(Ended::Clean),
                Framing::Chunked(0) => *framing = self.next_chunk().await?,
                Framing::Length(left) | Framing::Chunked(left) => {
                    if !self.buffer.is_empty() {
                        let bytes = self.take(left);
                        *framing = framing.less(bytes.len() as u64);
                        return Ok(Some(self.now(bytes)));
                    }
                    if !self.more().await? {
                        *framing = Framing::Done(Ended::Truncated);
                    }
                }
                Framing::UntilClose => {
                    if !self.buffer.is_empty() {
                        let bytes = self.take(u64::MAX);
                        return Ok(Some(self.now(bytes)));
                    }
                    if !self.more().await? {
                        *framing = Framing::Done(Ended::Clean);
                    }
                }
            }
        }
    }

    /// Reads a chunk's size line, with the line end of the chunk before it.
    async fn next_chunk(&mut self) -> Result<Framing> {
        loop {
            let skip = if self.buffer.starts_with(b"\r\n") { 2 } else { 0 };
            let line = find(&self.buffer[skip..], b"\r\n").map(|end| skip + end);
            if let Some(end) = line {
                let text = String::from_utf8_lossy(&self.buffer[skip..end]).into_owned();
                let digits = text.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(digits, 16).with_context(|| format!("chunk size {text:?}"))?;
                if size > 0 {
                    self.buffer.advance(end + 2);
                    return Ok(Framing::Chunked(size));
                }
                if let Some(trailer) = find(&self.buffer[end..], b"\r\n\r\n") {
                    self.buffer.advance(end + trailer + 4);
                    return Ok(Framing::Done(Ended::Clean));
                }
            }
            if !self.more().await? {
                return Ok(Framing::Done(Ended::Truncated));
            }
        }
    }

    fn take(&mut self, at_most: u64) -> Bytes {
        let length = usize::try_from(at_most).unwrap_or(usize::MAX).min(self.buffer.len());
        self.buffer.split_to(length).freeze()
    }

    fn now(&self, bytes: Bytes) -> Piece {
        Piece { at: Instant::now(), bytes }
    }

    /// Reads more bytes; `false` at the end of the connection, which a reset is too.
    async fn more(&mut self) -> Result<bool> {
        self.buffer.reserve(READ_SIZE);
        match timeout(self.patience, self.reader.read_buf(self.buffer)).await {
            Err(_) => bail!("nothing came for {:?}", self.patience),
            Ok(Ok(count)) => Ok(count > 0),
            Ok(Err(_)) => Ok(false),
        }
    }
}

impl Framing {
    fn less(self, count: u64) -> Self {
        match self {
            Self::Length(left) => Self::Length(left - count),
            Self::Chunked(left) => Self::Chunked(left - count),
            other => other,
        }
    }
}

fn head(bytes: &[u8]) -> Result<Head> {
    let text = std::str::from_utf8(bytes).context("the head is not text")?;
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .with_context(|| format!("not a status line: {status_line:?}"))?;
    let headers = lines
        .map(|line| line.split_once(':').with_context(|| format!("not a header: {line:?}")))
        .map(|pair| pair.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())))
        .collect::<Result<_>>()?;
    Ok(Head { status, headers })
}

fn framing(head: &Head, no_body: bool) -> Result<Framing> {
    if no_body || head.status == 204 || head.status == 304 {
        return Ok(Framing::Done(Ended::Clean));
    }
    let chunked = head.header("transfer-encoding").is_some_and(|value| value.contains("chunked"));
    match head.header("content-length") {
        Some(_) if chunked => bail!("the answer has both content-length and transfer-encoding"),
        Some(length) => Ok(Framing::Length(length.parse()?)),
        None if chunked => Ok(Framing::Chunked(0)),
        None => Ok(Framing::UntilClose),
    }
}

/// Where `needle` first stands in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
