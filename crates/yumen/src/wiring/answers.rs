//! The answers to requests with an `Idempotency-Key`, kept in the store. The data plane asks from its
//! workers; the database is spoken to here.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use model::Clock;
use proxy::{AnswerName, AnswerShelf, KeptAnswer};
use store::{Store, answers};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The store as the data plane sees it. At most one call for each request in flight is under way.
pub struct StoredAnswers {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
}

impl StoredAnswers {
    /// Speaks to `store` on `runtime`.
    #[must_use]
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>, runtime: Handle) -> Self {
        Self { store, clock, runtime }
    }
}

impl AnswerShelf for StoredAnswers {
    fn find(&self, name: AnswerName) -> oneshot::Receiver<Result<Option<KeptAnswer>, String>> {
        let (sender, receiver) = oneshot::channel();
        let (store, now_ms) = (Arc::clone(&self.store), self.clock.now_ms());
        self.runtime.spawn(async move {
            let found = store.find_answer(&name.key, &name.idempotency_key, now_ms).await;
            // A caller who has left needs no answer.
            let _ = sender.send(found.map(|kept| kept.and_then(read)).map_err(|error| error.to_string()));
        });
        receiver
    }

    fn keep(&self, name: AnswerName, answer: Arc<KeptAnswer>) -> oneshot::Receiver<Result<(), String>> {
        let (sender, receiver) = oneshot::channel();
        let (store, now_ms) = (Arc::clone(&self.store), self.clock.now_ms());
        self.runtime.spawn(async move {
            let kept = store.keep_answer(&name.key, &name.idempotency_key, &written(&answer, now_ms)).await;
            // An answer that is there already stays; who repeats the request is served either way.
            let _ = sender.send(kept.map(|_| ()).map_err(|error| error.to_string()));
        });
        receiver
    }
}

fn written(answer: &KeptAnswer, now_ms: u64) -> answers::KeptAnswer {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let headers = answer.headers.iter();
    answers::KeptAnswer {
        body_hash: answer.body_hash,
        status: answer.status.as_u16(),
        headers: headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?))).collect(),
        body: answer.body.to_vec(),
        created_at: now_ms,
    }
}

/// `None` for what no version of this program wrote: then the request runs again.
fn read(kept: answers::KeptAnswer) -> Option<KeptAnswer> {
    let mut headers = HeaderMap::with_capacity(kept.headers.len());
    for (name, value) in &kept.headers {
        let name: HeaderName = name.parse().ok()?;
        headers.append(name, HeaderValue::from_str(value).ok()?);
    }
    let status = StatusCode::from_u16(kept.status).ok()?;
    Some(KeptAnswer { body_hash: kept.body_hash, status, headers, body: kept.body.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_back_as_it_was_written() {
        let mut headers = HeaderMap::new();
        headers.append("content-type", HeaderValue::from_static("text/event-stream"));
        headers.append("anthropic-x", HeaderValue::from_static("1"));
        headers.append("anthropic-x", HeaderValue::from_static("2"));
        let answer = KeptAnswer {
            body_hash: [7; 32],
            status: StatusCode::OK,
            headers,
            body: vec![0, 255, b'a'].into(),
        };
        assert_eq!(read(written(&answer, 9)).as_ref(), Some(&answer));
    }

    #[test]
    fn what_is_no_answer_is_not_replayed() {
        let kept = |status: u16, name: &str| answers::KeptAnswer {
            body_hash: [7; 32],
            status,
            headers: vec![(name.to_owned(), "x".to_owned())],
            body: Vec::new(),
            created_at: 1,
        };
        assert!(read(kept(200, "a")).is_some());
        assert!(read(kept(99, "a")).is_none());
        assert!(read(kept(200, "a b")).is_none());
    }
}
