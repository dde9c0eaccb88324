//! Server-sent events as a caller reads them, so that a test can compare what was meant with what came.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The `event:` field.
    pub name: Option<String>,
    /// The `data:` lines, joined with newlines.
    pub data: String,
}

impl Event {
    /// The data as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// Reads every complete event. Lines end in CRLF, LF or CR; comments are left out.
#[must_use]
pub fn events(bytes: &[u8]) -> Vec<Event> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    for block in text.split_inclusive("\n\n").filter(|block| block.ends_with("\n\n")) {
        if let Some(event) = event(block) {
            events.push(event);
        }
    }
    events
}

fn event(block: &str) -> Option<Event> {
    let mut event = Event::default();
    let mut lines = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event.name = Some(value.to_owned()),
            "data" => lines.push(value),
            _ => {}
        }
    }
    event.data = lines.join("\n");
    (!lines.is_empty() || event.name.is_some()).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_events_whatever_ends_their_lines() {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!(": hello{end}{end}event: a{end}data: 1{end}data: 2{end}{end}data: half");
            let read = events(text.as_bytes());
            assert_eq!(read, [Event { name: Some("a".into()), data: "1\n2".into() }], "{end:?}");
        }
    }
}
