//! `GET /admin/keys`: the trial keys, newest first, and what is left of each.

use model::clock::rfc3339;
use model::quota::Unit;
use model::resource::{ApiKey, KeyKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::KeyFilter;
use store::page::MAX_LIMIT;

use super::{Allowance, label, status};
use crate::answer::{Answer, Json, ok};
use crate::api::api_keys::masked;
use crate::api::body::QueryString;
use crate::api::check;
use crate::api::context::Context;
use crate::api::page::{self, List};

/// Which part of the list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    cursor: Option<String>,
    limit: Option<u32>,
}

/// A trial key as it stands.
#[derive(Serialize, JsonSchema)]
pub struct Trial {
    id: String,
    key: String,
    label: Option<String>,
    unit: Option<Unit>,
    quota: Option<i64>,
    used: Option<i64>,
    remaining: Option<i64>,
    expires_at: Option<String>,
    status: &'static str,
    created_at: String,
}

/// Lists the keys.
///
/// # Errors
/// `INVALID_REQUEST` for a page that is not one.
pub async fn handler(
    context: Context,
    QueryString(filter): QueryString<Filter>,
) -> Answer<Json<List<Trial>>> {
    let page = page::request(filter.cursor, filter.limit.or(Some(MAX_LIMIT)))?;
    let wanted = KeyFilter { kind: Some(KeyKind::Trial), ..KeyFilter::default() };
    let found = context.store().list_keys(&context.scope, &wanted, &page).await?;
    Ok(ok(List::of(found, |key| trial(&context, &key))))
}

fn trial(context: &Context, key: &ApiKey) -> Trial {
    let allowance = Allowance::of(context, key);
    let figure = |of: fn(&Allowance) -> i64| allowance.as_ref().map(of);
    Trial {
        id: key.id.to_string(),
        key: masked(key),
        label: label(key).map(str::to_owned),
        unit: allowance.as_ref().map(|allowance| allowance.unit),
        quota: figure(|allowance| allowance.quota),
        used: figure(|allowance| allowance.used),
        remaining: figure(|allowance| allowance.remaining),
        expires_at: check::written(key.expires_at),
        status: status(key, allowance.as_ref(), context.now_ms()),
        created_at: rfc3339(key.created_at),
    }
}
