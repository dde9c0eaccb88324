//! Accounts that the environment alone defines: `OPENAI_API_KEY` and `DEEPSEEK_API_KEY`, each with an
//! optional `…_BASE_URL`. They are kept like any other account, under a name of their own, and follow the
//! environment at each start.

use model::clock::EpochMs;
use model::resource::Account;
use model::resource::account::{DEFAULT_PRIORITY, DEFAULT_WEIGHT};
use model::resource::key::{DEFAULT_GROUP, DEFAULT_TENANT};
use model::{Clock, ResourceId, Secret};
use store::page::MAX_LIMIT;
use store::{AccountFilter, PageRequest, Scope, Store, StoreError};

use crate::config::ProviderKey;
use crate::entropy::random_bytes;
use crate::problem::Problem;
use crate::startup;

/// Makes sure that each provider of the environment has its account.
///
/// # Errors
/// The store refuses.
pub async fn prepare(store: &Store, keys: [&ProviderKey; 2], clock: &dyn Clock) -> Result<(), Problem> {
    for key in keys {
        let Some(credential) = &key.api_key else {
            if key.base_url.is_some() {
                tracing::warn!(provider = key.provider, "a base URL is set, but no API key for it");
            }
            continue;
        };
        let set = set(store, key, credential, clock.now_ms());
        set.await.map_err(|error| startup::store_problem(&error))?;
    }
    Ok(())
}

async fn set(
    store: &Store,
    key: &ProviderKey,
    credential: &Secret<String>,
    now_ms: EpochMs,
) -> Result<(), StoreError> {
    let scope = Scope::system();
    let name = format!("env-{}", key.provider);
    let Some(known) = find(store, &scope, (key.provider, &name)).await? else {
        return store.insert_account(&scope, &account(key, name, credential, now_ms)).await;
    };
    let same = known.base_url == key.base_url
        && known.credential.as_ref().is_some_and(|held| held.expose() == credential.expose());
    if same {
        return Ok(());
    }
    let change = |account: &mut Account| {
        account.base_url.clone_from(&key.base_url);
        account.allow_private = key.base_url.is_some();
        account.credential = Some(credential.clone());
        Ok(())
    };
    store.update_account(&scope, &known.id, now_ms, change).await.map(|_| ())
}

async fn find(
    store: &Store,
    scope: &Scope,
    (provider, name): (&str, &str),
) -> Result<Option<Account>, StoreError> {
    let filter = AccountFilter { provider: Some(provider.to_owned()), ..AccountFilter::default() };
    let mut page = PageRequest::first(MAX_LIMIT);
    loop {
        let accounts = store.list_accounts(scope, &filter, &page).await?;
        if let Some(account) = accounts.items.into_iter().find(|account| account.name == name) {
            return Ok(Some(account));
        }
        match accounts.next {
            Some(next) => page.after = Some(next),
            None => return Ok(None),
        }
    }
}

fn account(key: &ProviderKey, name: String, credential: &Secret<String>, now_ms: EpochMs) -> Account {
    Account {
        id: ResourceId::mint(now_ms, random_bytes()),
        name,
        provider: key.provider.to_owned(),
        base_url: key.base_url.clone(),
        api_version: None,
        family: None,
        credential: Some(credential.clone()),
        models: Vec::new(),
        priority: DEFAULT_PRIORITY,
        weight: DEFAULT_WEIGHT,
        concurrency: None,
        // Whoever starts the process chose the address; it may be on this machine.
        allow_private: key.base_url.is_some(),
        enabled: true,
        tenant_id: DEFAULT_TENANT.to_owned(),
        group_id: DEFAULT_GROUP.to_owned(),
        created_at: now_ms,
        updated_at: now_ms,
    }
}
