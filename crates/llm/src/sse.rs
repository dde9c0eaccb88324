//! Splits a stream of bytes into server-sent events (WHATWG HTML, "Server-sent events"), wherever
//! the bytes were cut.
//!
//! Finds events, does not read them. An event that lies whole within one piece is lent, not copied.

use std::ops::Range;

/// Longest line, and longest data of one event, that is accepted: 1 MiB. Longer ones are an
/// upstream's fault, and would otherwise be held in memory without limit.
pub(crate) const LINE_LIMIT: usize = 1 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One event. Blocks without data (comments, a lone name) are reported too, with empty data, so
/// that every boundary is known.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    /// The value of the last `event:` line, or empty.
    pub name: &'a [u8],
    /// The values of the `data:` lines, joined by line feeds.
    pub data: &'a [u8],
    /// Where the event ends within the piece just pushed, behind its blank line.
    pub end: usize,
}

/// A line or the data of an event is longer than [`LINE_LIMIT`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than 1 MiB")]
pub(crate) struct TooLong;

/// Splits a stream; keeps what is needed of an event whose end has not come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Splitter {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    name: Vec<u8>,
    after_return: bool,
    begun: bool,
}

impl Splitter {
    /// Takes the next piece and reports every event that ends within it.
    pub(crate) fn push(&mut self, piece: &[u8], mut each: impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        let mut at = 0;
        if self.awaits_line_feed() && !piece.is_empty() {
            at = usize::from(piece[0] == b'\n');
            self.after_return = false;
        }
        let mut lent = None;
        while let Some(found) = memchr::memchr2(b'\r', b'\n', &piece[at..]) {
            let line = at..at + found;
            at = self.behind_line_end(piece, line.end);
            if !self.line.is_empty() {
                self.take_split_line(&piece[line])?;
            } else if !line.is_empty() {
                self.take_line(piece, line, &mut lent)?;
            } else {
                let data = lent.take().map_or(&self.data[..], |range: Range<usize>| &piece[range]);
                each(Event { name: &self.name, data, end: at });
                self.forget_event();
            }
        }
        if let Some(range) = lent {
            self.data.extend_from_slice(&piece[range]);
        }
        self.keep_rest(&piece[at..])
    }

