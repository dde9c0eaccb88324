//! `GET /api/v1/admin/tenants/{id}` and `GET /api/v1/admin/groups/{id}`.

use axum::response::IntoResponse;
use model::Code;

use super::{Kind, View};
use crate::answer::{Answer, Refusal, ok};
use crate::api::body::Name;
use crate::api::context::Context;

/// Shows it.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, kind: Kind, Name(id): Name) -> Answer<impl IntoResponse> {
    let found = context.store().find_party(&context.scope, kind.0, &id).await?;
    let party = found.ok_or_else(|| Refusal::new(Code::NotFound))?;
    Ok(ok(View::of(&context, kind, party)))
}
