//! The chunked transfer coding (RFC 9112 §7.1).

/// Bytes of chunk extensions and trailers that are skipped in one body: nobody needs more.
const MAX_SKIPPED: u32 = 16 * 1024;

/// What is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// The first digit of a size.
    Size,
    /// A further digit, or what follows the size.
    Digits,
    /// The rest of a size's line.
    Extension,
    /// The line feed behind a size.
    SizeEnd,
    /// Content.
    Data,
    /// The two bytes behind content.
    DataReturn,
    DataEnd,
    /// The first byte of a trailer or of the empty line that ends the body.
    Trailer,
    /// The rest of a trailer's name.
    TrailerName,
    /// The rest of a trailer's line.
    TrailerText,
    /// The line feed behind a trailer.
    TrailerEnd,
    /// The line feed of the empty line.
    LastEnd,
    /// Nothing.
    Nothing,
}

/// Reads a chunked body, however it is cut. Extensions and trailers are skipped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunked {
    expect: Expect,
    /// Bytes of content that the chunk in progress still has.
    left: u64,
    skipped: u32,
}

impl Chunked {
    pub fn new() -> Self {
        Self { expect: Expect::Size, left: 0, skipped: 0 }
    }

    pub fn is_done(&self) -> bool {
        self.expect == Expect::Nothing
    }

    /// Appends the content in `input` to `content`; how many bytes of `input` belong to the body.
    ///
    /// # Errors
    /// What about the coding is wrong.
    pub fn decode(&mut self, input: &[u8], content: &mut Vec<u8>) -> Result<usize, &'static str> {
        let mut at = 0;
        while at < input.len() && !self.is_done() {
            if self.expect == Expect::Data {
                let most = usize::try_from(self.left).unwrap_or(usize::MAX);
                let taken = most.min(input.len() - at);
                content.extend_from_slice(&input[at..at + taken]);
                at += taken;
                self.left -= taken as u64;
                if self.left == 0 {
                    self.expect = Expect::DataReturn;
                }
                continue;
            }
            self.expect = self.step(input[at])?;
            at += 1;
        }
        Ok(at)
    }

    /// What is expected after `byte`, which is no content.
    fn step(&mut self, byte: u8) -> Result<Expect, &'static str> {
        match (self.expect, byte) {
            (Expect::Size | Expect::Digits, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte),
            (Expect::Size, _) => Err("a chunk has no size"),
            (Expect::Digits, b'\r') | (Expect::Extension, b'\r') => Ok(Expect::SizeEnd),
            (Expect::Digits, b';' | b' ' | b'\t') => Ok(Expect::Extension),
            (Expect::Digits, _) => Err("the size of a chunk is no number"),
            // A bare line feed could be the end of the line to one reader and not to another.
            (Expect::Extension, b'\n') => Err("a line of the coding ends wrongly"),
            (Expect::Extension, _) => self.skip(Expect::Extension),
            (Expect::SizeEnd, b'\n') if self.left == 0 => Ok(Expect::Trailer),
            (Expect::SizeEnd, b'\n') => Ok(Expect::Data),
            (Expect::DataReturn, b'\r') => Ok(Expect::DataEnd),
            (Expect::DataEnd, b'\n') => Ok(Expect::Size),
            (Expect::Trailer, b'\r') => Ok(Expect::LastEnd),
            (Expect::TrailerName, b':') => Ok(Expect::TrailerText),
            (Expect::Trailer | Expect::TrailerName, _) if is_token(byte) => self.skip(Expect::TrailerName),
            (Expect::Trailer | Expect::TrailerName, _) => Err("a trailer has no name"),
            (Expect::TrailerText, b'\r') => Ok(Expect::TrailerEnd),
            (Expect::TrailerText, b'\t' | b' '..=b'~' | 0x80..) => self.skip(Expect::TrailerText),
            (Expect::TrailerText, _) => Err("a trailer ends wrongly"),
            (Expect::TrailerEnd, b'\n') => Ok(Expect::Trailer),
            (Expect::LastEnd, b'\n') => Ok(Expect::Nothing),
            _ => Err("a chunk does not end where it should"),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<Expect, &'static str> {
        let value = char::from(byte).to_digit(16).map_or(0, u64::from);
        self.left = self
            .left
            .checked_mul(16)
            .and_then(|left| left.checked_add(value))
            .ok_or("the size of a chunk is too large")?;
        Ok(Expect::Digits)
    }

    fn skip(&mut self, then: Expect) -> Result<Expect, &'static str> {
        self.skipped += 1;
        if self.skipped > MAX_SKIPPED {
            return Err("the extensions and trailers of a body are too long");
        }
        Ok(then)
    }
}

/// Whether a name may hold this byte (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `input` is read as when it comes in pieces of `size` bytes: the content and what is left over.
    fn read(input: &[u8], size: usize) -> Result<(Vec<u8>, bool, usize), &'static str> {
        let (mut chunked, mut content, mut used) = (Chunked::new(), Vec::new(), 0);
        for piece in input.chunks(size) {
            used += chunked.decode(piece, &mut content)?;
        }
        Ok((content, chunked.is_done(), used))
    }

    #[test]
    fn reads_the_same_however_it_is_cut() {
        for (input, content, rest) in [
            ("2\r\nok\r\n0\r\n\r\n", "ok", 0),
            ("1\r\no\r\n1\r\nk\r\n0\r\n\r\n", "ok", 0),
            ("A;name=\"value\"\r\n0123456789\r\n00\r\n\r\n", "0123456789", 0),
            ("2 \r\nok\r\n0\r\ntrailer: x\r\nother: y\r\n\r\n", "ok", 0),
            ("2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK", "ok", 15),
        ] {
            for size in 1..=input.len() {
                let read = read(input.as_bytes(), size).unwrap();
                assert_eq!(read, (content.into(), true, input.len() - rest), "{input:?} by {size}");
            }
        }
    }

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        for input in [
            "\r\nok",
            "zz\r\nok\r\n0\r\n\r\n",
            "-2\r\nok\r\n",
            "0x2\r\nok\r\n",
            "2\nok\r\n0\r\n\r\n",
            "2;a\nb\r\nok\r\n0\r\n\r\n",
            "2\r\nokay\r\n0\r\n\r\n",
            "2\r\nok0\r\n\r\n",
            "2\r\nok\n0\r\n\r\n",
            "2\r\nok\r\n0\r\ntrailer\r\n\r\n",
            "2\r\nok\r\n0\r\ntrailer: x\n\r\n",
            "2\r\nok\r\n0\r\n: x\r\n\r\n",
            "2\r\nok\r\n0\r\na b: x\r\n\r\n",
            "2\r\nok\r\n0\r\n\rx",
            "10000000000000000\r\n",
            "fffffffffffffffff\r\n",
        ] {
            for size in 1..=input.len() {
                assert!(read(input.as_bytes(), size).is_err(), "{input:?} by {size}");
            }
        }
    }

    #[test]
    fn skips_only_so_much() {
        for start in ["1;", "0\r\na", "0\r\na:"] {
            let input = [start.as_bytes(), &vec![b'x'; MAX_SKIPPED as usize + 1]].concat();
            assert!(read(&input, 4096).is_err(), "{start:?}");
        }
    }
}
