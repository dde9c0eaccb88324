//! `GET /api/v1/admin/circuits`: every circuit that is known, with its state.

use axum::response::IntoResponse;

use crate::answer::ok;
use crate::api::context::Context;
use crate::api::page::List;

/// Lists the circuits. They are few (upstreams × models), so the list is whole.
pub async fn handler(context: Context) -> impl IntoResponse {
    ok(List::whole(context.state().accounts.circuits()))
}
