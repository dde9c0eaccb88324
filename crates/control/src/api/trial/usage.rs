//! `GET /admin/usage?day=&key=`: what the trial keys used on one UTC day.

use std::collections::HashMap;

use model::clock::{rfc3339, utc_day};
use model::resource::{ApiKey, KeyKind};
use model::{ResourceId, key_text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::page::MAX_LIMIT;
use store::{KeyDay, KeyFilter, PageRequest};

use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::api_keys::masked;
use crate::api::body::QueryString;
use crate::api::context::Context;
use crate::api::usage::check_day;

/// Which day, and of which key: its id, or its text.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    day: Option<String>,
    key: Option<String>,
}

/// The answer.
#[derive(Serialize, JsonSchema)]
pub struct Usage {
    day: String,
    mode: &'static str,
    items: Vec<Item>,
}

/// A key that was used.
#[derive(Serialize, JsonSchema)]
pub struct Item {
    key: String,
    id: ResourceId,
    label: String,
    req_count: u64,
    tokens: u64,
    updated_at: String,
}

/// Tells what was used.
///
/// # Errors
/// `INVALID_REQUEST` for what is not a day or not a key.
pub async fn handler(context: Context, QueryString(filter): QueryString<Filter>) -> Answer<Json<Usage>> {
    let day = match filter.day.filter(|day| !day.is_empty()) {
        Some(day) => check_day("day", day)?,
        None => utc_day(context.now_ms()),
    };
    let asked = filter.key.filter(|key| !key.is_empty()).map(|text| key_id(&text)).transpose()?;
    let keys = trial_keys(&context).await?;
    let days = context.store().usage_of_day(&context.scope, &day, asked.as_ref()).await?;
    let items = days.into_iter().filter_map(|used| Some(item(keys.get(&used.key_id)?, &used))).collect();
    Ok(ok(Usage { day, mode: context.store().engine(), items }))
}

/// The id of a key, from itself, from the key's text, or from the text as lists mask it.
fn key_id(text: &str) -> Answer<ResourceId> {
    let masked = || ResourceId::parse(text.strip_prefix("trial_")?.split('_').next()?);
    let parsed = || key_text::parse(text).map(|parsed| parsed.id);
    let id = ResourceId::parse(text).or_else(parsed).or_else(masked);
    id.ok_or_else(|| Refusal::invalid("key", "`key` is neither the id nor the text of a trial key."))
}

/// Every trial key of the tenant.
async fn trial_keys(context: &Context) -> Answer<HashMap<ResourceId, ApiKey>> {
    let wanted = KeyFilter { kind: Some(KeyKind::Trial), ..KeyFilter::default() };
    let mut keys = HashMap::new();
    let mut page = PageRequest::first(MAX_LIMIT);
    loop {
        let found = context.store().list_keys(&context.scope, &wanted, &page).await?;
        keys.extend(found.items.into_iter().map(|key| (key.id.clone(), key)));
        match found.next {
            Some(cursor) => page.after = Some(cursor),
            None => return Ok(keys),
        }
    }
}

fn item(key: &ApiKey, used: &KeyDay) -> Item {
    Item {
        key: masked(key),
        id: key.id.clone(),
        label: key.name.to_string(),
        req_count: used.requests,
        tokens: used.tokens,
        updated_at: rfc3339(used.updated_at),
    }
}
