//! THE table of routes: method, path, who may call it, what answers. One line each.
//!
//! Whatever is not in the table does not exist; a line cannot be written without a permission. To add
//! an operation, write `api/<noun>/<verb>.rs` and add its line here.

pub mod accounts;
pub mod api_keys;
pub mod audit_log;
pub mod auth;
pub mod body;
pub mod check;
pub mod circuits;
pub mod context;
pub mod describe;
pub mod examples;
pub mod fields;
pub mod gate;
pub mod jwt_keys;
pub mod ledger;
pub mod models;
pub mod once;
pub mod openapi;
pub mod own_usage;
pub mod page;
pub mod parties;
pub mod permission;
pub mod plain;
pub mod precondition;
pub mod prices;
pub mod providers;
pub mod requests;
pub mod reset;
pub mod route;
pub mod secrets;
pub mod settings;
pub mod standing;
pub mod terms;
pub mod trial;
pub mod usage;
pub mod users;

#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod lost_tests;
#[cfg(test)]
mod matrix_tests;
#[cfg(test)]
mod money_tests;
#[cfg(test)]
mod nouns_tests;
#[cfg(test)]
mod precondition_tests;
#[cfg(test)]
mod quota_tests;
#[cfg(test)]
mod tenant_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use model::Code;

use crate::answer::{Refusal, dress};
use crate::health;
use crate::state::ControlState;
use permission::Permission::{Administer, Bill, CallerKey, Operate, Public, Read, ReadOwn, SignedIn};
use route::{Route, delete, get, patch, post, put};

