//! How slowly a request's body may arrive: the same for calls and for administration.

use std::time::Duration;

use model::{Code, Rejection};
use tokio::time::Instant;

/// A body that comes more slowly than this for longer than the idle time only occupies a place
/// (reliability.md T24): a request of 1 KB has half a minute, one of 1 MB an hour.
const SLOWEST_BYTES_PER_SECOND: u64 = 256;

/// The pace of a body that is arriving.
#[derive(Debug)]
pub struct Pace {
    idle: Duration,
    began: Option<Instant>,
}

impl Pace {
    /// Of a body whose parts may be `idle` apart.
    #[must_use]
    pub fn new(idle: Duration) -> Self {
        Self { idle, began: None }
    }

    /// Until when the next part must have come, now that `bytes` are there. The time of the body begins with
    /// the first question.
    pub fn deadline(&mut self, bytes: usize) -> Instant {
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        let earned = Duration::from_secs(bytes as u64 / SLOWEST_BYTES_PER_SECOND);
        (now + self.idle).min(began + self.idle + earned)
    }

    /// The refusal of a body whose next part did not come in time.
    #[must_use]
    pub fn too_slow(&self, bytes: usize) -> Rejection {
        let time = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        let message = format!(
            "The request body stopped arriving, or arrives too slowly: {bytes} bytes in {} s.",
            time.as_secs()
        );
        Rejection::because(Code::InvalidRequest, message)
    }
}
