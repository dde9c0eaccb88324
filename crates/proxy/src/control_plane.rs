//! The one way from a worker to the control plane: the request object itself, over a channel.
//!
//! `yumen` injects the implementation, so this crate never names the control plane.

use std::net::IpAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use model::clock::EpochMs;
use model::{Rejection, RequestId, ResourceId, TraceId};
use tokio::sync::oneshot;

/// The body of an answer from the control plane.
pub type ControlBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What the data plane knows about a request when it hands it over.
#[derive(Clone, Debug)]
pub struct HandedOver {
    /// The request's id.
    pub request_id: RequestId,
    /// What the caller may search by.
    pub trace_id: TraceId,
    /// The caller's address.
    pub client: IpAddr,
    /// The key that the data plane has already checked, for paths that keys may use.
    pub key: Option<ResourceId>,
}

/// Whom an access token was given to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A user who signed in.
    User {
        /// The user.
        user: ResourceId,
        /// The user's tenant.
        tenant: String,
    },
    /// An own service, in exchange for its internal key.
    Key(ResourceId),
    /// Whoever has the static administration token.
    Administrator,
}

/// A use of the static administration token outside administration.
#[derive(Clone, Debug)]
pub struct AdministratorUse {
    /// The request's id.
    pub request_id: RequestId,
    /// The caller's address.
    pub client: Option<IpAddr>,
    /// Method and path, as records name them.
    pub route: &'static str,
    /// When.
    pub at: EpochMs,
}

/// Serves the control plane's paths on a runtime of its own.
pub trait ControlPlane: Send + Sync {
    /// Whom an access token was given to. Waits for nothing: whether the holder still works is what the
    /// configuration says.
    ///
    /// # Errors
    /// `TOKEN_INVALID` or `TOKEN_EXPIRED`.
    fn holder(&self, token: &str, now_ms: EpochMs) -> Result<Holder, Rejection>;

    /// Has a use of the administration token written into the audit log. Waits for nothing.
    fn note(&self, used: AdministratorUse);

    /// Begins to serve a request; the answer arrives at the receiver.
    fn serve(
        &self,
        request: Request<Incoming>,
        known: HandedOver,
    ) -> oneshot::Receiver<Response<ControlBody>>;
}
