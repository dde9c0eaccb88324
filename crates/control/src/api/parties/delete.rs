//! `DELETE /api/v1/admin/tenants/{id}` and `DELETE /api/v1/admin/groups/{id}`.

use model::Code;

use super::{Kind, find};
use crate::answer::{Answer, Done, Refusal, done};
use crate::api::body::Name;
use crate::api::context::Context;

/// Deletes it: `204`.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` for `default`, and while something belongs to it.
pub async fn handler(context: Context, kind: Kind, Name(id): Name) -> Answer<Done> {
    context.if_match.check(find(&context, kind, &id).await?.updated_at)?;
    if !context.store().delete_party(&context.scope, kind.0, &id).await? {
        return Err(Refusal::new(Code::NotFound));
    }
    Ok(done())
}
