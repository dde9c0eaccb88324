//! `GET /api/v1/admin/tenants/{id}` and `GET /api/v1/admin/groups/{id}`.

use super::{Kind, View, find};
use crate::answer::{Answer, Json, ok};
use crate::api::body::Name;
use crate::api::context::Context;

/// Shows it.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, kind: Kind, Name(id): Name) -> Answer<Json<View>> {
    let party = find(&context, kind, &id).await?;
    Ok(ok(View::of(&context, kind, party)))
}
