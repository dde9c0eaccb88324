//! `GET /api/v1/admin/tenants` and `GET /api/v1/admin/groups`, newest first.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Kind, View};
use crate::answer::{Answer, Json, ok};
use crate::api::body::QueryString;
use crate::api::context::Context;
use crate::api::page::{self, List};

/// Which page.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    cursor: Option<String>,
    limit: Option<u32>,
}

/// Lists them.
///
/// # Errors
/// `INVALID_REQUEST` for a page that is none.
pub async fn handler(
    context: Context,
    kind: Kind,
    QueryString(filter): QueryString<Filter>,
) -> Answer<Json<List<View>>> {
    let page = page::request(filter.cursor, filter.limit)?;
    let found = context.store().list_parties(&context.scope, kind.0, &page).await?;
    Ok(ok(List::of(found, |party| View::of(&context, kind, party))))
}
