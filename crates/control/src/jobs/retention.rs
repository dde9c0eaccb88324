//! Deletes what has been kept long enough: request records after 30 days, answers that are kept for a
//! retry after a day, sign-ins once expired.
//!
//! Idempotent and without input; runs at the start and then every hour. What it cannot finish in one
//! run it finishes in the next.

use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use model::clock::EpochMs;
use store::answers::KEPT_MS;
use store::{Store, StoreError};
use tokio::sync::watch;

/// How long request records are kept. Daily usage stays.
const RECORDS_KEPT_MS: u64 = 30 * 24 * 3_600 * 1_000;
/// Pause between two runs.
const PAUSE: Duration = Duration::from_secs(3_600);
/// Rows per statement: small steps let writers in between.
const STEP: u32 = 1_000;
/// Steps per run and table.
const STEPS: u32 = 10_000;

/// Runs until `stop` turns true.
pub async fn run(store: Arc<Store>, clock: Arc<dyn Clock>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            result = clean(&store, clock.now_ms()) => if let Err(error) = result {
                tracing::error!(cause = %error, "old records could not be deleted; trying again in an hour");
            },
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}

/// One run.
///
/// # Errors
/// What the store says.
pub async fn clean(store: &Store, now_ms: EpochMs) -> Result<(), StoreError> {
    let before = now_ms.saturating_sub(RECORDS_KEPT_MS);
    for _ in 0..STEPS {
        if store.delete_records_before(before, STEP).await? < u64::from(STEP) {
            break;
        }
    }
    store.purge_answers(now_ms.saturating_sub(KEPT_MS)).await?;
    for _ in 0..STEPS {
        if store.delete_expired_sessions(now_ms, STEP).await? < u64::from(STEP) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fixture, NOW, record};
    use store::{KeptAnswer, PageRequest, RecordFilter, Scope};

    #[tokio::test]
    async fn keeps_records_for_thirty_days() {
        let fixture = Fixture::empty().await;
        let store = &fixture.state.store;
        store.append_records(&[record(1), record(2)]).await.unwrap();
        for (now_ms, left) in [(NOW + RECORDS_KEPT_MS, 2), (NOW + RECORDS_KEPT_MS + 1, 0)] {
            clean(store, now_ms).await.unwrap();
            let (all, page) = (RecordFilter::default(), PageRequest::default());
            let found = store.search_records(&Scope::system(), &all, &page).await.unwrap();
            assert_eq!(found.items.len(), left, "at {now_ms}");
        }
    }

    #[tokio::test]
    async fn keeps_answers_for_a_day() {
        let fixture = Fixture::empty().await;
        let store = &fixture.state.store;
        let key = fixture.state.mint_id();
        let answer = KeptAnswer {
            body_hash: [1; 32],
            status: 200,
            headers: Vec::new(),
            body: b"{}".to_vec(),
            created_at: NOW,
        };
        store.keep_answer(&key, "retry", &answer).await.unwrap();
        for (now_ms, kept) in [(NOW + KEPT_MS, true), (NOW + KEPT_MS + 1, false)] {
            clean(store, now_ms).await.unwrap();
            // Asked as of its own time, so that only the purge can have taken it.
            let found = store.find_answer(&key, "retry", NOW).await.unwrap();
            assert_eq!(found.is_some(), kept, "at {now_ms}");
        }
    }
}
