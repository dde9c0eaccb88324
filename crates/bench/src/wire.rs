//! HTTP/1.1 as the tools need it: one connection, one request at a time, bodies by length or in chunks.
//!
//! Not a general client: it takes what the simulator, nginx and the gateway send, and calls anything
//! else an error, which voids the figure.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LARGEST_HEAD: usize = 32 * 1024;
const READ_SIZE: usize = 16 * 1024;

/// A connection with what was read but not yet used.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    used: usize,
}

/// The status line and what follows from the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Connection {
    /// Connects without delay for small writes.
    ///
    /// # Errors
    /// When nobody listens there.
    #[expect(clippy::disallowed_methods, reason = "the load generator is a caller, not part of the gateway")]
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        Self::of(stream)
    }

    /// Wraps an accepted connection.
    ///
    /// # Errors
    /// When the socket is gone already.
    pub fn of(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(READ_SIZE), used: 0 })
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Reads up to the end of the next head and returns it as text; `None` when the peer closed between
    /// messages.
    ///
    /// # Errors
    /// When the peer closes inside a head, or the head is too large or not text.
    pub async fn head_text(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(length) = memmem::find(self.unread(), b"\r\n\r\n") {
                let text = std::str::from_utf8(&self.unread()[..length])
                    .context("a head that is not text")?
                    .to_owned();
                self.consume(length + 4);
                return Ok(Some(text));
            }
            if self.unread().len() > LARGEST_HEAD {
                bail!("a head of more than {LARGEST_HEAD} bytes");
            }
            if self.fill().await? == 0 {
                if self.unread().is_empty() {
                    return Ok(None);
                }
                bail!("closed inside a head");
            }
        }
    }

    /// Reads the head of an answer.
    ///
    /// # Errors
    /// When the connection ends or the head is not one.
    pub async fn answer_head(&mut self) -> Result<Head> {
        let text = self.head_text().await?.context("closed before an answer")?;
        let status = text.get(9..12).and_then(|status| status.parse().ok()).context("no status line")?;
        let framing = if header(&text, "transfer-encoding").is_some() {
            Framing::Chunked
        } else if let Some(length) = header(&text, "content-length") {
            Framing::Length(length.parse().context("content-length is not a number")?)
        } else {
            Framing::UntilClose
        };
        Ok(Head { status, framing })
    }

    /// Reads the whole body into `body`, which is emptied first.
    ///
    /// # Errors
    /// When the body ends early or its framing is wrong.
    pub async fn body(&mut self, head: Head, body: &mut Vec<u8>) -> Result<()> {
        body.clear();
        match head.framing {
            Framing::Length(length) => self.take(length, |piece| body.extend_from_slice(piece)).await,
            Framing::Chunked => {
                while self.chunk(|piece| body.extend_from_slice(piece)).await? {}
                Ok(())
            }
            Framing::UntilClose => {
                while self.fill().await? > 0 {}
                body.extend_from_slice(self.unread());
                self.consume(self.unread().len());
                Ok(())
            }
        }
    }

    /// Reads one chunk of a chunked body and hands its pieces over; `false` after the last one.
    ///
    /// # Errors
    /// When the connection ends inside the body.
    pub async fn chunk(&mut self, piece: impl FnMut(&[u8])) -> Result<bool> {
        let line = loop {
            if let Some(length) = memmem::find(self.unread(), b"\r\n") {
                break length;
            }
            self.more().await?;
        };
        let size = std::str::from_utf8(&self.unread()[..line])?.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size.trim(), 16).context("a chunk without a size")?;
        self.consume(line + 2);
        self.take(size, piece).await?;
        let mut end = Vec::with_capacity(2);
        self.take(2, |bytes| end.extend_from_slice(bytes)).await?;
        if end != b"\r\n" {
            bail!("a chunk that does not end where it said");
        }
        Ok(size > 0)
    }

    /// Reads exactly `count` bytes.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn take(&mut self, mut count: usize, mut piece: impl FnMut(&[u8])) -> Result<()> {
        while count > 0 {
            if self.unread().is_empty() {
                self.more().await?;
            }
            let length = count.min(self.unread().len());
            piece(&self.unread()[..length]);
            self.consume(length);
            count -= length;
        }
        Ok(())
    }

    /// Waits until the peer closes; anything it still sends is an error.
    ///
    /// # Errors
    /// When bytes arrive.
    pub async fn closed(&mut self) -> Result<()> {
        match self.fill().await {
            Ok(0) | Err(_) => Ok(()),
            Ok(count) => bail!("{count} bytes that nobody expects"),
        }
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        }
    }

    async fn more(&mut self) -> Result<()> {
        if self.fill().await? == 0 {
            bail!("closed inside a body");
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<usize> {
        if self.used > 0 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        self.buffer.reserve(READ_SIZE);
        Ok(self.stream.read_buf(&mut self.buffer).await?)
    }
}

/// The value of a header in the text of a head; names are compared without case.
#[must_use]
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// One call on a connection of its own: status and body.
///
/// # Errors
/// When the call cannot be made or its answer is cut.
pub async fn call(address: SocketAddr, request: &[u8]) -> Result<(u16, Vec<u8>)> {
    let mut connection = Connection::open(address).await?;
    connection.send(request).await?;
    let head = connection.answer_head().await?;
    let mut body = Vec::new();
    connection.body(head, &mut body).await?;
    Ok((head.status, body))
}
