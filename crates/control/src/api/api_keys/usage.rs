//! `GET /api/v1/admin/api-keys/{id}/usage`: what a key used, by day and model.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{find, scope_of};
use crate::answer::{Answer, Json, ok};
use crate::api::body::{Id, QueryString};
use crate::api::context::Context;
use crate::api::page::List;
use crate::api::usage::{Day, Days, daily};

/// Which days: the last 30 unless given, both ends included.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    start_date: Option<String>,
    end_date: Option<String>,
}

/// Shows the usage.
///
/// # Errors
/// `NOT_FOUND`; `INVALID_REQUEST` for dates that are none, or in the wrong order.
pub async fn handler(
    context: Context,
    Id(id): Id,
    QueryString(range): QueryString<Range>,
) -> Answer<Json<List<Day>>> {
    find(&context, &id).await?;
    let days = Days::asked(&context, range.start_date, range.end_date)?;
    Ok(ok(List::whole(daily(&context, &scope_of(&context, &id).await?, &id, &days).await?)))
}
