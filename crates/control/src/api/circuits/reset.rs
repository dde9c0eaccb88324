//! `POST /api/v1/admin/circuits/{id}/reset`.

use axum::response::IntoResponse;
use model::Code;

use crate::answer::{Answer, Refusal, done};
use crate::api::body::Name;
use crate::api::context::Context;

/// Closes a circuit.
///
/// # Errors
/// `NOT_FOUND` when there is none of that name.
pub async fn handler(context: Context, Name(id): Name) -> Answer<impl IntoResponse> {
    if !context.state().accounts.reset_circuit(&id) {
        return Err(Refusal::new(Code::NotFound));
    }
    context.audit("circuit.reset", &id);
    Ok(done())
}
