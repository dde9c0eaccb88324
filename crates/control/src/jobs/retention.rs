//! Deletes what has been kept long enough: request records after 30 days, answers that are kept for a
//! retry after a day, sign-ins once expired, the audit log as the setting says.
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

use crate::api::settings::retention::Retention;

/// How long request records are kept. Daily usage stays.
const RECORDS_KEPT_MS: u64 = 30 * DAY_MS;
const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// Pause between two runs.
const PAUSE: Duration = Duration::from_secs(3_600);
/// Rows per statement: small steps let writers in between.
const STEP: u32 = 1_000;
/// Steps per run and table.
const STEPS: u32 = 10_000;

/// Steps per run of the audit log: each reads all of it once.
const AUDIT_STEPS: u32 = 10;

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
    // Last, for it refuses to touch a log that was altered.
    let kept_ms = u64::from(Retention::in_force(store).await?.audit_days) * DAY_MS;
    for _ in 0..AUDIT_STEPS {
        if store.retain_audit(now_ms.saturating_sub(kept_ms), now_ms).await? == 0 {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fixture, NOW, record};
    use store::{KeptAnswer, Note, PageRequest, RecordFilter, Scope};

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
    async fn keeps_the_audit_log_as_long_as_is_set_and_two_years_otherwise() {
        let fixture = Fixture::empty().await;
        let store = &fixture.state.store;
        let write = async |at: u64| {
            let note = Note::new("thing.change", at);
            store.write_audit(&Scope::system().noted(&note)).await.unwrap();
        };
        write(NOW).await;
        write(NOW + 40 * DAY_MS).await;
        let first = |report: store::AuditReport| (report.after, report.fault);
        clean(store, NOW + 731 * DAY_MS).await.unwrap();
        assert_eq!(
            first(store.verify_audit().await.unwrap()),
            (0, None),
            "a day more, then as many as can go"
        );
        let value = serde_json::json!({"audit_days": 50});
        store.set_setting(&Scope::system(), ("retention", &value), NOW, |_| Ok(())).await.unwrap();
        clean(store, NOW + 60 * DAY_MS).await.unwrap();
        let report = store.verify_audit().await.unwrap();
        assert_eq!((report.after > 0, report.fault), (true, None));
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
