//! `Idempotency-Key` on calls to models, for keys that ask for it: a request that is repeated gets the
//! answer of its first run, byte for byte, and is not charged again.
//!
//! Kept are 2xx answers of an upstream up to 1 MiB, streams included, for 24 hours; keep-alive comments are
//! not part of them. An answer is stored before its caller gets its end, so that whoever saw the end and
//! repeats is not charged twice. Of everything else, refusals, failures and answers that are too long,
//! nothing is kept, and the next one runs.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use model::{Code, Rejection, ResourceId};
use state::replay::{Begin, BodyHash, Guard, MOST_WAITING, Outcome};
use telemetry::failpoint;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::catalog::families::Asked;
use crate::dispatch::Stopped;
use crate::exchange::Exchange;
use crate::request::Outbound;

/// The longest answer that is kept (reliability.md, Idempotency-Key).
const KEPT_BYTES: usize = 1 << 20;

/// The longest `Idempotency-Key`.
const KEY_BYTES: usize = 255;

/// How long the end of an answer may wait for its storing, and a repeated request for what is stored: as
/// long as a database that answers at all takes. Later, the answer goes out and a repetition runs again.
const STORE_TIME: Duration = Duration::from_secs(5);

/// When a caller whose repetition could not be looked up may come back, in seconds.
const COME_BACK_S: u64 = 1;

/// What a caller calls one of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerName {
    /// The caller's API key.
    pub key: ResourceId,
    /// Its `Idempotency-Key`: 1 to 255 visible ASCII characters.
    pub idempotency_key: Box<str>,
}

/// An answer as it is kept and replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// SHA-256 of the request: its endpoint, query and body.
    pub body_hash: BodyHash,
    /// Its status, 2xx.
    pub status: StatusCode,
    /// Its headers, without those that name the request or its limits.
    pub headers: HeaderMap,
    /// Its body, at most 1 MiB.
    pub body: Bytes,
}

/// Keeps answers beyond the request: in a database, on another runtime. Both calls return at once, and
/// the outcome arrives at the receiver; one that is dropped counts as a failure.
pub trait AnswerShelf: Send + Sync {
    /// Looks for an answer not older than 24 hours. The error is for the log.
    fn find(&self, name: AnswerName) -> oneshot::Receiver<Result<Option<KeptAnswer>, String>>;

    /// Keeps an answer, in place of an expired one. The error is for the log.
    fn keep(&self, name: AnswerName, answer: Arc<KeptAnswer>) -> oneshot::Receiver<Result<(), String>>;
}

/// The right to run under an `Idempotency-Key`, and what is to be kept. Dropped without having been
/// stored, it lets the next one run.
pub(crate) struct Keeping {
    guard: Guard<KeptAnswer>,
    name: AnswerName,
    body_hash: BodyHash,
    head: Option<(StatusCode, HeaderMap)>,
    /// `None` once it is too long.
    body: Option<BytesMut>,
}

/// Finds out whether this call is the first of its `Idempotency-Key`, and waits for the first if it is not.
///
/// # Errors
/// The answer of the first; or `INVALID_REQUEST` for a key that cannot be one, `IDEMPOTENCY_MISMATCH` for
/// another request under the same key, `QUEUE_FULL` when too many wait, `SERVICE_DEGRADED` when what is
/// kept cannot be read.
pub(crate) async fn join(exchange: &mut Exchange, outbound: &Outbound<'_>) -> Result<(), Stopped> {
    let Some(key) = exchange.key.as_ref().filter(|key| key.key.terms.idempotency) else {
        return Ok(());
    };
    let Some(idempotency_key) = idempotency_key(&outbound.head.headers)? else {
        return Ok(());
    };
    let name = AnswerName { key: key.key.id.clone(), idempotency_key };
    let body_hash = hash(outbound);
    // Boxed: rare, and it would otherwise widen every call.
    let joined = Box::pin(first_or_answer(exchange, name, body_hash)).await;
    exchange.checked("idempotency", !matches!(joined, Err(Stopped::Rejected(_))), None, None);
    exchange.keeping = Some(Box::new(joined?));
    Ok(())
}

