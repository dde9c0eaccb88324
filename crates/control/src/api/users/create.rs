//! `POST /api/v1/admin/users`: a new user. Without a password they cannot sign in until one is set; with a
//! `balance` they have a wallet that their keys' requests are paid from.
//!
//! The money moves last. A crash in between leaves a user with an empty wallet: their requests are refused
//! until somebody fills it, nothing was credited, and nothing is lost.

use model::quota::Quota;
use model::resource::{OwnerTerms, RateLimit, Role, User};
use model::{Code, NanoUsd};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{View, check_rank, hashed, wallet};
use crate::answer::{Answer, Created, Refusal, created};
use crate::api::body::JsonBody;
use crate::api::check;
use crate::api::context::Context;
use crate::api::standing::check_open;
use crate::api::{parties, terms};

/// The reason of the entry that a first balance makes in the ledger.
const FIRST_BALANCE: &str = "initial balance";

/// Who the user is to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    email: String,
    name: Option<String>,
    #[serde(default)]
    role: Role,
    password: Option<String>,
    tenant_id: Option<String>,
    #[serde(default)]
    rate_limit: RateLimit,
    #[serde(default)]
    quota: Vec<Quota>,
    balance: Option<String>,
}

/// Creates the user.
///
/// # Errors
/// `CONFLICT` when the e-mail is taken; `SCOPE_DENIED` for an owner made by somebody else;
/// `SERVICE_DEGRADED` when the ledger cannot take the balance.
pub async fn handler(context: Context, JsonBody(mut body): JsonBody<Body>) -> Answer<Created<View>> {
    check_rank(&context, body.role)?;
    let tenant_id = parties::tenant(&context, body.tenant_id.take()).await?;
    super::check_place(body.role, &tenant_id)?;
    let balance = body.balance.take().map(|text| first_balance(&text)).transpose()?;
    if balance.is_some() {
        check_open(&context)?;
    }
    let user = User {
        tenant_id,
        email: check::email(&body.email)?,
        name: match body.name {
            Some(name) => check::name("name", &name)?,
            None => check::email(&body.email)?,
        },
        terms: OwnerTerms {
            rate_limit: body.rate_limit,
            quota: terms::quotas(body.quota)?,
            wallet: balance.is_some(),
            ..OwnerTerms::default()
        },
        role: body.role,
        enabled: true,
        id: context.mint_id(),
        created_at: context.now_ms(),
        updated_at: context.now_ms(),
    };
    let password_hash = match body.password {
        Some(password) => Some(hashed(&context, password).await?),
        None => None,
    };
    let scope = context.scope_in(&user.tenant_id);
    context.store().insert_user(&scope, &user, password_hash.as_deref()).await?;
    if let Some(amount) = balance.filter(|amount| *amount != NanoUsd::ZERO) {
        let filled = wallet::adjust(&context, (&user.id, &user.tenant_id), amount, FIRST_BALANCE).await;
        filled.map_err(|why| refuse_empty(why, user.id.as_str()))?;
    }
    Ok(created(View::of(&context, user)))
}

fn first_balance(text: &str) -> Answer<NanoUsd> {
    let amount = check::dollars("balance", text)?;
    if amount < NanoUsd::ZERO {
        return Err(Refusal::invalid("balance", "`balance` must not be negative."));
    }
    Ok(amount)
}

/// Says that the user is there although the answer is an error.
fn refuse_empty(why: Refusal, id: &str) -> Refusal {
    let message = format!(
        "The user {id} was created, but with an empty wallet; fill it with POST …/users/{id}/balance."
    );
    let mut refusal = Refusal::because(Code::ServiceDegraded, message);
    refusal.0.cause = why.0.cause;
    refusal
}
