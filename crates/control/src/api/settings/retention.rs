//! `GET|PUT /api/v1/admin/settings/retention`: how long the audit log is kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Scope, Store, StoreError};

use crate::answer::{Answer, Refusal, Tagged, abandon};
use crate::api::body::JsonBody;
use crate::api::context::Context;

/// The setting's name in the store.
const NAME: &str = "retention";
/// Nobody makes their own doing disappear within a month.
const FEWEST_DAYS: u32 = 30;
/// Ten years: longer than anybody must keep such a log.
const MOST_DAYS: u32 = 3_650;

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Days after which entries of the audit log are deleted.
    #[schemars(range(min = 30, max = 3650))]
    pub audit_days: u32,
}

impl Default for Retention {
    /// Two years.
    fn default() -> Self {
        Self { audit_days: 730 }
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
/// `INVALID_REQUEST` at `audit_days`; `PRECONDITION_FAILED`.
pub async fn set(context: Context, JsonBody(body): JsonBody<Retention>) -> Answer<Tagged<Retention>> {
    if !(FEWEST_DAYS..=MOST_DAYS).contains(&body.audit_days) {
        let message = format!("`audit_days` must be {FEWEST_DAYS} to {MOST_DAYS}.");
        return Err(Refusal::invalid("audit_days", message));
    }
    let (mut stale, value) = (None, json!(body));
    let set = context.store().set_setting(&context.scope, (NAME, &value), context.now_ms(), |updated_at| {
        context.if_match.check(updated_at).map_err(|why| abandon(&mut stale, why))
    });
    let set = set.await;
    match stale {
        Some(refusal) => Err(refusal),
        None => Ok(Tagged(body, set?)),
    }
}
