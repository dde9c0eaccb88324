//! Counts the frames of HTTP/2 that an upstream sends without being asked, and ends the connection when it
//! sends too many: pings, settings, resets, updates of windows, heads that are no answer, frames without
//! content. Each costs it little and us a step, an answer, or (heads of interim answers) memory that is only
//! freed with their stream (reliability.md T42).
//!
//! It sees heads of frames as they pass, and nothing of what is in them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::wire::Stream;

/// Frames that may come unasked at one time; no server has been seen to send more than a few dozen.
const AT_ONCE: u32 = 1_000;
/// Frames that may come unasked in a second, behind those: a ping for every answer of a busy connection.
const PER_SECOND: u64 = 100;
/// Frames that a request entitles to: its head, a few interim ones, trailers, a reset, windows.
const PER_REQUEST: u32 = 16;
/// Frames that each frame of a request's content entitles to: updates of two windows, twice.
const PER_CONTENT: u32 = 4;
/// More is not saved up.
const MOST: u32 = 10_000;

/// What a client sends before its first frame (RFC 9113, §3.4).
const PREFACE: usize = 24;
/// The head of a frame (RFC 9113, §4.1).
const HEAD: usize = 9;
/// Types of frames, and a flag of DATA (RFC 9113, §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// A connection's bytes, watched.
pub(crate) struct Watched {
    stream: Stream,
    received: Frames,
    sent: Frames,
    /// Frames that may still come.
    left: u32,
    /// Since when none were given for time that passed.
    since: Instant,
}

impl Watched {
    /// Watches `stream` from its first byte on.
    pub(crate) fn new(stream: Stream) -> Self {
        let sent = Frames { skip: PREFACE, ..Frames::default() };
        Self { stream, received: Frames::default(), sent, left: AT_ONCE, since: Instant::now() }
    }

    /// Counts what has come.
    fn came(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut unasked = 0_u32;
        self.received.read(bytes, |frame| {
            let has_content = frame.length > 0 || frame.flags & END_STREAM != 0;
            unasked += u32::from(frame.kind != DATA || !has_content);
        });
        if unasked > self.left {
            let earned = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            let earned = earned.saturating_mul(PER_SECOND) / 1_000;
            self.since = Instant::now();
            self.grant(u32::try_from(earned).unwrap_or(MOST));
        }
        self.left = self.left.checked_sub(unasked).ok_or_else(|| {
            io::Error::other("the upstream floods the connection with frames that nobody asked for")
        })?;
        Ok(())
    }

    /// Counts what was sent.
    fn went(&mut self, bytes: &[u8]) {
        let mut granted = 0;
        self.sent.read(bytes, |frame| {
            granted += match frame.kind {
                HEADERS => PER_REQUEST,
                DATA => PER_CONTENT,
                _ => 0,
            };
        });
        self.grant(granted);
    }

    fn grant(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(MOST);
    }
}

/// The head of a frame.
struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
}

/// Finds frames in bytes, wherever those are cut.
#[derive(Default)]
struct Frames {
    head: [u8; HEAD],
    known: usize,
    /// Bytes of a payload that are still to come.
    skip: usize,
}

impl Frames {
    fn read(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD - self.known).min(bytes.len());
            self.head[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
            self.known += taken;
            bytes = &bytes[taken..];
            if self.known == HEAD {
                let [a, b, c, kind, flags, ..] = self.head;
                let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                (self.known, self.skip) = (0, length);
                each(Frame { length, kind, flags });
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        Poll::Ready(self.came(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.went(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        let mut left = taken;
        for slice in slices {
            let part = left.min(slice.len());
            self.went(&slice[..part]);
            left -= part;
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![0, 0, u8::try_from(payload).unwrap(), kind, flags, 0, 0, 0, 1];
        bytes.resize(HEAD + payload, b'x');
        bytes
    }

    #[test]
    fn frames_are_found_wherever_their_bytes_are_cut() {
        let bytes = [frame(DATA, 0, 3), frame(HEADERS, 4, 0), frame(6, 0, 8), frame(DATA, 1, 0)].concat();
        for size in 1..=bytes.len() {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            let mut each = |frame: Frame| found.push((frame.kind, frame.flags, frame.length));
            bytes.chunks(size).for_each(|piece| frames.read(piece, &mut each));
            assert_eq!(found, [(DATA, 0, 3), (HEADERS, 4, 0), (6, 0, 8), (DATA, 1, 0)], "{size}");
        }
    }

    fn watched() -> Watched {
        Watched::new(Stream::InProcess(tokio::io::duplex(1).0))
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_is_never_too_much() {
        let mut watched = watched();
        watched.went(&[b'p'; PREFACE]);
        for _ in 0..100_000 {
            watched.went(&[frame(HEADERS, 4, 9), frame(DATA, 1, 9)].concat());
            let answer = [frame(HEADERS, 4, 9), frame(DATA, 0, 9), frame(DATA, 0, 9), frame(HEADERS, 5, 9)];
            watched.came(&answer.concat()).unwrap();
        }
        for _ in 0..100_000 {
            watched.came(&frame(DATA, 0, 1)).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asked_for_is_too_much_at_some_time() {
        for (kind, flags) in (0..=255).filter(|kind| *kind != DATA).map(|kind| (kind, 0)).chain([(DATA, 0)]) {
            let mut watched = watched();
            let came = (0..).take_while(|_| watched.came(&frame(kind, flags, 0)).is_ok()).count();
            assert_eq!(came, AT_ONCE as usize, "{kind}");
            tokio::time::advance(std::time::Duration::from_secs(2)).await;
            let came = (0..).take_while(|_| watched.came(&frame(kind, flags, 0)).is_ok()).count();
            assert_eq!(came, 200, "{kind}");
        }
    }
}
