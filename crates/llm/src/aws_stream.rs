//! `application/vnd.amazon.eventstream`, the binary frames in which Bedrock streams: read wherever they
//! were cut, and written for those who play Bedrock.
//!
//! Checks both checksums of every frame and believes no length before that.

use crc::{CRC_32_ISO_HDLC, Crc, Table};

/// Longest frame that is read; that of a model's answer has a few hundred bytes.
const FRAME_LIMIT: usize = 1 << 20;
/// Two lengths and their checksum.
const PRELUDE: usize = 12;
/// The checksum at the end.
const TRAILER: usize = 4;
/// The type of a header's value that is text.
const TEXT: u8 = 7;

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// One frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the frame is: `event`, `exception` or `error`.
    pub message: &'a str,
    /// What event (`contentBlockDelta`) or exception (`throttlingException`) it is.
    pub kind: &'a str,
    /// What is said, JSON as a rule. Of an error it is the message.
    pub payload: &'a str,
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length that no frame can have.
    #[error("a frame states an impossible length")]
    Length,
    /// A checksum that does not fit.
    #[error("a frame's checksum is wrong")]
    Checksum,
    /// Headers that cannot be read, or a payload that is no text.
    #[error("a frame cannot be read")]
    Content,
}

/// Puts frames together from pieces.
#[derive(Clone, Debug, Default)]
pub struct FrameReader {
    held: Vec<u8>,
}

impl FrameReader {
    /// Reads the next piece and hands on every frame that it completes.
    ///
    /// # Errors
    /// `FrameError`; nothing can be read after that.
    pub fn push(&mut self, piece: &[u8], mut each: impl FnMut(Frame<'_>)) -> Result<(), FrameError> {
        let held = &mut self.held;
        if !held.is_empty() {
            held.extend_from_slice(piece);
        }
        let bytes = if held.is_empty() { piece } else { held.as_slice() };
        let mut at = 0;
        while let Some(length) = frame_length(&bytes[at..])? {
            each(read(&bytes[at..at + length])?);
            at += length;
        }
        if held.is_empty() {
            held.extend_from_slice(&piece[at..]);
        } else {
            held.drain(..at);
        }
        Ok(())
    }

    /// Whether the last frame is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.held.is_empty()
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

/// The length of the frame with which `bytes` begin; `None` while it is not whole.
fn frame_length(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let (Some(total), Some(headers), Some(sum)) = (number(bytes, 0), number(bytes, 4), number(bytes, 8))
    else {
        return Ok(None);
    };
    if CRC.checksum(&bytes[..8]) != sum {
        return Err(FrameError::Checksum);
    }
    let total = usize::try_from(total).map_err(|_| FrameError::Length)?;
    let headers = usize::try_from(headers).map_err(|_| FrameError::Length)?;
    if !(PRELUDE + TRAILER..=FRAME_LIMIT).contains(&total) || headers > total - PRELUDE - TRAILER {
        return Err(FrameError::Length);
    }
    Ok((bytes.len() >= total).then_some(total))
}

/// Reads one whole frame, whose lengths are sound.
fn read(frame: &[u8]) -> Result<Frame<'_>, FrameError> {
    let end = frame.len() - TRAILER;
    if number(frame, end) != Some(CRC.checksum(&frame[..end])) {
        return Err(FrameError::Checksum);
    }
    let headers =
        number(frame, 4).and_then(|length| usize::try_from(length).ok()).ok_or(FrameError::Length)?;
    let (headers, payload) = frame[PRELUDE..end].split_at(headers);
    let payload = std::str::from_utf8(payload).map_err(|_| FrameError::Content)?;
    let mut read = Frame { payload, ..Frame::default() };
    let mut rest = headers;
    while !rest.is_empty() {
        rest = read_header(rest, &mut read).ok_or(FrameError::Content)?;
    }
    Ok(read)
}

/// Reads the header with which `bytes` begin; returns what follows it.
fn read_header<'a>(bytes: &'a [u8], frame: &mut Frame<'a>) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let fixed = match kind {
        0 | 1 => Some(0),
        2 => Some(1),
        3 => Some(2),
        4 => Some(4),
        5 | 8 => Some(8),
        9 => Some(16),
        6 | 7 => None,
        _ => return None,
    };
    if let Some(fixed) = fixed {
        return rest.split_at_checked(fixed).map(|(_, rest)| rest);
    }
    let (length, rest) = rest.split_at_checked(2)?;
    let length = u16::from_be_bytes(length.try_into().ok()?);
    let (value, rest) = rest.split_at_checked(usize::from(length))?;
    if *kind == TEXT {
        let value = std::str::from_utf8(value).ok()?;
        match name {
            b":message-type" => frame.message = value,
            b":event-type" | b":exception-type" | b":error-code" => frame.kind = value,
            b":error-message" => frame.payload = value,
            _ => {}
        }
    }
    Some(rest)
}

