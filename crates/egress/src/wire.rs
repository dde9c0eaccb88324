//! The byte stream under a connection: TCP, TLS over TCP, or a pipe inside this process.
//!
//! Passes bytes and keeps count of what was taken for sending, because that decides whether a
//! failed request may be sent again. It knows nothing of HTTP.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

/// An open stream, ready for HTTP.
pub(crate) enum Stream {
    Tcp(TcpStream),
    // Boxed: a TLS session is a kilobyte, and plain connections should not carry it.
    Tls(Box<TlsStream<TcpStream>>),
    InProcess(DuplexStream),
}

/// A stream that counts what it takes for sending.
pub(crate) struct Wire {
    stream: Stream,
    sent: u64,
    stalled_since: Option<Instant>,
}

impl Wire {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, sent: 0, stalled_since: None }
    }

    /// Bytes taken for sending since the connection was opened. Over TLS they may still be in the
    /// session's buffer: "may have been sent" is what matters.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Since when the other side has taken nothing although there is something to send.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since
    }

    /// Ready when something has arrived, which then is lost, or when the connection has ended.
    pub(crate) fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut one = [0];
        Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut one)).map(|_| ())
    }

    fn note<T>(&mut self, result: &Poll<io::Result<T>>, bytes: impl FnOnce(&T) -> u64) {
        match result {
            Poll::Ready(Ok(taken)) => {
                self.sent += bytes(taken);
                self.stalled_since = None;
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending if self.stalled_since.is_none() => self.stalled_since = Some(Instant::now()),
            Poll::Pending => {}
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&result, |taken| *taken as u64);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(&result, |taken| *taken as u64);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(&result, |()| 0);
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Calls one method on whichever stream it is.
macro_rules! on_stream {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Tcp(tcp) => {
                let $inner = Pin::new(tcp);
                $call
            }
            Stream::Tls(tls) => {
                let $inner = Pin::new(tls.as_mut());
                $call
            }
            Stream::InProcess(pipe) => {
                let $inner = Pin::new(pipe);
                $call
            }
        }
    };
}

impl Stream {
    /// Whether the other side has chosen HTTP/2 in the handshake.
    pub(crate) fn has_negotiated_http2(&self) -> bool {
        match self {
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
            Self::Tcp(_) | Self::InProcess(_) => false,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_stream!(&mut *self, inner => inner.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_stream!(&mut *self, inner => inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_stream!(&mut *self, inner => inner.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(inner) => inner.is_write_vectored(),
            Self::Tls(inner) => inner.is_write_vectored(),
            Self::InProcess(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(&mut *self, inner => inner.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(&mut *self, inner => inner.poll_shutdown(cx))
    }
}
