//! `GET /api/v1/admin/api-keys`: the keys, newest first; a plain user sees their own.

use model::resource::KeyKind;
use model::resource::key::KeyStatus;
use schemars::JsonSchema;
use serde::Deserialize;
use store::KeyFilter;

use super::View;
use crate::answer::{Answer, Json, ok};
use crate::api::body::QueryString;
use crate::api::check;
use crate::api::context::Context;
use crate::api::page::{self, List};

/// Which keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    tenant_id: Option<String>,
    user_id: Option<String>,
    status: Option<KeyStatus>,
    kind: Option<KeyKind>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// Lists the keys.
///
/// # Errors
/// `INVALID_REQUEST` for a filter that is not one.
pub async fn handler(context: Context, QueryString(filter): QueryString<Filter>) -> Answer<Json<List<View>>> {
    let asked = filter.user_id.map(|id| check::id("user_id", &id)).transpose()?;
    let user_id = context.only_of().or(asked);
    let page = page::request(filter.cursor, filter.limit)?;
    let scope = context.scope_asked(filter.tenant_id.as_deref())?;
    let wanted = KeyFilter { status: filter.status, user_id, kind: filter.kind };
    let found = context.store().list_keys(&scope, &wanted, &page).await?;
    Ok(ok(List::of(found, View::from)))
}
