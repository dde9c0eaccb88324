//! Uses of the static administration token that come by another way than administration.

use std::net::IpAddr;

use model::RequestId;
use model::clock::EpochMs;
use model::resource::key::DEFAULT_TENANT;
use store::{Note, Scope};

use crate::api::permission::Actor;
use crate::state::ControlState;

/// Writes the use into the audit log: `route` is what was asked for, by the request of this id, from there.
pub async fn note_use(
    state: &ControlState,
    (request_id, client): (RequestId, Option<IpAddr>),
    route: &str,
    at: EpochMs,
) {
    let note = Note::new("admin-token.use", at);
    note.object(route);
    note.request(request_id.to_string(), client.map(|client| client.to_string()));
    let scope = Scope::new(DEFAULT_TENANT, &Actor::AdminToken.name()).noted(&note);
    if let Err(error) = state.store.write_audit(&scope).await {
        tracing::error!(%request_id, cause = %error, "a use of the administration token is not in the audit log");
    }
}
