//! `DELETE /admin/keys/{id}`: ends a trial key for good. Doing it twice is no error.

use model::Code;
use model::resource::KeyKind;
use model::resource::key::KeyStatus;

use crate::answer::{Answer, Done, Refusal, done};
use crate::api::body::Id;
use crate::api::context::Context;

/// Revokes the key: `204`.
///
/// # Errors
/// `NOT_FOUND`, also for a key that is no trial key.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Done> {
    let missing = || Refusal::new(Code::NotFound);
    let key = context.store().find_key(&context.scope, &id).await?;
    let key = key.filter(|key| key.kind == KeyKind::Trial).ok_or_else(missing)?;
    if key.status != KeyStatus::Revoked {
        let changed = context.store().update_key(&context.scope, &id, context.now_ms(), |key| {
            key.status = KeyStatus::Revoked;
            Ok(())
        });
        changed.await?.ok_or_else(missing)?;
    }
    Ok(done())
}
