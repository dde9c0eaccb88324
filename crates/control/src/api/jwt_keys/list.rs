//! `GET /api/v1/admin/jwt-keys`: the keys, oldest first.

use super::View;
use crate::answer::{Json, ok};
use crate::api::context::Context;
use crate::api::page::List;

/// Lists the keys. They are as many as rotations nobody cleaned up after, so the list is whole.
pub async fn handler(context: Context) -> Json<List<View>> {
    let keys = &context.state().jwt_keys;
    let algorithm = keys.algorithm().name();
    let items = keys.list().into_iter().map(|key| View::of(key, algorithm)).collect();
    std::future::ready(ok(List::whole(items))).await
}