async fn first_or_answer(
    exchange: &mut Exchange,
    name: AnswerName,
    body_hash: BodyHash,
) -> Result<Keeping, Stopped> {
    let worker = std::rc::Rc::clone(&exchange.worker);
    let since = Instant::now();
    let guard = match worker.shared.replays.begin(&name.key, &name.idempotency_key, body_hash) {
        Begin::Run(guard) => guard,
        Begin::Mismatch => return Err(mismatch().into()),
        Begin::Full => return Err(too_many().into()),
        Begin::Wait(waiting) => {
            let outcome = waiting.await;
            exchange.waited += since.elapsed();
            match outcome {
                Outcome::Answer(answer) => return Err(Stopped::Kept(answer)),
                Outcome::Run(guard) => guard,
            }
        }
    };
    match timeout(STORE_TIME, worker.shared.answers.find(name.clone())).await {
        Ok(Ok(Ok(None))) => {}
        Ok(Ok(Ok(Some(kept)))) if kept.body_hash != body_hash => return Err(mismatch().into()),
        Ok(Ok(Ok(Some(kept)))) => {
            let kept = Arc::new(kept);
            guard.complete(&kept);
            return Err(Stopped::Kept(kept));
        }
        Ok(Ok(Err(error))) => return Err(unreadable(&error).into()),
        Ok(Err(_)) | Err(_) => return Err(unreadable("no answer from the store").into()),
    }
    Ok(Keeping { guard, name, body_hash, head: None, body: Some(BytesMut::new()) })
}

/// The key of a request; `None` when it has none.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<Box<str>>, Rejection> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("");
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if values.next().is_some() || text.is_empty() || text.len() > KEY_BYTES || !visible {
        let message =
            format!("`Idempotency-Key` takes one value of 1 to {KEY_BYTES} visible ASCII characters.");
        return Err(Rejection::because(Code::InvalidRequest, message).at("Idempotency-Key"));
    }
    Ok(Some(text.into()))
}

/// The digest of what makes two requests the same.
fn hash(outbound: &Outbound<'_>) -> BodyHash {
    let mut context = digest::Context::new(&digest::SHA256);
    // The query may carry the key itself, in whatever place; it is the caller's to repeat it as it was.
    let family = outbound.head.extensions.get::<Asked>().map(|Asked(uri)| uri.path());
    let parts = [outbound.call.surface.route(), outbound.head.uri.query().unwrap_or("")];
    for part in parts.into_iter().chain(family) {
        context.update(part.as_bytes());
        context.update(b"\0");
    }
    context.update(outbound.body);
    let mut hash = BodyHash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

fn mismatch() -> Rejection {
    Rejection::new(Code::IdempotencyMismatch).at("Idempotency-Key")
}

fn too_many() -> Rejection {
    let message = format!(
        "{} At most {MOST_WAITING} requests wait for the answer to one `Idempotency-Key`.",
        Code::QueueFull.info().message
    );
    Rejection::because(Code::QueueFull, message).retry_after(COME_BACK_S)
}

/// Closed, not open: running it could charge a second time for what is already answered.
fn unreadable(error: &str) -> Rejection {
    let message = "Whether this `Idempotency-Key` was answered already cannot be found out now.";
    Rejection::because(Code::ServiceDegraded, message).retry_after(COME_BACK_S).caused_by(error)
}

impl Keeping {
    /// Notes the head that the caller gets, before the ids and limits of this request are written into it.
    pub fn begin(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.head = Some((status, headers.clone()));
    }

    /// Notes a part of the body.
    pub fn push(&mut self, part: &[u8]) {
        let fits = self.body.as_ref().is_some_and(|body| body.len() + part.len() <= KEPT_BYTES);
        match self.body.as_mut() {
            Some(body) if fits => body.extend_from_slice(part),
            _ => self.body = None,
        }
    }

    /// Stores the answer, which is whole, and gives it to who waits for it. The caller may leave
    /// meanwhile; `None` when there is nothing to store.
    pub fn store(self, shelf: &Arc<dyn AnswerShelf>) -> Option<JoinHandle<()>> {
        let Self { guard, name, body_hash, head, body } = self;
        let (status, headers) = head.filter(|(status, _)| status.is_success())?;
        let answer = Arc::new(KeptAnswer { body_hash, status, headers, body: body?.freeze() });
        failpoint::pass("answer_before_stored");
        let stored = shelf.keep(name, Arc::clone(&answer));
        Some(tokio::task::spawn_local(async move {
            match timeout(STORE_TIME, stored).await {
                Ok(Ok(Ok(()))) => failpoint::pass("answer_after_stored"),
                Ok(Ok(Err(error))) => tracing::warn!(error, "an idempotent answer could not be kept"),
                Ok(Err(_)) | Err(_) => tracing::warn!("an idempotent answer was not kept in time"),
            }
            guard.complete(&answer);
        }))
    }
}
