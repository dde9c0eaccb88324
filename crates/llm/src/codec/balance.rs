//! Sees when JSON that comes in pieces is whole, without reading it.

/// Follows one JSON object or array.
#[derive(Clone, Debug, Default)]
pub(crate) struct Balance {
    depth: u32,
    begun: bool,
    in_string: bool,
    escaped: bool,
}

impl Balance {
    /// Follows the next piece.
    pub(crate) fn push(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => {
                    self.begun = true;
                    self.depth += 1;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// Whether the object is closed.
    pub(crate) fn is_whole(&self) -> bool {
        self.begun && self.depth == 0 && !self.in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_whole_when_its_last_brace_is_there() {
        let mut balance = Balance::default();
        for piece in ["", "{\"a\":\"}", "\\\"", "}\",\"b\":[{}", "]"] {
            balance.push(piece);
            assert!(!balance.is_whole(), "{piece}");
        }
        balance.push("}");
        assert!(balance.is_whole());
    }
}