/// Writes one frame: an event, or an exception where the kind is one.
pub fn write_frame(kind: &str, payload: &str, out: &mut Vec<u8>) {
    let mut headers = Vec::with_capacity(96);
    if kind.ends_with("Exception") {
        write_header(":exception-type", kind, &mut headers);
        write_header(":content-type", "application/json", &mut headers);
        write_header(":message-type", "exception", &mut headers);
    } else {
        write_header(":event-type", kind, &mut headers);
        write_header(":content-type", "application/json", &mut headers);
        write_header(":message-type", "event", &mut headers);
    }
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    let start = out.len();
    out.extend(length(PRELUDE + headers.len() + payload.len() + TRAILER));
    out.extend(length(headers.len()));
    out.extend(CRC.checksum(&out[start..]).to_be_bytes());
    out.extend(headers);
    out.extend_from_slice(payload.as_bytes());
    out.extend(CRC.checksum(&out[start..]).to_be_bytes());
}

fn write_header(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name.as_bytes());
    out.push(TEXT);
    out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as AWS publishes one among its test vectors: no headers, the payload `{'foo':'bar'}`.
    const PUBLISHED: [u8; 29] = [
        0, 0, 0, 0x1d, 0, 0, 0, 0, 0xfd, 0x52, 0x8c, 0x5a, b'{', b'\'', b'f', b'o', b'o', b'\'', b':', b'\'',
        b'b', b'a', b'r', b'\'', b'}', 0xc3, 0x65, 0x39, 0x36,
    ];

    fn all(pieces: &[&[u8]]) -> Result<Vec<(String, String)>, FrameError> {
        let mut reader = FrameReader::default();
        let mut seen = Vec::new();
        for piece in pieces {
            reader.push(piece, |frame| seen.push((frame.kind.to_owned(), frame.payload.to_owned())))?;
        }
        assert!(reader.is_whole());
        Ok(seen)
    }

    fn three() -> Vec<u8> {
        let mut bytes = Vec::new();
        write_frame("messageStart", r#"{"role":"assistant"}"#, &mut bytes);
        write_frame("contentBlockDelta", r#"{"delta":{"text":"ü"}}"#, &mut bytes);
        write_frame("throttlingException", r#"{"message":"slow"}"#, &mut bytes);
        bytes
    }

    #[test]
    fn reads_a_published_frame() {
        assert_eq!(all(&[&PUBLISHED]), Ok(vec![(String::new(), "{'foo':'bar'}".to_owned())]));
    }

    #[test]
    fn reads_the_same_however_the_stream_is_cut() {
        let bytes = three();
        let whole = all(&[&bytes]).unwrap();
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[2], ("throttlingException".to_owned(), r#"{"message":"slow"}"#.to_owned()));
        for cut in 0..=bytes.len() {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(all(&[a, b]).unwrap(), whole, "{cut}");
        }
        for size in 1..=16 {
            assert_eq!(all(&bytes.chunks(size).collect::<Vec<_>>()).unwrap(), whole, "{size}");
        }
    }

    #[test]
    fn refuses_every_changed_byte() {
        let mut bytes = Vec::new();
        write_frame("messageStop", r#"{"stopReason":"end_turn"}"#, &mut bytes);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut broken = bytes.clone();
                broken[at] ^= 1 << bit;
                assert!(all(&[&broken]).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn believes_no_impossible_length() {
        for (total, headers) in [(15_u32, 0_u32), (0, 0), (u32::MAX, 0), (40, 25), (2 << 20, 8)] {
            let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
            bytes.extend(CRC.checksum(&bytes).to_be_bytes());
            assert_eq!(all(&[&bytes]), Err(FrameError::Length), "{total}, {headers}");
        }
    }

    #[test]
    fn skips_headers_of_every_type() {
        let mut headers = Vec::new();
        for (kind, value) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)] {
            headers.extend([1, b'x', kind]);
            headers.extend(std::iter::repeat_n(7, value));
        }
        headers.extend([1, b'x', 6, 0, 2, 0xff, 0xff]);
        write_header(":event-type", "metadata", &mut headers);
        let mut frame = Frame::default();
        let mut rest = headers.as_slice();
        while !rest.is_empty() {
            rest = read_header(rest, &mut frame).unwrap();
        }
        assert_eq!(frame.kind, "metadata");
        assert_eq!(read_header(&[1, b'x', 10], &mut frame), None);
        assert_eq!(read_header(&[1, b'x', 7, 0, 9, b'y'], &mut frame), None);
    }
}
