//! `GET /api/v1/admin/accounts`: the accounts, newest first.

use schemars::JsonSchema;
use serde::Deserialize;

use super::View;
use crate::answer::{Answer, Json, ok};
use crate::api::body::QueryString;
use crate::api::context::Context;
use crate::api::page::{self, List};

/// Which accounts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    provider: Option<String>,
    enabled: Option<bool>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// Lists the accounts.
///
/// # Errors
/// `INVALID_REQUEST` for a page that is none.
pub async fn handler(context: Context, QueryString(filter): QueryString<Filter>) -> Answer<Json<List<View>>> {
    let page = page::request(filter.cursor, filter.limit)?;
    let wanted = store::AccountFilter { provider: filter.provider, enabled: filter.enabled };
    let found = context.store().list_accounts(&context.scope, &wanted, &page).await?;
    Ok(ok(List::of(found, |account| View::of(&context, account))))
}
