//! `GET /api/v1/admin/models`: every public model name and the accounts that offer it.

use std::collections::BTreeMap;

use model::ResourceId;
use model::resource::Account;
use schemars::JsonSchema;
use serde::Serialize;
use store::{AccountFilter, PageRequest};

use crate::answer::{Answer, Json, ok};
use crate::api::context::Context;
use crate::api::page::List;

/// A model as answers show it.
#[derive(Serialize, JsonSchema)]
pub struct View {
    id: String,
    accounts: Vec<Offer>,
}

/// An account that offers it.
#[derive(Serialize, JsonSchema)]
pub struct Offer {
    id: ResourceId,
    name: String,
    provider: String,
    /// The name under which the provider is asked.
    upstream: String,
    enabled: bool,
}

/// Lists the models by name. As many as all accounts offer, so the list is whole.
///
/// # Errors
/// What the store says.
pub async fn handler(context: Context) -> Answer<Json<List<View>>> {
    let mut models: BTreeMap<String, Vec<Offer>> = BTreeMap::new();
    let mut page = PageRequest::first(store::page::MAX_LIMIT);
    loop {
        let found = context.store().list_accounts(&context.scope, &AccountFilter::default(), &page).await?;
        for account in &found.items {
            for (public, upstream) in offered(account) {
                models.entry(public).or_default().push(offer(account, upstream));
            }
        }
        page.after = found.next;
        if page.after.is_none() {
            break;
        }
    }
    let items = models.into_iter().map(|(id, accounts)| View { id, accounts }).collect();
    Ok(ok(List::whole(items)))
}

/// What an account offers: its own list, else its preset's.
fn offered(account: &Account) -> Vec<(String, String)> {
    if !account.models.is_empty() {
        let pair =
            |entry: &model::resource::ModelEntry| (entry.public().to_owned(), entry.upstream().to_owned());
        return account.models.iter().map(pair).collect();
    }
    let preset = llm::provider::preset(&account.provider);
    let names = preset.map(|preset| preset.models.as_slice()).unwrap_or_default();
    names.iter().map(|name| (name.clone(), name.clone())).collect()
}

fn offer(account: &Account, upstream: String) -> Offer {
    Offer {
        id: account.id.clone(),
        name: account.name.clone(),
        provider: account.provider.clone(),
        upstream,
        enabled: account.enabled,
    }
}
