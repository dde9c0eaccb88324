//! Unpacks an answer that its server encoded although nobody asked for it, as it arrives.
//!
//! It gives what is there after each piece, so that a stream keeps its pace; it gives little at a time, so
//! that a bomb is refused long before it is unpacked; and an encoded answer that stops before its end is an
//! error. It reads no header and knows no body.

use std::io::{self, Write};

use bytes::{Buf, Bytes};
use flate2::write::{MultiGzDecoder, ZlibDecoder};

/// Bytes that one call gives at most, about.
const PIECE: usize = 64 << 10;
/// Bytes up to which nobody asks how well they were packed: small texts that repeat themselves pack very well.
const SMALL: u64 = 1 << 20;

/// How an answer is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip` (RFC 1952), of one or several members.
    Gzip,
    /// `deflate`: the zlib format (RFC 1950).
    Deflate,
}

impl Coding {
    /// The coding that a `Content-Encoding` names, when it is one that can be unpacked.
    #[must_use]
    pub fn of_name(name: &[u8]) -> Option<Self> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"gzip") || is(b"x-gzip") {
            return Some(Self::Gzip);
        }
        is(b"deflate").then_some(Self::Deflate)
    }
}

/// How much may become of an encoded answer.
#[derive(Clone, Copy, Debug)]
pub struct DecodedSize {
    /// Unpacked bytes at most.
    pub bytes: u64,
    /// Unpacked bytes for each encoded one at most, judged beyond 1 MiB.
    pub ratio: u64,
}

/// An answer that is being unpacked.
pub(crate) struct Decoder {
    unpacking: Unpacking,
    waiting: Bytes,
    read: u64,
    given: u64,
    most: DecodedSize,
}

enum Unpacking {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Deflate(ZlibDecoder<Vec<u8>>),
}

impl Decoder {
    pub fn new(coding: Coding, most: DecodedSize) -> Self {
        let unpacking = match coding {
            Coding::Gzip => Unpacking::Gzip(MultiGzDecoder::new(Vec::new())),
            Coding::Deflate => Unpacking::Deflate(ZlibDecoder::new(Vec::new())),
        };
        Self { unpacking, waiting: Bytes::new(), read: 0, given: 0, most }
    }

    /// Takes the next encoded bytes; all before them must have been unpacked.
    pub fn feed(&mut self, data: Bytes) {
        debug_assert!(self.waiting.is_empty(), "nothing may be lost");
        self.waiting = data;
    }

    /// Some of what can be unpacked of the bytes that are here; nothing when they are used up.
    ///
    /// # Errors
    /// The bytes are not in the encoding, or more becomes of them than may.
    pub fn next(&mut self) -> Result<Option<Bytes>, String> {
        if self.waiting.is_empty() {
            return Ok(None);
        }
        while !self.waiting.is_empty() && self.unpacking.unpacked().len() < PIECE {
            let used = self.unpacking.write(&self.waiting).map_err(|error| broken(&error))?;
            if used == 0 {
                return Err("the encoded answer goes on behind its end".to_owned());
            }
            self.read += used as u64;
            self.waiting.advance(used);
        }
        if self.waiting.is_empty() {
            self.unpacking.flush().map_err(|error| broken(&error))?;
        }
        self.take()
    }

    /// The rest, once the server has sent all.
    ///
    /// # Errors
    /// As [`Decoder::next`], or the encoded answer stopped before its end.
    pub fn finish(&mut self) -> Result<Option<Bytes>, String> {
        // No answer at all is not encoded.
        if self.read == 0 {
            return Ok(None);
        }
        self.unpacking.finish().map_err(|error| broken(&error))?;
        self.take()
    }

    fn take(&mut self) -> Result<Option<Bytes>, String> {
        let unpacked = std::mem::take(self.unpacking.unpacked());
        self.given += unpacked.len() as u64;
        let packed_too_well = self.given > SMALL && self.given / self.most.ratio > self.read;
        if self.given > self.most.bytes || packed_too_well {
            let (given, read) = (self.given, self.read);
            return Err(format!("the encoded answer is too large unpacked: {given} bytes of {read}"));
        }
        Ok((!unpacked.is_empty()).then(|| unpacked.into()))
    }
}

impl Unpacking {
    fn unpacked(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(unpacking) => unpacking.get_mut(),
            Self::Deflate(unpacking) => unpacking.get_mut(),
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(unpacking) => unpacking.write(data),
            Self::Deflate(unpacking) => unpacking.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(unpacking) => unpacking.flush(),
            Self::Deflate(unpacking) => unpacking.flush(),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(unpacking) => unpacking.try_finish(),
            Self::Deflate(unpacking) => unpacking.try_finish(),
        }
    }
}

fn broken(error: &io::Error) -> String {
    format!("the answer cannot be decoded: {error}")
}
