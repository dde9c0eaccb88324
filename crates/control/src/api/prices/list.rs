//! `GET /api/v1/admin/prices`: the overrides, and with `search` what the catalogue knows by that name.

use ledger::Catalogue;
use schemars::JsonSchema;
use serde::Deserialize;

use super::View;
use crate::answer::{Answer, Json, ok};
use crate::api::body::QueryString;
use crate::api::context::Context;
use crate::api::page::List;

/// Which prices.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    search: Option<String>,
}

/// Entries of the catalogue in one answer; a narrower search shows the rest.
const MOST: usize = 200;

/// Lists the prices.
///
/// # Errors
/// What the store says.
pub async fn handler(context: Context, QueryString(filter): QueryString<Filter>) -> Answer<Json<List<View>>> {
    let overrides = context.store().list_prices(&context.scope).await?;
    let wanted = |model: &str| filter.search.as_deref().is_none_or(|text| model.contains(text));
    let overrides = overrides.into_iter().filter(|price| wanted(&price.model)).map(View::from);
    let entries = Catalogue::builtin().entries().iter();
    let listed = entries.filter(|entry| filter.search.is_some() && wanted(&entry.model));
    Ok(ok(List::whole(overrides.chain(listed.take(MOST).map(View::from)).collect())))
}