    /// Reports the event that the stream's end left without its blank line, if there is one.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(Event<'_>)) {
        if !self.line.is_empty() && self.take_split_line(b"").is_err() {
            return;
        }
        if self.has_data {
            each(Event { name: &self.name, data: &self.data, end: 0 });
        }
        self.forget_event();
    }

    /// Whether the last byte was a carriage return whose line feed may still come.
    pub(crate) fn awaits_line_feed(&self) -> bool {
        self.after_return
    }

    /// What is here of an event that has not ended: its name, and its data or its last line.
    pub(crate) fn unended(&self) -> [&[u8]; 3] {
        [&self.name, &self.data, &self.line]
    }

    fn behind_line_end(&mut self, piece: &[u8], end: usize) -> usize {
        if piece[end] == b'\n' {
            return end + 1;
        }
        match piece.get(end + 1) {
            Some(b'\n') => end + 2,
            Some(_) => end + 1,
            None => {
                self.after_return = true;
                end + 1
            }
        }
    }

    /// A line that lies whole within `piece`: its data is lent as long as it is the only data.
    fn take_line(
        &mut self,
        piece: &[u8],
        line: Range<usize>,
        lent: &mut Option<Range<usize>>,
    ) -> Result<(), TooLong> {
        let text = self.without_mark(&piece[line.clone()]);
        if text.len() > LINE_LIMIT {
            return Err(TooLong);
        }
        match field(text) {
            (b"data", value) if !self.has_data => {
                self.has_data = true;
                *lent = Some(line.end - value.len()..line.end);
                Ok(())
            }
            (b"data", value) => {
                if let Some(first) = lent.take() {
                    self.data.extend_from_slice(&piece[first]);
                }
                self.add_data(value)
            }
            (b"event", value) => {
                self.name.clear();
                self.name.extend_from_slice(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A line whose beginning came in earlier pieces.
    fn take_split_line(&mut self, rest: &[u8]) -> Result<(), TooLong> {
        self.keep_rest(rest)?;
        let line = std::mem::take(&mut self.line);
        let mut lent = None;
        self.take_line(&line, 0..line.len(), &mut lent)?;
        if let Some(range) = lent {
            self.data.extend_from_slice(&line[range]);
        }
        self.line = line;
        self.line.clear();
        Ok(())
    }

    fn add_data(&mut self, value: &[u8]) -> Result<(), TooLong> {
        if self.data.len() + value.len() + 1 > LINE_LIMIT {
            return Err(TooLong);
        }
        self.data.push(b'\n');
        self.data.extend_from_slice(value);
        Ok(())
    }

    fn keep_rest(&mut self, rest: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + rest.len() > LINE_LIMIT {
            return Err(TooLong);
        }
        self.line.extend_from_slice(rest);
        Ok(())
    }

    /// A byte order mark is allowed in front of the first line only.
    fn without_mark<'a>(&mut self, line: &'a [u8]) -> &'a [u8] {
        if std::mem::replace(&mut self.begun, true) {
            return line;
        }
        line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
    }

    fn forget_event(&mut self) {
        self.data.clear();
        self.name.clear();
        self.has_data = false;
    }
}

/// A line's name and value; a comment has an empty name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    // Nearly every line, and it need not be searched.
    if let Some(value) = line.strip_prefix(b"data:") {
        return (b"data", value.strip_prefix(b" ").unwrap_or(value));
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return (line, b"");
    };
    let value = &line[colon + 1..];
    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut splitter = Splitter::default();
        let mut out = Vec::new();
        let mut each = |event: Event<'_>| {
            if !event.data.is_empty() {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                out.push((text(event.name), text(event.data)));
            }
        };
        for piece in pieces {
            splitter.push(piece, &mut each).unwrap();
        }
        splitter.finish(&mut each);
        out
    }

    fn check(stream: &str, expected: &[(&str, &str)]) {
        let expected: Vec<(String, String)> =
            expected.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect();
        let bytes = stream.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(events(&pieces), expected, "{stream:?} cut at {first} and {second}");
            }
        }
        for size in 1..=16 {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(events(&pieces), expected, "{stream:?} in slices of {size}");
        }
    }

    #[test]
    fn splits_the_same_wherever_the_bytes_are_cut() {
        check("data: a\n\ndata:b\n\n", &[("", "a"), ("", "b")]);
        check("event: x\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", &[("x", "1"), ("", "2")]);
        check("data: 1\r\revent: y\rdata: 2\r\r", &[("", "1"), ("y", "2")]);
        check(": note\n\ndata: a\ndata:  b\nid: 7\n\n", &[("", "a\n b")]);
        check("\u{feff}data: a\n\n\n\n: x\n\ndata\n\n", &[("", "a")]);
        check("data: cut\nevent: z", &[("z", "cut")]);
        check("event: old\n\ndata: new\n\n", &[("", "new")]);
    }

    #[test]
    fn refuses_what_is_too_long_however_it_comes() {
        let line = [b"data: ".as_slice(), &vec![b'x'; LINE_LIMIT], b"\n\n"].concat();
        assert_eq!(Splitter::default().push(&line, |_| ()), Err(TooLong));
        let mut splitter = Splitter::default();
        let fed = line.chunks(4096).try_for_each(|piece| splitter.push(piece, |_| ()));
        assert_eq!(fed, Err(TooLong));
        let mut splitter = Splitter::default();
        let short = [b"data: ".as_slice(), &vec![b'x'; LINE_LIMIT / 4], b"\n"].concat();
        let fed = (0..5).try_for_each(|_| splitter.push(&short, |_| ()));
        assert_eq!(fed, Err(TooLong));
    }

    #[test]
    fn tells_where_events_end() {
        let mut ends = Vec::new();
        Splitter::default().push(b"data: a\n\n: c\r\n\r\ndata: b", |event| ends.push(event.end)).unwrap();
        assert_eq!(ends, [9, 16]);
    }
}
