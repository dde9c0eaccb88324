//! `GET /api/v1/admin/secrets`: every key of the ring, and how much it sealed.

use super::View;
use crate::answer::{Answer, Json, ok};
use crate::api::context::Context;
use crate::api::page::List;

/// Lists the keys. They are few, so the list is whole.
///
/// # Errors
/// What the store says.
pub async fn handler(context: Context) -> Answer<Json<List<View>>> {
    let keys = context.store().secrets().await?;
    Ok(ok(List::whole(keys.into_iter().map(View::from).collect())))
}
