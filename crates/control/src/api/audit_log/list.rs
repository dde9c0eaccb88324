//! `GET /api/v1/admin/audit-log`: the entries, newest first.

use model::clock::rfc3339;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{AuditEntry, AuditFilter};

use crate::answer::{Answer, Json, ok};
use crate::api::body::QueryString;
use crate::api::check;
use crate::api::context::Context;
use crate::api::page::{self, List};

/// Which entries; all that is given must hold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    tenant_id: Option<String>,
    /// `user:<id>`, `admin-token`, `command-line` or `system`.
    actor: Option<String>,
    /// Such as `api-key.revoke`.
    verb: Option<String>,
    /// The id or name of what was changed.
    object: Option<String>,
    request_id: Option<String>,
    /// From this time on.
    from: Option<String>,
    /// Before this time.
    to: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// An entry as answers show it.
#[derive(Serialize, JsonSchema)]
pub struct View {
    /// Its place in the log.
    seq: u64,
    at: String,
    tenant_id: String,
    actor: String,
    verb: String,
    object: String,
    /// The names of the fields that were given; never their values.
    fields: Vec<String>,
    request_id: Option<String>,
    source_ip: Option<String>,
    /// What chains it to the entry before.
    hash: String,
}

impl From<AuditEntry> for View {
    fn from(entry: AuditEntry) -> Self {
        Self {
            seq: entry.seq,
            at: rfc3339(entry.at),
            tenant_id: entry.tenant_id,
            actor: entry.actor,
            verb: entry.verb,
            object: entry.object,
            fields: entry.fields,
            request_id: entry.request_id,
            source_ip: entry.source,
            hash: entry.mac,
        }
    }
}

/// Lists the entries.
///
/// # Errors
/// `INVALID_REQUEST` names the filter that is not one.
pub async fn handler(context: Context, QueryString(filter): QueryString<Filter>) -> Answer<Json<List<View>>> {
    let page = page::request(filter.cursor, filter.limit)?;
    let all = filter.tenant_id.is_none() && context.sees_all_tenants();
    let scope = context.scope_asked(filter.tenant_id.as_deref())?;
    let wanted = AuditFilter {
        actor: filter.actor,
        verb: filter.verb,
        object: filter.object,
        request_id: filter.request_id.map(|id| check::request_id("request_id", id)).transpose()?,
        from: filter.from.map(|text| check::time("from", &text)).transpose()?,
        to: filter.to.map(|text| check::time("to", &text)).transpose()?,
    };
    let found = context.store().list_audit(&scope, all, &wanted, &page).await?;
    Ok(ok(List::of(found, View::from)))
}
