//! `GET|PUT /api/v1/admin/settings/retention`: how long request records, daily usage and the audit log are kept, and how
//! much of them.

use std::ops::RangeInclusive;

use model::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Scope, Store, StoreError};

use crate::answer::{Answer, Refusal, Tagged, abandon};
use crate::api::body::JsonBody;
use crate::api::context::Context;

/// The setting's name in the store.
const NAME: &str = "retention";

/// How long things are kept. What is over any of these is deleted within an hour, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Retention {
    /// Days after which request records are deleted.
    pub record_days: u32,
    /// MiB of request records that are kept at most.
    pub record_mebibytes: u32,
    /// Days after which the daily sums of usage are deleted.
    pub usage_days: u32,
    /// Days after which entries of the audit log are deleted.
    pub audit_days: u32,
    /// Entries of the audit log that are kept at most; none goes in its first 30 days.
    pub audit_entries: u32,
}

impl Default for Retention {
    /// Records for a month and 4 GiB of them, a million entries of the audit log for two years, sums for ten.
    fn default() -> Self {
        Self {
            record_days: 30,
            record_mebibytes: 4_096,
            usage_days: 3_650,
            audit_days: 730,
            audit_entries: 1_000_000,
        }
    }
}

/// Days for which no entry of the audit log goes, whatever is set: nobody makes their own doing disappear in less.
pub const FEWEST_AUDIT_DAYS: u32 = 30;

/// What is to be changed; the rest stays as it is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Days after which request records are deleted.
    #[schemars(range(min = 1, max = 3650))]
    record_days: Option<u32>,
    /// MiB of request records that are kept at most.
    #[schemars(range(min = 16, max = 1048576))]
    record_mebibytes: Option<u32>,
    /// Days after which the daily sums of usage are deleted.
    #[schemars(range(min = 31, max = 3650))]
    usage_days: Option<u32>,
    /// Days after which entries of the audit log are deleted.
    #[schemars(range(min = 30, max = 3650))]
    audit_days: Option<u32>,
    /// Entries of the audit log that are kept at most; none goes in its first 30 days.
    #[schemars(range(min = 10000, max = 100000000))]
    audit_entries: Option<u32>,
}

impl Change {
    /// What is in force afterwards.
    ///
    /// # Errors
    /// `INVALID_REQUEST` at the field that cannot be.
    fn over(&self, before: Retention) -> Answer<Retention> {
        Ok(Retention {
            record_days: within("record_days", self.record_days, 1..=3_650)?.unwrap_or(before.record_days),
            record_mebibytes: within("record_mebibytes", self.record_mebibytes, 16..=1_048_576)?
                .unwrap_or(before.record_mebibytes),
            // The usage that is asked for without dates is that of the last 30 days.
            usage_days: within("usage_days", self.usage_days, 31..=3_650)?.unwrap_or(before.usage_days),
            audit_days: within("audit_days", self.audit_days, FEWEST_AUDIT_DAYS..=3_650)?
                .unwrap_or(before.audit_days),
            audit_entries: within("audit_entries", self.audit_entries, 10_000..=100_000_000)?
                .unwrap_or(before.audit_entries),
        })
    }
}

fn within(name: &str, value: Option<u32>, range: RangeInclusive<u32>) -> Answer<Option<u32>> {
    match value {
        Some(value) if !range.contains(&value) => {
            let message = format!("`{name}` must be {} to {}.", range.start(), range.end());
            Err(Refusal::invalid(name, message))
        }
        value => Ok(value),
    }
}

impl Retention {
    /// What is set, for the job that deletes.
    ///
    /// # Errors
    /// What the store says.
    pub async fn in_force(store: &Store) -> Result<Self, StoreError> {
        Ok(read(store, &Scope::system()).await?.0)
    }
}

async fn read(store: &Store, scope: &Scope) -> Result<(Retention, u64), StoreError> {
    let Some((value, updated_at)) = store.find_setting(scope, NAME).await? else {
        return Ok((Retention::default(), 0));
    };
    // Only what was checked is ever stored.
    Ok((serde_json::from_value(value).unwrap_or_default(), updated_at))
}

/// Shows how long things are kept.
///
/// # Errors
/// What the store says.
pub async fn show(context: Context) -> Answer<Tagged<Retention>> {
    let (retention, updated_at) = read(context.store(), &context.scope).await?;
    Ok(Tagged(retention, updated_at))
}

/// Sets how long things are kept.
///
/// # Errors
/// `INVALID_REQUEST` at the field; `PRECONDITION_FAILED`.
pub async fn set(context: Context, JsonBody(body): JsonBody<Change>) -> Answer<Tagged<Retention>> {
    let (before, read_at) = read(context.store(), &context.scope).await?;
    let retention = body.over(before)?;
    let (mut stale, value) = (None, json!(retention));
    let set = context.store().set_setting(&context.scope, (NAME, &value), context.now_ms(), |updated_at| {
        context.if_match.check(updated_at).map_err(|why| abandon(&mut stale, why))?;
        // What is not named would fall back to what it was before somebody else's change.
        let changed = "The setting was changed meanwhile; send the request again.";
        let refusal = || Refusal::because(Code::PreconditionFailed, changed);
        if updated_at == read_at { Ok(()) } else { Err(abandon(&mut stale, refusal())) }
    });
    let set = set.await;
    match stale {
        Some(refusal) => Err(refusal),
        None => Ok(Tagged(retention, set?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fixture;

    const PATH: &str = "/api/v1/admin/settings/retention";

    #[tokio::test]
    async fn what_is_not_named_stays_as_it_is() {
        let fixture = Fixture::empty().await;
        let mut expected = json!(Retention::default());
        for (name, value) in [
            ("record_days", 7),
            ("record_mebibytes", 64),
            ("usage_days", 400),
            ("audit_days", 90),
            ("audit_entries", 50_000),
        ] {
            expected[name] = value.into();
            let seen = fixture.put(PATH, &json!({ name: value })).await;
            assert_eq!((seen.status, &seen.json), (200, &expected), "{name}");
        }
    }

    #[tokio::test]
    async fn every_limit_has_bounds_on_both_sides() {
        let fixture = Fixture::empty().await;
        let names: Vec<String> = json!(Retention::default()).as_object().unwrap().keys().cloned().collect();
        assert_eq!(names.len(), 5);
        for name in names {
            for value in [0, u32::MAX] {
                let seen = fixture.put(PATH, &json!({ name.as_str(): value })).await;
                Fixture::refused(&seen, 400, "INVALID_REQUEST");
                let named = format!("`{name}` must be ");
                assert!(seen.json["message"].as_str().unwrap().starts_with(&named), "{}", seen.json);
            }
        }
    }

    #[test]
    fn what_was_set_before_there_were_more_limits_is_still_read() {
        let before: Retention = serde_json::from_value(json!({"audit_days": 50})).unwrap();
        assert_eq!(before, Retention { audit_days: 50, ..Retention::default() });
    }
}
