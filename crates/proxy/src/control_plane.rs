//! The one way from a worker to the control plane: the request object itself, over a channel.
//!
//! `yumen` injects the implementation, so this crate never names the control plane.

use std::net::IpAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use model::{RequestId, ResourceId, TraceId};
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

/// Serves the control plane's paths on a runtime of its own.
pub trait ControlPlane: Send + Sync {
    /// Begins to serve a request; the answer arrives at the receiver.
    fn serve(
        &self,
        request: Request<Incoming>,
        known: HandedOver,
    ) -> oneshot::Receiver<Response<ControlBody>>;
}
