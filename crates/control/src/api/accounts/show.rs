//! `GET /api/v1/admin/accounts/{id}`: one account.

use super::{View, find};
use crate::answer::{Answer, Json, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Shows the account.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Json<View>> {
    let account = find(&context, &id).await?;
    Ok(ok(View::of(&context, account)))
}
