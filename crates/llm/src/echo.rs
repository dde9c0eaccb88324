//! Puts the model's name as the caller asked for it into an answer, in place of the upstream's.
//!
//! A filter over the bytes on their way out: of every JSON object (the whole answer, or what each `data:`
//! line of a stream holds, or each item of a list) the member `model`, or Gemini's `modelVersion`, is replaced,
//! at the top level or within `response` or `message`. Everything else passes as it is; nothing is held back.

use bytes::Bytes;

/// Members within which the model is named a second time.
const PARENTS: [&[u8]; 2] = [b"response", b"message"];
/// What the model is called: by Gemini otherwise than by all others.
const NAMES: [&[u8]; 2] = [b"model", b"modelVersion"];
/// No name that is looked for is longer.
const LONGEST_NAME: usize = 12;
const DATA: &[u8] = b"data:";

/// The filter.
#[derive(Clone, Debug)]
pub struct Echo {
    quoted: Vec<u8>,
    stream: bool,
    line: Line,
    json: Json,
}

/// Where in a line of a stream.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// So much of `data:` has passed.
    Begun(usize),
    /// Behind it.
    Data,
    /// In a line of another kind.
    Other,
}

/// Where in a JSON text.
#[derive(Clone, Debug, Default)]
struct Json {
    depth: u32,
    in_text: bool,
    escaped: bool,
    /// Whether a text that begins now is a name that matters.
    expects_name: bool,
    in_name: bool,
    name: Vec<u8>,
    /// Whether the last name was `model`, and its value has not begun.
    awaits_model: bool,
    /// Whether the object at the second level is one that names the model, too.
    in_parent: bool,
    /// Within the value that is replaced.
    replacing: bool,
}

impl Echo {
    /// A filter that writes `model`, for an answer of events or for one object.
    #[must_use]
    pub fn new(model: &str, stream: bool) -> Self {
        let quoted = serde_json::to_vec(model).expect("a string always serialises");
        Self { quoted, stream, line: Line::Begun(0), json: Json::default() }
    }

    /// The next piece as it is to be sent on.
    #[must_use]
    pub fn push(&mut self, piece: &Bytes) -> Bytes {
        let mut out = Vec::with_capacity(piece.len() + self.quoted.len());
        for byte in piece.iter().copied() {
            if !self.stream {
                self.json.byte(byte, &self.quoted, &mut out);
            } else if byte == b'\n' {
                (self.line, self.json) = (Line::Begun(0), Json::default());
                out.push(byte);
            } else {
                self.line_byte(byte, &mut out);
            }
        }
        out.into()
    }

    fn line_byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.line {
            Line::Data => return self.json.byte(byte, &self.quoted, out),
            Line::Begun(seen) if DATA.get(seen) == Some(&byte) => {
                self.line = if seen + 1 == DATA.len() { Line::Data } else { Line::Begun(seen + 1) };
            }
            Line::Begun(_) | Line::Other => self.line = Line::Other,
        }
        out.push(byte);
    }
}

impl Json {
    fn byte(&mut self, byte: u8, quoted: &[u8], out: &mut Vec<u8>) {
        if self.replacing {
            if self.ends_text(byte) {
                self.replacing = false;
                out.extend_from_slice(quoted);
            }
            return;
        }
        if self.in_text {
            out.push(byte);
            return self.text_byte(byte);
        }
        if byte == b'"' && self.awaits_model {
            (self.awaits_model, self.replacing) = (false, true);
            return;
        }
        out.push(byte);
        self.syntax_byte(byte);
    }

    /// A byte of a text that passes.
    fn text_byte(&mut self, byte: u8) {
        if self.ends_text(byte) {
            self.in_text = false;
        } else if self.in_name && self.name.len() <= LONGEST_NAME {
            self.name.push(byte);
        }
    }

    /// Whether a text ends with this byte.
    fn ends_text(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => return true,
            _ => {}
        }
        false
    }

    fn syntax_byte(&mut self, byte: u8) {
        match byte {
            b'"' => {
                (self.in_text, self.in_name) = (true, self.expects_name);
                if self.in_name {
                    self.name.clear();
                }
                self.expects_name = false;
            }
            b':' => {
                self.awaits_model =
                    std::mem::take(&mut self.in_name) && NAMES.contains(&self.name.as_slice());
            }
            // The items of a list are read as if each stood alone: Gemini's streams can be one.
            b'[' if self.depth == 0 => {}
            b'{' | b'[' => {
                self.depth += 1;
                self.in_parent |= self.depth == 2 && byte == b'{' && PARENTS.contains(&self.name.as_slice());
                self.awaits_model = false;
                self.expects_name = byte == b'{' && self.names_matter();
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.in_parent &= self.depth > 1;
                self.name.clear();
                self.expects_name = false;
            }
            b',' => {
                self.awaits_model = false;
                self.expects_name = self.names_matter();
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => self.awaits_model = false,
        }
    }

    fn names_matter(&self) -> bool {
        self.depth == 1 || self.depth == 2 && self.in_parent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome must be the same however the answer is cut.
    fn check(stream: bool, before: &str, after: &str) {
        for size in [1, 2, 3, 7, 64, before.len()] {
            let mut echo = Echo::new("asked\"x", stream);
            let pieces = before.as_bytes().chunks(size).map(Bytes::copy_from_slice);
            let out: Vec<u8> = pieces.flat_map(|piece| echo.push(&piece)).collect();
            assert_eq!(String::from_utf8(out).unwrap(), after, "in pieces of {size}");
        }
    }

    #[test]
    fn the_name_in_one_object_is_replaced() {
        check(
            false,
            r#" {"id":"a","model" : "up\"s\\","choices":[{"model":"stays"}],"x":"\"model\":\"stays\""}"#,
            r#" {"id":"a","model" : "asked\"x","choices":[{"model":"stays"}],"x":"\"model\":\"stays\""}"#,
        );
        check(
            false,
            r#"{"model":null,"a":{"model":"m"},"b":"c"}"#,
            r#"{"model":null,"a":{"model":"m"},"b":"c"}"#,
        );
        check(
            false,
            "[{\"modelVersion\":\"m\",\"a\":[{\"model\":1}]}\n,\r\n{\"b\":{},\"modelVersion\":\"m\"}]",
            "[{\"modelVersion\":\"asked\\\"x\",\"a\":[{\"model\":1}]}\n,\r\n{\"b\":{},\"modelVersion\":\"asked\\\"x\"}]",
        );
    }

    #[test]
    fn the_name_in_each_event_is_replaced() {
        check(
            true,
            "event: x\ndata: {\"model\":\"u\",\"choices\":[]}\n\ndata:{\"response\":{\"a\":[1],\"model\":\"u\"}}\n\n: model\ndata: [DONE]\n\n",
            "event: x\ndata: {\"model\":\"asked\\\"x\",\"choices\":[]}\n\ndata:{\"response\":{\"a\":[1],\"model\":\"asked\\\"x\"}}\n\n: model\ndata: [DONE]\n\n",
        );
        check(
            true,
            "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"u\",\"usage\":{\"model\":\"s\"}}}\n\n",
            "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"asked\\\"x\",\"usage\":{\"model\":\"s\"}}}\n\n",
        );
    }
}
