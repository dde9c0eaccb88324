//! `POST /api/v1/admin/api-keys/{id}/rotate`: new secrets for the same id, shown in this answer only.

use model::resource::Signing;
use schemars::JsonSchema;
use serde::Deserialize;

use super::secret::{self, NewSecret, Revealed};
use super::{change, find};
use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::body::{Id, QueryString};
use crate::api::context::Context;

/// The longest grace period: a year.
const MOST_GRACE_HOURS: u32 = 8_784;

/// How to rotate.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct How {
    grace_period_hours: Option<u32>,
}

/// Rotates the secrets: the bearer's, and the signing secret where the key signs. The old ones work until
/// the grace period ends, by default not at all. Whatever was frozen is thawed.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` for a revoked key; `INVALID_REQUEST` for too long a grace period.
pub async fn handler(
    context: Context,
    Id(id): Id,
    QueryString(how): QueryString<How>,
) -> Answer<Json<Revealed>> {
    let now = context.now_ms();
    let hours = how.grace_period_hours.unwrap_or(0);
    if hours > MOST_GRACE_HOURS {
        let message = format!("`grace_period_hours`: at most {MOST_GRACE_HOURS} are possible.");
        return Err(Refusal::invalid("grace_period_hours", message));
    }
    let until = (hours > 0).then(|| now + u64::from(hours) * 3_600_000);
    let kind = find(&context, &id).await?.kind;
    let fresh = NewSecret::mint(&context, kind, &id)?;
    let signing = secret::mint_signing(&context);
    let key = change(&context, &id, |key| {
        key.access.retire_bearer(key.secret_hmac, until, now);
        key.secret_hmac = fresh.hmac;
        key.hint = fresh.hint.as_str().into();
        if key.access.signing != Signing::None {
            key.access.renew_signing(signing, until, now);
        }
        Ok(())
    })
    .await?;
    context.state().freezes.thaw(&id);
    Ok(ok(fresh.reveal(&context, key)))
}
