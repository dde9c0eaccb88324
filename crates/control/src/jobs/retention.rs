//! Deletes what has been kept long enough: request records, daily usage and the audit log as the setting says, by age
//! and by size; answers that are kept for a retry after a day, sign-ins once expired.
//!
//! Idempotent and without input; runs at the start and then every hour. What it cannot finish in one
//! run it finishes in the next.

use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use model::clock::{EpochMs, utc_day};
use store::answers::KEPT_MS;
use store::{Store, StoreError};
use tokio::sync::watch;

use crate::api::settings::retention::{FEWEST_AUDIT_DAYS, Retention};

const DAY_MS: u64 = 24 * 3_600 * 1_000;
const MEBIBYTE: u64 = 1 << 20;
/// Pause between two runs.
const PAUSE: Duration = Duration::from_secs(3_600);
/// Rows per statement: small steps let writers in between.
const STEP: u32 = 1_000;
/// Steps per run and table.
const STEPS: u32 = 10_000;

/// Steps per run of the audit log: each reads all of it once.
const AUDIT_STEPS: u32 = 10;

/// Daily sums of usage that are kept at most, some 200 bytes each: whole days, the oldest first.
const MOST_USAGE: u32 = 10_000_000;
/// Days whose sums stay however many they are: the usage that is asked for without dates is that of the last 30.
const FEWEST_USAGE_DAYS: u32 = 31;

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
    let kept = Retention::in_force(store).await?;
    let days_ago = |days: u32| now_ms.saturating_sub(u64::from(days) * DAY_MS);
    for _ in 0..STEPS {
        if store.delete_records_before(days_ago(kept.record_days), STEP).await? < u64::from(STEP) {
            break;
        }
    }
    for _ in 0..STEPS {
        let is_over = store.record_bytes().await? > u64::from(kept.record_mebibytes) * MEBIBYTE;
        if !is_over || store.delete_records_before(now_ms, STEP).await? == 0 {
            break;
        }
    }
    store.delete_usage_before(&utc_day(days_ago(kept.usage_days))).await?;
    trim_usage(store, MOST_USAGE, &utc_day(days_ago(FEWEST_USAGE_DAYS))).await?;
    store.purge_answers(now_ms.saturating_sub(KEPT_MS)).await?;
    for _ in 0..STEPS {
        if store.delete_expired_sessions(now_ms, STEP).await? < u64::from(STEP) {
            break;
        }
    }
    // Last, for it refuses to touch a log that was altered.
    let beyond = store.audit_beyond(kept.audit_entries).await?.unwrap_or_default();
    let before = days_ago(kept.audit_days).max(beyond.min(days_ago(FEWEST_AUDIT_DAYS)));
    for _ in 0..AUDIT_STEPS {
        if store.retain_audit(before, now_ms).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Deletes the oldest days of usage until at most `rows` sums are left; none of `first_kept` (`YYYY-MM-DD`) or later.
async fn trim_usage(store: &Store, rows: u32, first_kept: &str) -> Result<(), StoreError> {
    if let Some(day) = store.usage_beyond(rows).await? {
        // The smallest text above the day: the day itself goes too.
        let after = format!("{day}!");
        store.delete_usage_before(first_kept.min(after.as_str())).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fixture, NOW, record};
    use model::RequestId;
    use model::record::RequestRecord;
    use serde_json::{Value, json};
    use store::{KeptAnswer, Note, PageRequest, RecordFilter, Scope, StoredRecord};

    async fn set(store: &Store, value: Value) {
        store.set_setting(&Scope::system(), ("retention", &value), NOW, |_| Ok(())).await.unwrap();
    }

    /// One of many, each of some hundred bytes and ten milliseconds after the one before.
    fn large_record(number: u64) -> RequestRecord {
        let (at, mut chance) = (NOW + number * 10, [0; 10]);
        chance[2..].copy_from_slice(&number.to_be_bytes());
        let request_id = RequestId::mint(at, chance);
        let cause = Some("x".repeat(200).into());
        RequestRecord { request_id, trace_id: request_id.into(), at, cause, ..record(1) }
    }

    async fn records(store: &Store) -> Vec<StoredRecord> {
        let (all, page) = (RecordFilter::default(), PageRequest::default());
        store.search_records(&Scope::system(), &all, &page).await.unwrap().items
    }

    #[tokio::test]
    async fn keeps_records_for_thirty_days_or_as_long_as_is_set() {
        for days in [30, 2] {
            let fixture = Fixture::empty().await;
            let store = &fixture.state.store;
            if days != 30 {
                set(store, json!({"record_days": days})).await;
            }
            store.append_records(&[record(1), record(2)]).await.unwrap();
            let kept_ms = days * DAY_MS;
            for (now_ms, left) in [(NOW + kept_ms, 2), (NOW + kept_ms + 1, 0)] {
                clean(store, now_ms).await.unwrap();
                assert_eq!(records(store).await.len(), left, "{days} days, at {now_ms}");
            }
        }
    }

    #[tokio::test]
    async fn keeps_no_more_records_than_is_set_and_the_newest_of_them() {
        let fixture = Fixture::empty().await;
        let store = &fixture.state.store;
        // Written as if by an earlier version, which knew no smallest size.
        set(store, json!({"record_mebibytes": 1})).await;
        let many: Vec<_> = (0..20_000).map(large_record).collect();
        store.append_records(&many).await.unwrap();
        assert!(store.record_bytes().await.unwrap() > 2 * MEBIBYTE);
        clean(store, NOW + DAY_MS).await.unwrap();
        let left = store.record_bytes().await.unwrap();
        assert!(left <= MEBIBYTE && left > MEBIBYTE / 4, "{left}");
        assert_eq!(records(store).await[0].at, many.last().unwrap().at);
    }

    #[tokio::test]
    async fn keeps_daily_usage_as_long_as_is_set() {
        let fixture = Fixture::empty().await;
        let store = &fixture.state.store;
        store.append_records(&[record(1)]).await.unwrap();
        set(store, json!({"usage_days": 40})).await;
        for (days, kept) in [(40, true), (41, false)] {
            clean(store, NOW + days * DAY_MS).await.unwrap();
            let usage = store.usage_of_day(&Scope::system(), &utc_day(NOW), None).await.unwrap();
            assert_eq!(!usage.is_empty(), kept, "after {days} days");
        }
    }

    #[tokio::test]
    async fn keeps_no_more_sums_of_usage_than_fit_but_the_youngest_always() {
        let fixture = Fixture::empty().await;
        let store = &fixture.state.store;
        let of_day = |day: u64| {
            let (at, mut chance) = (NOW + day * DAY_MS, [0; 10]);
            chance[9] = u8::try_from(day).unwrap();
            let request_id = RequestId::mint(at, chance);
            RequestRecord { request_id, trace_id: request_id.into(), at, ..record(1) }
        };
        store.append_records(&[of_day(0), of_day(1), of_day(2), of_day(3)]).await.unwrap();
        // The most rows, the first day that always stays, and the first day that is left.
        for (rows, first_kept, left) in [(4, 9, 0), (3, 0, 0), (3, 9, 1), (1, 2, 2), (1, 9, 3), (0, 9, 4)] {
            trim_usage(store, rows, &utc_day(NOW + first_kept * DAY_MS)).await.unwrap();
            for day in 0..4 {
                let day_text = utc_day(NOW + day * DAY_MS);
                let usage = store.usage_of_day(&Scope::system(), &day_text, None).await.unwrap();
                assert_eq!(!usage.is_empty(), day >= left, "day {day} of {rows} rows from {first_kept}");
            }
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
        set(store, json!({"audit_days": 50})).await;
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
