//! Hands a request to the control plane and its answer back.

use http::{Request, Response};
use hyper::body::Incoming;
use model::{Code, Rejection, ResourceId};

use crate::answer;
use crate::body::Outgoing;
use crate::channel::Channel;
use crate::control_plane::HandedOver;
use crate::exchange::Exchange;

/// Where Prometheus looks: no administration, though it is below no version.
const METRICS: &str = "/metrics";

/// Whether a request is one that moves with `admin_listen`. Health and metrics stay: whoever sends traffic here, and
/// whoever watches, asks here.
fn is_administration(exchange: &Exchange, request: &Request<Incoming>) -> bool {
    exchange.channel == Channel::Admin && !request.uri().path().starts_with(METRICS)
}

/// Lets the control plane answer; `key` is the caller's key where the data plane has checked one.
pub(crate) async fn to_control(
    exchange: Exchange,
    request: Request<Incoming>,
    key: Option<ResourceId>,
) -> Response<Outgoing> {
    let shared = std::sync::Arc::clone(&exchange.worker.shared);
    if !shared.settings.serve_control && is_administration(&exchange, &request) {
        return crate::linger::refuse(exchange, &Rejection::new(Code::NotFound), request);
    }
    let known = HandedOver {
        request_id: exchange.record.request_id,
        trace_id: exchange.record.trace_id,
        client: exchange.record.client_ip.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()),
        key,
    };
    match shared.control.serve(request, known).await {
        Ok(mut response) => {
            answer::stamp(&exchange, response.headers_mut());
            exchange.leave_unrecorded();
            response.map(|body| Outgoing::Control(Box::new(body)))
        }
        Err(_) => {
            let rejection = Rejection::new(Code::InternalError).caused_by("the control plane gave no answer");
            answer::refuse(exchange, &rejection)
        }
    }
}
