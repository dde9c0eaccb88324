//! Accounts at model providers: one credential each.

pub mod create;
pub mod delete;
pub mod disable;
pub mod enable;
pub mod list;
mod plan;
pub mod reset;
pub mod show;
pub mod test;
pub mod update;

use model::clock::rfc3339;
use model::resource::{Account, ModelEntry};
use model::{Code, ResourceId};
use schemars::JsonSchema;
use serde::Serialize;
use store::accounts::credential_hint;

use super::context::Context;
use crate::answer::{Answer, Refusal, abandon};
use crate::state::AccountBlock;

/// An account as answers show it: whether it has a credential, never the credential.
#[derive(Serialize, JsonSchema)]
pub struct View {
    id: ResourceId,
    name: String,
    provider: String,
    base_url: Option<String>,
    api_version: Option<String>,
    has_credential: bool,
    /// The last characters of the credential, to recognise it by.
    credential_hint: Option<String>,
    models: Vec<ModelEntry>,
    priority: u32,
    weight: u32,
    concurrency: Option<u32>,
    allow_private: bool,
    enabled: bool,
    tenant_id: String,
    group_id: String,
    /// The label by which a path asks for such accounts alone.
    family: Option<String>,
    /// Why it, or one of its models, is not called now, as the process that answers has it.
    blocks: Vec<BlockView>,
    created_at: String,
    updated_at: String,
}

/// A block of an account.
#[derive(Serialize, JsonSchema)]
pub struct BlockView {
    /// The one model that is blocked; `null` for the whole account.
    model: Option<String>,
    /// What the account answered: `rate_limited`, `overloaded`, `failing`, `credential_refused` or `model_not_found`.
    reason: String,
    /// When it ends; `null` when a probe finds that the account works, or its credential or address changes.
    until: Option<String>,
}

impl From<AccountBlock> for BlockView {
    fn from(block: AccountBlock) -> Self {
        Self { model: block.model, reason: block.reason.to_owned(), until: block.until.map(rfc3339) }
    }
}

impl View {
    fn of(context: &Context, account: Account) -> Self {
        Self {
            blocks: context.state().accounts.blocks(&account.id).into_iter().map(Into::into).collect(),
            has_credential: account.credential.is_some(),
            credential_hint: credential_hint(&account),
            id: account.id,
            name: account.name,
            provider: account.provider,
            base_url: account.base_url,
            api_version: account.api_version,
            models: account.models,
            priority: account.priority,
            weight: account.weight,
            concurrency: account.concurrency,
            allow_private: account.allow_private,
            enabled: account.enabled,
            tenant_id: account.tenant_id,
            group_id: account.group_id,
            family: account.family,
            created_at: rfc3339(account.created_at),
            updated_at: rfc3339(account.updated_at),
        }
    }
}

/// The account `id`, if there is one.
async fn find(context: &Context, id: &ResourceId) -> Answer<Account> {
    let account = context.store().find_account(&context.scope, id).await?;
    account.ok_or_else(|| Refusal::new(Code::NotFound))
}

/// Changes an account, unless the caller has seen another state of it.
async fn change(
    context: &Context,
    id: &ResourceId,
    edit: impl FnOnce(&mut Account) -> Answer<()> + Send,
) -> Answer<Account> {
    let mut refusal = None;
    let changed = context
        .store()
        .update_account(&context.scope, id, context.now_ms(), |account| {
            let may = context.if_match.check(account.updated_at).and_then(|()| edit(account));
            may.map_err(|why| abandon(&mut refusal, why))
        })
        .await;
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let account = changed?.ok_or_else(|| Refusal::new(Code::NotFound))?;
    Ok(account)
}
