//! The one extractor that authorises: without it a handler has no store.
//!
//! The layer that [`super::route::Route`] puts around every handler identifies the caller, checks the
//! route's own permission and leaves the [`Context`]; the extractor only picks it up. So an endpoint
//! cannot forget to authorise, and none can authorise differently.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use model::clock::EpochMs;
use model::resource::Role;
use model::resource::key::DEFAULT_TENANT;
use model::{Code, RequestId, ResourceId};
use store::{Note, Scope, Store};

use super::permission::{Actor, Permission};
use super::precondition::IfMatch;
use super::route::Line;
use crate::answer::Refusal;
use crate::session::Holder;
use crate::session::holder::stale;
use crate::state::ControlState;

/// The API key that the data plane identified before it handed the request over. Inserted by the data
/// plane only, as a request extension; it cannot come from the wire.
#[derive(Clone, Debug)]
pub struct CallerKey(pub ResourceId);

/// Marks a request of the command line on the data directory, which needs no credential: it came over the
/// socket that only the directory's owner may open, or from within the process. Inserted by `yumen` only, as a
/// request extension; it cannot come from the network.
#[derive(Clone, Copy, Debug)]
pub struct LocalOperator;

/// An authorised request: who asks, and what they may work with.
#[derive(Clone)]
pub struct Context {
    state: Arc<ControlState>,
    /// Who asks.
    pub actor: Actor,
    /// For whom and by whom the store is read and changed.
    pub scope: Scope,
    /// What is being changed, for the audit.
    pub note: Arc<Note>,
    /// The states of which one must still hold when something is changed.
    pub if_match: IfMatch,
    /// The request.
    request_id: RequestId,
    /// From which address, as far as known.
    pub peer: Option<IpAddr>,
}

