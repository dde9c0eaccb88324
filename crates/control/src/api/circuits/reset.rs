//! `POST /api/v1/admin/circuits/{id}/reset`.

use model::Code;

use crate::answer::{Answer, Done, Refusal, done};
use crate::api::body::Name;
use crate::api::context::Context;

/// Closes a circuit.
///
/// # Errors
/// `NOT_FOUND` when there is none of that name.
pub async fn handler(context: Context, Name(id): Name) -> Answer<Done> {
    if !context.state().accounts.reset_circuit(&id) {
        return Err(Refusal::new(Code::NotFound));
    }
    Ok(done())
}
