//! A streamed answer as it is played: a head, pieces of content, a tail, and the failure asked for.

use bytes::Bytes;

use super::plan::{Failure, Plan};
use super::refusal::{Dialect, Refusal};
use super::reply::{Reply, Source};

/// The events of a stream, those of the content made when they are due.
pub struct Script<P> {
    /// Events before the content.
    pub head: String,
    /// Pieces of content.
    pub pieces: usize,
    /// The events of the piece at an index.
    pub piece: P,
    /// Events after the content, the terminal marker last.
    pub tail: String,
}

impl<P: Fn(usize) -> String + Send + Sync + 'static> Script<P> {
    /// The answer, which fails where the plan says.
    pub fn play(self, dialect: Dialect, plan: &Plan) -> Reply {
        let Self { head, pieces, piece, tail } = self;
        let (shown, end, cut) = match plan.failure {
            Some(Failure::Cut { after }) => (pieces.min(after), None, true),
            Some(Failure::Error { after, status }) => {
                (pieces.min(after), Some(error_event(dialect, status)), false)
            }
            Some(Failure::Refuse { .. }) | None => (pieces, Some(tail), false),
        };
        let events = std::iter::once(head).chain((0..shown).map(piece)).chain(end);
        let source: Source = Box::new(events.map(Bytes::from));
        Reply::events(source, plan.delay, cut)
    }
}

fn error_event(dialect: Dialect, status: u16) -> String {
    let body = Refusal::new(status, "The demo provider was asked to fail.").body(dialect);
    match dialect {
        Dialect::Responses => {
            let failed = serde_json::json!({"type": "response.failed", "sequence_number": 99_999,
                "response": {"id": "resp_demo", "object": "response", "status": "failed", "error": body["error"],
                    "output": []}});
            let error =
                serde_json::json!({"type": "error", "sequence_number": 99_998, "error": body["error"]});
            format!("event: error\ndata: {error}\n\nevent: response.failed\ndata: {failed}\n\n")
        }
        Dialect::OpenAi | Dialect::Gemini => format!("data: {body}\n\n"),
        Dialect::Anthropic => format!("event: error\ndata: {body}\n\n"),
    }
}