impl Context {
    /// Identifies the caller and checks the permission of the line.
    ///
    /// # Errors
    /// 401 `TOKEN_INVALID` or `TOKEN_EXPIRED`; 403 `SCOPE_DENIED`.
    pub async fn authorise(state: Arc<ControlState>, line: &Line, request: &Parts) -> Result<Self, Refusal> {
        let permission = line.permission;
        let actor = match permission {
            Permission::Public => Actor::Anonymous,
            Permission::CallerKey => {
                let key = request.extensions.get::<CallerKey>();
                Actor::Key(key.ok_or_else(|| Refusal::new(Code::InvalidApiKey))?.0.clone())
            }
            // Who signs in on the machine itself is who they say, with no more rights than that.
            _ if request.extensions.get::<LocalOperator>().is_some()
                && !request.headers.contains_key(AUTHORIZATION) =>
            {
                Actor::CommandLine
            }
            // Whoever signs has no bearer: none is read then, and administration takes no signatures.
            _ if policy::identify::is_signed(&request.headers) => {
                let message = "Administration does not take signed requests; send a bearer.";
                return Err(Refusal::because(Code::InvalidSignature, message));
            }
            _ => signed_in(&state, bearer(request)?).await?,
        };
        if !permission.roles().is_empty() {
            permission.allow(actor.role().unwrap_or_default())?;
        }
        let extensions = &request.extensions;
        // The outermost layer put it there; minting one covers only a router taken apart.
        let request_id = extensions.get::<RequestId>().copied();
        let request_id = request_id.unwrap_or_else(|| state.mint_request_id());
        let peer = extensions.get::<IpAddr>().copied();
        let peer = peer.or_else(|| extensions.get::<SocketAddr>().map(SocketAddr::ip));
        let note = Note::new(line.name, state.clock.now_ms());
        note.request(request_id.to_string(), peer.map(|peer| peer.to_string()));
        let scope = Scope::new(actor.tenant(), &actor.name()).noted(&note);
        let if_match = IfMatch::of(&request.headers);
        Ok(Self { state, actor, scope, note, if_match, request_id, peer })
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// Everything else that handlers work with.
    #[must_use]
    pub fn state(&self) -> &ControlState {
        &self.state
    }

    /// The time.
    #[must_use]
    pub fn now_ms(&self) -> EpochMs {
        self.state.clock.now_ms()
    }

    /// A new resource id.
    #[must_use]
    pub fn mint_id(&self) -> ResourceId {
        self.state.mint_id()
    }

    /// The user whose things alone may be seen; `None` when everything may.
    #[must_use]
    pub fn only_of(&self) -> Option<ResourceId> {
        match &self.actor {
            Actor::User { user, .. } if user.role == Role::User => Some(user.id.clone()),
            _ => None,
        }
    }

    /// Whether everything of every tenant may be seen: whoever administers or reads the gateway. Their
    /// own tenant is the default one.
    #[must_use]
    pub fn sees_all_tenants(&self) -> bool {
        match &self.actor {
            Actor::AdminToken | Actor::CommandLine => true,
            Actor::User { user, .. } => user.role != Role::User && user.tenant_id == DEFAULT_TENANT,
            Actor::Anonymous | Actor::Key(_) => false,
        }
    }

    /// The scope of `tenant` for this caller. Check first that they may see it.
    #[must_use]
    pub fn scope_in(&self, tenant: &str) -> Scope {
        Scope::new(tenant, &self.scope.actor).noted(&self.note)
    }

    /// The scope of the tenant that the caller names, by default their own.
    ///
    /// # Errors
    /// `SCOPE_DENIED` for another tenant when they see only their own.
    pub fn scope_asked(&self, tenant: Option<&str>) -> Result<Scope, Refusal> {
        match tenant {
            None => Ok(self.scope.clone()),
            Some(tenant) if *tenant == *self.scope.tenant_id || self.sees_all_tenants() => {
                Ok(self.scope_in(tenant))
            }
            Some(_) => Err(Refusal::because(Code::ScopeDenied, "This tenant is not yours.")),
        }
    }

    /// Writes the audit line of what was changed into the stream of log lines.
    pub fn stream(&self) {
        let (verb, object, actor) = self.note.summary();
        self.tell(verb, &object, actor);
    }

    /// Writes an audit line about what changed nothing, such as a refused sign-in.
    pub fn tell_refused(&self, verb: &'static str, object: &str) {
        self.tell(verb, object, None);
    }

    fn tell(&self, verb: &'static str, object: &str, actor: Option<String>) {
        let actor = actor.unwrap_or_else(|| self.actor.name());
        let request_id = self.request_id;
        tracing::info!(target: "audit", %request_id, actor, verb, object, "audit");
    }
}

impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let context = parts.extensions.get::<Self>().cloned();
        context.ok_or_else(|| Refusal::internal("a handler ran outside the table of routes"))
    }
}

/// The bearer token of the request.
fn bearer(request: &Parts) -> Result<&str, Refusal> {
    let value = request.headers.get(AUTHORIZATION);
    let (scheme, token) = value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().split_once(' '))
        .unwrap_or_default();
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        let message = "Send `Authorization: Bearer <access token>`; POST /api/v1/auth/login gives one.";
        return Err(Refusal::because(Code::TokenInvalid, message));
    }
    Ok(token)
}

async fn signed_in(state: &ControlState, token: &str) -> Result<Actor, Refusal> {
    let (user, tenant, session) = match Holder::of(state, token, state.clock.now_ms())? {
        Holder::Administrator => return Ok(Actor::AdminToken),
        Holder::User { user, tenant, session } => (user, tenant, session),
        Holder::Key(_) => {
            let message =
                "This access token was given in exchange for a key; it is good for the internal channel.";
            return Err(Refusal::because(Code::ScopeDenied, message));
        }
    };
    // Read each time: a disabled user or a lesser role takes effect at once, not when the token ends.
    let scope = Scope::new(&tenant, user.as_str());
    let user = state.store.find_user(&scope, &user).await?.ok_or_else(stale)?;
    if !user.enabled {
        return Err(stale().into());
    }
    Ok(Actor::User { user: Box::new(user), session })
}
