//! THE table of routes: method, path, who may call it, what answers. One line each.
//!
//! Whatever is not in the table does not exist; a line cannot be written without a permission. To add
//! an operation, write `api/<noun>/<verb>.rs` and add its line here.

pub mod accounts;
pub mod api_keys;
pub mod auth;
pub mod body;
pub mod check;
pub mod circuits;
pub mod context;
pub mod ledger;
pub mod models;
pub mod own_usage;
pub mod page;
pub mod parties;
pub mod permission;
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
mod money_tests;
#[cfg(test)]
mod nouns_tests;
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
        get("/health", Public, health::health),
        get("/health/ready", Public, health::ready),
        get("/actuator/readiness", Public, health::ready),
        get("/v1/usage", CallerKey, own_usage::handler),
        get("/v1/quota/check", CallerKey, trial::check::handler),

        get("/admin/keys", Read, trial::list::handler),
        post("/admin/keys", Administer, trial::create::handler),
        delete("/admin/keys/{id}", Administer, trial::revoke::handler),
        get("/admin/usage", Read, trial::usage::handler),

        post("/api/v1/auth/login", Public, auth::login::handler),
        post("/api/v1/auth/refresh", Public, auth::refresh::handler),
        post("/api/v1/auth/logout", SignedIn, auth::logout::handler),
        post("/api/v1/auth/token", Public, auth::token::handler),

        get("/api/v1/admin/api-keys", ReadOwn, api_keys::list::handler),
        post("/api/v1/admin/api-keys", Administer, api_keys::create::handler),
        get("/api/v1/admin/api-keys/{id}", ReadOwn, api_keys::show::handler),
        patch("/api/v1/admin/api-keys/{id}", Administer, api_keys::update::handler),
        delete("/api/v1/admin/api-keys/{id}", Administer, api_keys::revoke::delete),
        post("/api/v1/admin/api-keys/{id}/revoke", Administer, api_keys::revoke::handler),
        post("/api/v1/admin/api-keys/{id}/rotate", Administer, api_keys::rotate::handler),
        post("/api/v1/admin/api-keys/{id}/unfreeze", Administer, api_keys::unfreeze::handler),
        post("/api/v1/admin/api-keys/{id}/enable", Administer, api_keys::enable::handler),
        post("/api/v1/admin/api-keys/{id}/disable", Administer, api_keys::disable::handler),
        put("/api/v1/admin/api-keys/{id}/rate-limit", Administer, api_keys::limit::handler),
        put("/api/v1/admin/api-keys/{id}/quota", Bill, api_keys::quota::handler),
        post("/api/v1/admin/api-keys/{id}/quota/reset", Bill, api_keys::reset::handler),
        get("/api/v1/admin/api-keys/{id}/usage", ReadOwn, api_keys::usage::handler),

        get("/api/v1/admin/accounts", Read, accounts::list::handler),
        post("/api/v1/admin/accounts", Administer, accounts::create::handler),
        get("/api/v1/admin/accounts/{id}", Read, accounts::show::handler),
        patch("/api/v1/admin/accounts/{id}", Administer, accounts::update::handler),
        delete("/api/v1/admin/accounts/{id}", Administer, accounts::delete::handler),
        post("/api/v1/admin/accounts/{id}/reset", Operate, accounts::reset::handler),
        post("/api/v1/admin/accounts/{id}/enable", Administer, accounts::enable::handler),
        post("/api/v1/admin/accounts/{id}/disable", Administer, accounts::disable::handler),

        get("/api/v1/admin/users", Read, users::list::handler),
        post("/api/v1/admin/users", Administer, users::create::handler),
        get("/api/v1/admin/users/{id}", Read, users::show::handler),
        patch("/api/v1/admin/users/{id}", Administer, users::update::handler),
        delete("/api/v1/admin/users/{id}", Administer, users::disable::delete),
        post("/api/v1/admin/users/{id}/enable", Administer, users::enable::handler),
        post("/api/v1/admin/users/{id}/disable", Administer, users::disable::handler),
        put("/api/v1/admin/users/{id}/rate-limit", Administer, users::limit::handler),
        put("/api/v1/admin/users/{id}/quota", Bill, users::quota::handler),
        post("/api/v1/admin/users/{id}/quota/reset", Bill, users::reset::handler),
        post("/api/v1/admin/users/{id}/balance", Bill, users::balance::handler),

        get("/api/v1/admin/tenants", Read, parties::list::handler),
        post("/api/v1/admin/tenants", Administer, parties::create::handler),
        get("/api/v1/admin/tenants/{id}", Read, parties::show::handler),
        patch("/api/v1/admin/tenants/{id}", Administer, parties::update::handler),
        delete("/api/v1/admin/tenants/{id}", Administer, parties::delete::handler),
        put("/api/v1/admin/tenants/{id}/rate-limit", Administer, parties::limit::handler),
        put("/api/v1/admin/tenants/{id}/quota", Bill, parties::quota::handler),
        post("/api/v1/admin/tenants/{id}/quota/reset", Bill, parties::reset::handler),

        get("/api/v1/admin/groups", Read, parties::list::handler),
        post("/api/v1/admin/groups", Administer, parties::create::handler),
        get("/api/v1/admin/groups/{id}", Read, parties::show::handler),
        patch("/api/v1/admin/groups/{id}", Administer, parties::update::handler),
        delete("/api/v1/admin/groups/{id}", Administer, parties::delete::handler),
        put("/api/v1/admin/groups/{id}/rate-limit", Administer, parties::limit::handler),
        put("/api/v1/admin/groups/{id}/quota", Bill, parties::quota::handler),
        post("/api/v1/admin/groups/{id}/quota/reset", Bill, parties::reset::handler),

        get("/api/v1/admin/providers", Read, providers::list::handler),
        get("/api/v1/admin/models", Read, models::list::handler),

        get("/api/v1/admin/prices", Read, prices::list::handler),
        get("/api/v1/admin/prices/{*model}", Read, prices::show::handler),
        put("/api/v1/admin/prices/{*model}", Bill, prices::set::handler),
        delete("/api/v1/admin/prices/{*model}", Bill, prices::delete::handler),

        get("/api/v1/admin/requests", Read, requests::list::handler),
        get("/api/v1/admin/ledger", ReadOwn, ledger::list::handler),

        get("/api/v1/admin/circuits", Read, circuits::list::handler),
        post("/api/v1/admin/circuits/{id}/reset", Operate, circuits::reset::handler),

        get("/api/v1/admin/settings/limits", Read, settings::limits::show),
        put("/api/v1/admin/settings/limits", Administer, settings::limits::set),
        get("/api/v1/admin/secrets", Administer, secrets::list::handler),
        post("/api/v1/admin/secrets/rotate", Administer, secrets::rotate::handler),

        post("/api/v1/admin/settings/log-level", Administer, settings::log_level::handler),
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
