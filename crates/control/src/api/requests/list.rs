//! `GET /api/v1/admin/requests`: searches the request records, newest first.

use model::clock::rfc3339;
use model::{Code, ResourceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::{Page, RecordFilter, Scope, StoredRecord};

use super::UsageView;
use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::body::QueryString;
use crate::api::context::Context;
use crate::api::page::{self, List};
use crate::api::{api_keys, check, parties};

/// Which requests; all that is given must hold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    tenant_id: Option<String>,
    request_id: Option<String>,
    trace_id: Option<String>,
    key_id: Option<String>,
    model: Option<String>,
    status: Option<u16>,
    code: Option<String>,
    from: Option<String>,
    to: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// A request as answers show it. Money is a decimal string, `null` when the model had no price.
#[derive(Serialize, JsonSchema)]
pub struct View {
    request_id: String,
    trace_id: String,
    at: String,
    status: u16,
    code: Option<String>,
    /// Who ended it early: `caller`, who closed the connection, or `cancel`, a request to cancel it.
    cancelled_by: Option<&'static str>,
    model: String,
    upstream: Option<String>,
    key_id: Option<ResourceId>,
    user_id: Option<ResourceId>,
    usage: UsageView,
    cost: Option<String>,
    latency_ms: u32,
    first_byte_ms: Option<u32>,
    attempts: Value,
    candidates: Value,
    checks: Value,
    /// The rest of the story: route, surface, bytes, own time, configuration revision and so on.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl From<StoredRecord> for View {
    fn from(record: StoredRecord) -> Self {
        let mut rest = match record.detail {
            Value::Object(rest) => rest,
            _ => Map::new(),
        };
        let mut list = |name| rest.remove(name).unwrap_or_else(|| Value::Array(Vec::new()));
        let (attempts, candidates, checks) = (list("attempts"), list("candidates"), list("checks"));
        let cancelled_by = cancelled_by(record.code.as_deref(), rest.contains_key("cause"));
        Self {
            cancelled_by,
            request_id: record.request_id,
            trace_id: record.trace_id,
            at: rfc3339(record.at),
            status: record.status,
            code: record.code,
            model: record.model,
            upstream: record.upstream,
            key_id: record.key_id,
            user_id: record.user_id,
            usage: record.usage.into(),
            cost: record.cost.map(|cost| cost.to_string()),
            latency_ms: record.latency_ms,
            first_byte_ms: record.first_byte_ms,
            attempts,
            candidates,
            checks,
            rest,
        }
    }
}

/// A caller who leaves says nothing; whoever cancels a request has it told so.
fn cancelled_by(code: Option<&str>, is_told: bool) -> Option<&'static str> {
    let is_cancelled = code == Some(Code::ClientClosed.name());
    is_cancelled.then_some(if is_told { "cancel" } else { "caller" })
}

/// Searches the records. Of what is rare a page may have few items or none and a `next_cursor` all the same: one page looks
/// through some 30,000 records and no more.
///
/// # Errors
/// `INVALID_REQUEST` names the filter that is not one.
pub async fn handler(
    context: Context,
    QueryString(mut filter): QueryString<Filter>,
) -> Answer<Json<List<View>>> {
    let page = page::request(filter.cursor.take(), filter.limit)?;
    let tenant = filter.tenant_id.take();
    let wanted = checked(filter)?;
    let mut found = Page { items: Vec::new(), next: None };
    for scope in scopes(&context, tenant.as_deref(), &wanted).await? {
        found = context.store().search_records(&scope, &wanted, &page).await?;
        if !found.items.is_empty() {
            break;
        }
    }
    Ok(ok(List::of(found, View::from)))
}

/// In which tenants to look until something is found: the one that is named, else that of the key, else
/// wherever the request may be.
async fn scopes(context: &Context, tenant: Option<&str>, wanted: &RecordFilter) -> Answer<Vec<Scope>> {
    let is_named = wanted.request_id.is_some() || wanted.trace_id.is_some();
    Ok(match (tenant, &wanted.key_id) {
        (None, Some(key)) => vec![api_keys::scope_of(context, key).await?],
        (None, None) if is_named => parties::all_scopes(context).await?,
        _ => vec![context.scope_asked(tenant)?],
    })
}

fn checked(filter: Filter) -> Answer<RecordFilter> {
    if let Some(code) = filter.code.as_deref().filter(|code| Code::named(code).is_none()) {
        return Err(Refusal::invalid("code", format!("`code`: {code:?} is not a code.")));
    }
    Ok(RecordFilter {
        request_id: filter.request_id.map(|id| check::request_id("request_id", id)).transpose()?,
        trace_id: filter.trace_id.map(|id| check::request_id("trace_id", id)).transpose()?,
        key_id: filter.key_id.map(|id| check::id("key_id", &id)).transpose()?,
        model: filter.model,
        status: filter.status,
        code: filter.code,
        from: filter.from.map(|text| check::time("from", &text)).transpose()?,
        to: filter.to.map(|text| check::time("to", &text)).transpose()?,
    })
}
