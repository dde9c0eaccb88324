//! Reports the steps of a call in its stream, for callers on the internal channel who ask for it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use model::RequestId;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::exchange::Exchange;

/// Where the last event of a chat stream begins.
const DONE: &[u8] = b"data: [DONE]";

/// The reports of one call: its steps write them, its relay sends them.
pub(crate) struct Stages {
    request_id: RequestId,
    since: Instant,
    events: RefCell<VecDeque<Bytes>>,
}

impl Stages {
    /// Begins to report on a call.
    pub fn of(exchange: &Exchange) -> Rc<Self> {
        Rc::new(Self {
            request_id: exchange.request_id(),
            since: exchange.started,
            events: RefCell::default(),
        })
    }

    /// Reports a step, with what there is to say of it.
    pub fn report(&self, step: &str, details: &Value) {
        self.events.borrow_mut().push_back(self.event(step, details));
    }

    /// The next report that is to be sent.
    pub fn next(&self) -> Option<Bytes> {
        self.events.borrow_mut().pop_front()
    }

    fn event(&self, step: &str, details: &Value) -> Bytes {
        let mut said = Map::new();
        said.insert("type".into(), "status".into());
        said.insert("stage".into(), step.into());
        said.insert("request_id".into(), self.request_id.to_string().into());
        let elapsed_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        said.insert("elapsed_ms".into(), elapsed_ms.into());
        if let Value::Object(details) = details {
            said.extend(details.clone());
        }
        format!("event: status\ndata: {}\n\n", Value::Object(said)).into()
    }

    /// The piece of the answer with the report of its end in front of the last event, where that begins in
    /// it: clients stop reading there.
    pub fn settled(&self, piece: Bytes) -> Bytes {
        let Some(at) = piece.windows(DONE.len()).position(|part| part == DONE) else {
            return piece;
        };
        [&piece[..at], &self.event("settle", &Value::Null), &piece[at..]].concat().into()
    }
}

impl Exchange {
    /// Reports a step, where the caller asked for that.
    pub fn report(&self, step: &str, details: impl FnOnce(&Self) -> Value) {
        if let Some(stages) = &self.stages {
            stages.report(step, &details(self));
        }
    }

    /// Begins to report the steps, with those that are behind already.
    pub fn report_steps(&mut self) {
        self.stages = Some(Stages::of(self));
        self.report("read", |exchange| json!({"bytes": exchange.record.bytes_in}));
        self.report("model", |exchange| json!({"model": *exchange.record.model}));
        self.report("limits", |_| Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_is_reported_before_the_last_event() {
        let request_id = RequestId::mint(1, [1; 10]);
        let stages = Stages { request_id, since: Instant::now(), events: RefCell::default() };
        stages.report("call", &json!({"upstream": "one"}));
        let first = stages.next().unwrap();
        let text = std::str::from_utf8(&first).unwrap();
        assert!(text.starts_with("event: status\ndata: {") && text.ends_with("}\n\n"), "{text}");
        assert!(text.contains("\"upstream\":\"one\"") && text.contains("\"stage\":\"call\""), "{text}");
        assert!(stages.next().is_none());
        let whole = stages.settled(Bytes::from_static(b"data: {}\n\ndata: [DONE]\n\n"));
        let text = std::str::from_utf8(&whole).unwrap();
        assert!(text.find("settle").unwrap() < text.find("[DONE]").unwrap(), "{text}");
        assert_eq!(stages.settled(Bytes::from_static(b"data: {}\n\n")), "data: {}\n\n");
    }
}
