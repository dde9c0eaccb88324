//! `GET /api/v1/admin/users`: everybody in a tenant, newest first.

use schemars::JsonSchema;
use serde::Deserialize;

use super::View;
use crate::answer::{Answer, Json, ok};
use crate::api::body::QueryString;
use crate::api::context::Context;
use crate::api::page::{self, List};

/// Which page.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    tenant_id: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// Lists the users.
///
/// # Errors
/// `INVALID_REQUEST` for a page that is none.
pub async fn handler(context: Context, QueryString(filter): QueryString<Filter>) -> Answer<Json<List<View>>> {
    let page = page::request(filter.cursor, filter.limit)?;
    let scope = context.scope_asked(filter.tenant_id.as_deref())?;
    let found = context.store().list_users(&scope, &page).await?;
    Ok(ok(List::of(found, |user| View::of(&context, user))))
}
