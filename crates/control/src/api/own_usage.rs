//! `GET /v1/usage`: tells the owner of a key what is left and what was used, also when nothing is left.

use model::quota::{OwnerKind, Quota};
use model::resource::key::KeyStatus;
use model::resource::{ApiKey, User};
use model::{Code, NanoUsd};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use store::{PartyKind, Scope};

use super::context::Context;
use super::permission::Actor;
use super::standing::{Left, Window, owner};
use super::usage::{Day, Days, daily};
use crate::answer::{Answer, Json, Refusal, ok};

/// What `remaining` says when no money limits the key.
const UNLIMITED: &str = "-1";

/// The answer (access.md §5).
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Own {
    is_valid: bool,
    plan_name: Option<String>,
    /// US dollars, as a number because desktop switchers calculate with it: the smallest of the balance
    /// and of what is left of each cost quota, −1 when there are none; 0 also when a quota of requests or tokens
    /// has nothing left. How much of those is left stands in `windows` only.
    #[schemars(with = "f64")]
    remaining: Box<RawValue>,
    unit: &'static str,
    /// What the wallet of the key's user holds, as a decimal string; only with a wallet.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<NanoUsd>,
    /// The quotas of the key, its user, tenant and group.
    windows: Vec<Window>,
    daily: Vec<Day>,
}

/// Tells what is left.
///
/// # Errors
/// `INVALID_API_KEY` when the key is gone.
pub async fn handler(context: Context) -> Answer<Json<Own>> {
    let gone = || Refusal::new(Code::InvalidApiKey);
    let Actor::Key(id) = &context.actor else {
        return Err(gone());
    };
    let tenant = context.store().tenant_of_key(id).await?.ok_or_else(gone)?;
    let scope = context.scope_in(&tenant);
    let key = context.store().find_key(&scope, id).await?.ok_or_else(gone)?;
    let user = match &key.user_id {
        Some(user) => context.store().find_user(&scope, user).await?,
        None => None,
    };
    let now_ms = context.now_ms();
    let works = key.status == KeyStatus::Active && key.expires_at.is_none_or(|end| end > now_ms);
    let left = left(&context, &key, user.as_ref()).await?;
    Ok(ok(Own {
        is_valid: works && user.is_none_or(|user| user.enabled),
        plan_name: None,
        remaining: number(remaining(&left)),
        unit: "USD",
        balance: left.balance,
        windows: left.windows,
        daily: daily(&context, &scope, id, &Days::usual(now_ms)).await?,
    }))
}

/// What everybody who pays for the key's requests has left, together.
async fn left(context: &Context, key: &ApiKey, user: Option<&User>) -> Answer<Left> {
    let own = Left::of(context, &owner(OwnerKind::Key, key.id.as_str()), &key.terms.quota, false);
    let mut windows = own.windows;
    let mut left = match user {
        Some(user) => {
            let payer = owner(OwnerKind::User, user.id.as_str());
            Left::of(context, &payer, &user.terms.quota, user.terms.wallet)
        }
        None => Left::default(),
    };
    windows.append(&mut left.windows);
    for (kind, store_kind, id) in [
        (OwnerKind::Tenant, PartyKind::Tenant, &key.tenant_id),
        (OwnerKind::Group, PartyKind::Group, &key.group_id),
    ] {
        let quotas = quotas_of(context, store_kind, id).await?;
        windows.append(&mut Left::of(context, &owner(kind, id), &quotas, false).windows);
    }
    Ok(Left { windows, ..left })
}

async fn quotas_of(context: &Context, kind: PartyKind, id: &str) -> Answer<Vec<Quota>> {
    let party = context.store().find_party(&Scope::system(), kind, id).await?;
    Ok(party.map(|party| party.terms.quota).unwrap_or_default())
}

fn remaining(left: &Left) -> Option<NanoUsd> {
    if left.windows.iter().any(Window::is_exhausted) {
        return Some(NanoUsd::ZERO);
    }
    left.windows.iter().filter_map(Window::money_left).chain(left.spendable()).min()
}

/// The amount as a JSON number, without a float on the way.
fn number(amount: Option<NanoUsd>) -> Box<RawValue> {
    let text = amount.map_or_else(|| UNLIMITED.to_owned(), |amount| amount.to_string());
    // A decimal amount is a JSON number as it stands.
    RawValue::from_string(text).unwrap_or_default()
}