/// Every route, one line each.
#[must_use]
#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a table of one-line entries")]
pub fn routes() -> Vec<Route> {
    vec![
        get("/health", Public, ("health.show", "Says how the process is, with every component."), health::health),
        get("/health/ready", Public, ("health.ready", "Says whether this process should get traffic."), health::ready),
        get("/actuator/readiness", Public, ("health.readiness", "The same as /health/ready under the name that others use."), health::ready),
        get("/v1/usage", CallerKey, ("usage.own", "Tells the owner of a key what is left and what was used."), own_usage::handler),
        get("/v1/quota/check", CallerKey, ("quota.check", "Tells a trial user what is left."), trial::check::handler),

        get("/admin/keys", Read, ("trial-key.list", "Lists the trial keys and what is left of each."), trial::list::handler),
        post("/admin/keys", Administer, ("trial-key.create", "Makes a trial key, whose text is in this answer only."), trial::create::handler),
        delete("/admin/keys/{id}", Administer, ("trial-key.revoke", "Ends the trial key for good."), trial::revoke::handler),
        get("/admin/usage", Read, ("trial-key.usage", "Tells what the trial keys used on one UTC day."), trial::usage::handler),

        get("/api/openapi.json", SignedIn, ("openapi.show", "Shows this document."), openapi::handler),

        post("/api/v1/auth/login", Public, ("auth.login", "Gives a pair of tokens for an e-mail address and a password."), auth::login::handler),
        post("/api/v1/auth/refresh", Public, ("auth.refresh", "Gives a new pair of tokens for a refresh token, which works once."), auth::refresh::handler),
        post("/api/v1/auth/logout", SignedIn, ("auth.logout", "Ends a sign-in, or every sign-in of the caller."), auth::logout::handler),
        post("/api/v1/auth/token", Public, ("auth.token", "Gives an access token to the internal channel for an internal key."), auth::token::handler),
        get("/api/v1/auth/totp", SignedIn, ("totp.show", "Shows how the caller's second factor is."), auth::totp::show),
        post("/api/v1/auth/totp/enrol", SignedIn, ("totp.enrol", "Makes a secret for an authenticator app, to be confirmed."), auth::totp::enrol),
        post("/api/v1/auth/totp/confirm", SignedIn, ("totp.confirm", "Confirms the secret; from now on sign-in needs a code."), auth::totp::confirm),
        post("/api/v1/auth/totp/disable", SignedIn, ("totp.disable", "Removes the caller's second factor."), auth::totp::disable),

        get("/api/v1/admin/api-keys", ReadOwn, ("api-key.list", "Lists keys."), api_keys::list::handler),
        post("/api/v1/admin/api-keys", Administer, ("api-key.create", "Makes a key, whose text is in this answer only."), api_keys::create::handler),
        get("/api/v1/admin/api-keys/{id}", ReadOwn, ("api-key.show", "Shows the key."), api_keys::show::handler),
        patch("/api/v1/admin/api-keys/{id}", Administer, ("api-key.update", "Changes the fields of the key that are given; null clears one."), api_keys::update::handler),
        delete("/api/v1/admin/api-keys/{id}", Administer, ("api-key.delete", "Ends the key for good, as revoke does."), api_keys::revoke::delete),
        post("/api/v1/admin/api-keys/{id}/revoke", Administer, ("api-key.revoke", "Ends the key for good."), api_keys::revoke::handler),
        post("/api/v1/admin/api-keys/{id}/rotate", Administer, ("api-key.rotate", "Gives the key a new secret, which is in this answer only."), api_keys::rotate::handler),
        post("/api/v1/admin/api-keys/{id}/unfreeze", Administer, ("api-key.unfreeze", "Ends all that bad signatures have frozen of the key."), api_keys::unfreeze::handler),
        post("/api/v1/admin/api-keys/{id}/enable", Administer, ("api-key.enable", "Lets the key be used again."), api_keys::enable::handler),
        post("/api/v1/admin/api-keys/{id}/disable", Administer, ("api-key.disable", "Keeps the key from being used."), api_keys::disable::handler),
        put("/api/v1/admin/api-keys/{id}/rate-limit", Administer, ("api-key.rate-limit", "Replaces the limits of the key."), api_keys::limit::handler),
        put("/api/v1/admin/api-keys/{id}/quota", Bill, ("api-key.quota", "Replaces the quotas of the key."), api_keys::quota::handler),
        post("/api/v1/admin/api-keys/{id}/quota/reset", Bill, ("api-key.quota-reset", "Declares the current window of a quota unused."), api_keys::reset::handler),
        get("/api/v1/admin/api-keys/{id}/usage", ReadOwn, ("api-key.usage", "Shows what the key used, by day and model."), api_keys::usage::handler),

        get("/api/v1/admin/accounts", Read, ("account.list", "Lists accounts."), accounts::list::handler),
        post("/api/v1/admin/accounts", Administer, ("account.create", "Makes an account."), accounts::create::handler),
        get("/api/v1/admin/accounts/{id}", Read, ("account.show", "Shows the account."), accounts::show::handler),
        patch("/api/v1/admin/accounts/{id}", Administer, ("account.update", "Changes the fields of the account that are given; null clears one."), accounts::update::handler),
        delete("/api/v1/admin/accounts/{id}", Administer, ("account.delete", "Deletes the account."), accounts::delete::handler),
        post("/api/v1/admin/accounts/{id}/reset", Operate, ("account.reset", "Forgets the blocks of the account and the sessions that go on there, and closes its circuits."), accounts::reset::handler),
        post("/api/v1/admin/accounts/{id}/test", Operate, ("account.test", "Calls the upstream of the account and tells what came of it."), accounts::test::handler),
        post("/api/v1/admin/accounts/{id}/enable", Administer, ("account.enable", "Lets the account be used again."), accounts::enable::handler),
        post("/api/v1/admin/accounts/{id}/disable", Administer, ("account.disable", "Keeps the account from being used."), accounts::disable::handler),

        get("/api/v1/admin/users", Read, ("user.list", "Lists users."), users::list::handler),
        post("/api/v1/admin/users", Administer, ("user.create", "Makes a user."), users::create::handler),
        get("/api/v1/admin/users/{id}", Read, ("user.show", "Shows the user."), users::show::handler),
        patch("/api/v1/admin/users/{id}", Administer, ("user.update", "Changes the fields of the user that are given; null clears one."), users::update::handler),
        delete("/api/v1/admin/users/{id}", Administer, ("user.delete", "Disables the user, whose records stay."), users::disable::delete),
        post("/api/v1/admin/users/{id}/enable", Administer, ("user.enable", "Lets the user be used again."), users::enable::handler),
        post("/api/v1/admin/users/{id}/disable", Administer, ("user.disable", "Keeps the user from being used."), users::disable::handler),
        delete("/api/v1/admin/users/{id}/totp", Administer, ("user.totp", "Removes the second factor of a user who lost it."), users::totp::handler),
        put("/api/v1/admin/users/{id}/rate-limit", Administer, ("user.rate-limit", "Replaces the limits of the user."), users::limit::handler),
        put("/api/v1/admin/users/{id}/quota", Bill, ("user.quota", "Replaces the quotas of the user."), users::quota::handler),
        post("/api/v1/admin/users/{id}/quota/reset", Bill, ("user.quota-reset", "Declares the current window of a quota unused."), users::reset::handler),
        post("/api/v1/admin/users/{id}/balance", Bill, ("user.balance", "Puts money into the wallet or takes some out."), users::balance::handler),

        get("/api/v1/admin/tenants", Read, ("tenant.list", "Lists tenants."), parties::list::handler),
        post("/api/v1/admin/tenants", Administer, ("tenant.create", "Makes a tenant."), parties::create::tenant),
        get("/api/v1/admin/tenants/{id}", Read, ("tenant.show", "Shows the tenant."), parties::show::handler),
        patch("/api/v1/admin/tenants/{id}", Administer, ("tenant.update", "Changes the fields of the tenant that are given; null clears one."), parties::update::tenant),
        delete("/api/v1/admin/tenants/{id}", Administer, ("tenant.delete", "Deletes the tenant."), parties::delete::handler),
        put("/api/v1/admin/tenants/{id}/rate-limit", Administer, ("tenant.rate-limit", "Replaces the limits of the tenant."), parties::limit::handler),
        put("/api/v1/admin/tenants/{id}/quota", Bill, ("tenant.quota", "Replaces the quotas of the tenant."), parties::quota::handler),
        post("/api/v1/admin/tenants/{id}/quota/reset", Bill, ("tenant.quota-reset", "Declares the current window of a quota unused."), parties::reset::handler),

        get("/api/v1/admin/groups", Read, ("group.list", "Lists groups."), parties::list::handler),
        post("/api/v1/admin/groups", Administer, ("group.create", "Makes a group."), parties::create::group),
        get("/api/v1/admin/groups/{id}", Read, ("group.show", "Shows the group."), parties::show::handler),
        patch("/api/v1/admin/groups/{id}", Administer, ("group.update", "Changes the fields of the group that are given; null clears one."), parties::update::group),
        delete("/api/v1/admin/groups/{id}", Administer, ("group.delete", "Deletes the group."), parties::delete::handler),
        put("/api/v1/admin/groups/{id}/rate-limit", Administer, ("group.rate-limit", "Replaces the limits of the group."), parties::limit::handler),
        put("/api/v1/admin/groups/{id}/quota", Bill, ("group.quota", "Replaces the quotas of the group."), parties::quota::handler),
        post("/api/v1/admin/groups/{id}/quota/reset", Bill, ("group.quota-reset", "Declares the current window of a quota unused."), parties::reset::handler),

        get("/api/v1/admin/providers", Read, ("provider.list", "Lists presets of providers."), providers::list::handler),
        get("/api/v1/admin/models", Read, ("model.list", "Lists models and the accounts that offer them."), models::list::handler),

        get("/api/v1/admin/prices", Read, ("price.list", "Lists prices."), prices::list::handler),
        get("/api/v1/admin/prices/explain", Read, ("price.explain", "Shows line by line what a request costs."), prices::explain::handler),
        get("/api/v1/admin/prices/{*model}", Read, ("price.show", "Shows the price of a model that is in force."), prices::show::handler),
        put("/api/v1/admin/prices/{*model}", Bill, ("price.set", "Sets the price of a model in place of the catalogue's."), prices::set::handler),
        delete("/api/v1/admin/prices/{*model}", Bill, ("price.delete", "Removes the override, so that the catalogue's price holds."), prices::delete::handler),

        get("/api/v1/admin/requests", Read, ("request.list", "Lists request records, newest first."), requests::list::handler),
        get("/api/v1/admin/ledger", ReadOwn, ("ledger.list", "Lists entries of the ledger, newest first."), ledger::list::handler),

        get("/api/v1/admin/audit-log", Read, ("audit-log.list", "Lists who changed what, newest first."), audit_log::list::handler),
        get("/api/v1/admin/audit-log/verify", Read, ("audit-log.verify", "Says whether the log is as it was written."), audit_log::verify::handler),

        get("/api/v1/admin/circuits", Read, ("circuit.list", "Lists circuits to upstreams."), circuits::list::handler),
        post("/api/v1/admin/circuits/{id}/reset", Operate, ("circuit.reset", "Closes the circuit."), circuits::reset::handler),

        get("/api/v1/admin/settings/limits", Read, ("settings.limits.show", "Shows the limits above keys and their owners."), settings::limits::show),
        put("/api/v1/admin/settings/limits", Administer, ("settings.limits", "Replaces the limits above keys and their owners."), settings::limits::set),
        get("/api/v1/admin/settings/retention", Read, ("settings.retention.show", "Shows how long records, usage and the audit log are kept."), settings::retention::show),
        put("/api/v1/admin/settings/retention", Administer, ("settings.retention", "Sets how long records, usage and the audit log are kept; what is not named stays."), settings::retention::set),
        post("/api/v1/admin/settings/log-level", Administer, ("settings.log-level", "Changes the log level until the next start."), settings::log_level::handler),
        get("/api/v1/admin/jwt-keys", Read, ("jwt-key.list", "Lists the keys of access tokens."), jwt_keys::list::handler),
        post("/api/v1/admin/jwt-keys/rotate", Administer, ("jwt-key.rotate", "Makes a new key, which signs access tokens from now on."), jwt_keys::rotate::handler),
        delete("/api/v1/admin/jwt-keys/{id}", Administer, ("jwt-key.delete", "Ends an old key, and the tokens of it."), jwt_keys::remove::handler),
        get("/api/v1/admin/secrets", Read, ("secrets.list", "Lists the keys that credentials are sealed under."), secrets::list::handler),
        post("/api/v1/admin/secrets/rotate", Administer, ("secrets.rotate", "Makes a new key and wraps every credential with it."), secrets::rotate::handler),
    ]
}

/// The router over the table.
///
/// Each request carries these extensions from the data plane: its `model::RequestId`, the caller's
/// address (`IpAddr` or `SocketAddr`), and for `/v1/usage` and `/v1/quota/check` the
/// [`context::CallerKey`].
pub fn router(state: Arc<ControlState>) -> Router {
    let table = routes().into_iter().fold(Router::new(), |router, route| route.mount(router, &state));
    table
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(move |request: Request, next: Next| dress(Arc::clone(&state), request, next)))
}

async fn not_found() -> Refusal {
    std::future::ready(Refusal::new(Code::NotFound)).await
}

async fn method_not_allowed() -> Refusal {
    std::future::ready(Refusal::new(Code::MethodNotAllowed)).await
}
