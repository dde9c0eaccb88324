//! `GET /api/v1/admin/circuits`: every circuit that is known, with its state.

use crate::answer::{Json, ok};
use crate::api::context::Context;
use crate::api::page::List;
use crate::state::Circuit;

/// Lists the circuits. They are few (upstreams × models), so the list is whole.
pub async fn handler(context: Context) -> Json<List<Circuit>> {
    ok(List::whole(context.state().accounts.circuits()))
}
