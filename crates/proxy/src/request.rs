//! THE path of a request, readable from top to bottom.
//!
//! Nothing here waits for a database. Whatever goes wrong falls out as a [`Rejection`], which is
//! dressed for the caller in one place; whatever is taken on the way is given back by `Exchange`.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use llm::{Call, Surface};
use model::{Code, Rejection};

use crate::body::Outgoing;
use crate::catalog::Key;
use crate::dispatch::{self, Begun, Stopped};
use crate::drain::Leave;
use crate::endpoint::{identify, internal, models, sealed, stored};
use crate::exchange::Exchange;
use crate::intake::Received;
use crate::reply::Reply;
use crate::route::{Route, find_route};
use crate::worker::Worker;
use crate::{admission, answer, calling, handover, hold, intake, linger, replay};

/// Serves one request, whatever it is.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    mut request: Request<Incoming>,
    peer: IpAddr,
) -> Response<Outgoing> {
    // Nearly every request, and told without looking at the configuration.
    let is_plain = request.uri().path().starts_with("/v1/");
    let family = if is_plain { None } else { worker.shared.catalog.load().take_family(&mut request) };
    let (_, route) = find_route(request.method(), request.uri().path());
    match route {
        Route::Probe => return answer::empty_ok(&worker),
        Route::Alive => return answer::static_json(&worker, r#"{"ok":true}"#),
        _ => {}
    }
    let client = worker.shared.settings.trusted_proxies.client(peer, request.headers());
    let mut exchange = Exchange::open(&worker, request.headers(), request.uri().path(), client);
    exchange.family = family;
    if matches!(route, Route::Models | Route::Model(_)) && !exchange.tells_errors_itself() {
        exchange.envelope = models::shape(request.uri(), request.headers()).envelope();
    }
    if let Err(rejection) = intake::check_head(&worker.shared.settings.sizes, &request) {
        return linger::refuse(exchange, &rejection, request);
    }
    match route {
        Route::Call(surface) => {
            let (head, body) = request.into_parts();
            // Boxed: it is handed from step to step, and would be copied by each.
            carry(exchange, surface, Box::new(head), body).await
        }
        Route::Models | Route::Model(_) => {
            let (head, body) = request.into_parts();
            models::answer(exchange, &head, &body, &route).await
        }
        Route::Upgrade => {
            // At once, and with this status: Codex then goes on by POST without trying again.
            let mut response = linger::refuse(exchange, &Rejection::new(Code::UpgradeRequired), request);
            response.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static("POST"));
            response
        }
        // Boxed like the other hand-over: rare, and it would otherwise widen every call.
        Route::Control => Box::pin(handover::to_control(exchange, request, None)).await,
        Route::Usage | Route::QuotaCheck => {
            let (head, body) = request.into_parts();
            let key = own_key(&mut exchange, &head, &body, &route);
            let request = Request::from_parts(head, body);
            match key {
                Ok(key) => Box::pin(handover::to_control(exchange, request, Some(key.key.id.clone()))).await,
                Err(rejection) => linger::refuse(exchange, &rejection, request),
            }
        }
        Route::Extra(extra) => Box::pin(internal::serve(exchange, request, extra)).await,
        Route::Unknown | Route::Probe | Route::Alive => {
            linger::refuse(exchange, &Rejection::new(Code::NotFound), request)
        }
        Route::WrongMethod(allow) => {
            let mut response = linger::refuse(exchange, &Rejection::new(Code::MethodNotAllowed), request);
            response.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static(allow));
            response
        }
    }
}

/// The key whose holder asks how it stands: also one that no longer works, where that is the question.
fn own_key(
    exchange: &mut Exchange,
    head: &Parts,
    unread: &Incoming,
    route: &Route,
) -> Result<Arc<Key>, Rejection> {
    match route {
        Route::QuotaCheck => identify::known_key(exchange, &head.headers, head.uri.query()),
        _ => identify::without_body(exchange, head, unread),
    }
}

/// Carries a call to a model and its answer back.
async fn carry(
    mut exchange: Exchange,
    surface: Surface,
    head: Box<Parts>,
    body: Incoming,
) -> Response<Outgoing> {
    exchange.routed(surface);
    let mut unread = Some(body);
    let received = path(&mut exchange, surface, &head, &mut unread).await;
    let reply = Reply::wanted(&mut exchange);
    let response = match received {
        Ok(received) => calling::answer(exchange, head, received).await,
        Err(rejection) => {
            linger::drain(&head, unread);
            answer::refuse(exchange, &rejection)
        }
    };
    match reply {
        None => response,
        // Boxed: few ask for it, and the collecting would otherwise widen every call.
        Some(reply) => Box::pin(reply.sign(response)).await,
    }
}

/// Every step of a call until it is admitted, in order.
async fn path(
    exchange: &mut Exchange,
    surface: Surface,
    head: &Parts,
    unread: &mut Option<Incoming>,
) -> Result<Received, Rejection> {
    // Before the body is read, so that a stranger cannot make us hold one, and nobody more than there is
    // room for. What a signature says of the body can only be checked afterwards.
    let unverified = identify::signer_or_caller(exchange, head)?;
    intake::make_room(exchange)?;
    let body = intake::read_body(exchange, surface, head, unread).await?;
    match unverified {
        Some(unverified) => unverified.verify(exchange, head, &body)?,
        None => identify::still_works(exchange).map(|_| ())?,
    }
    let received = intake::look(exchange, surface, head, body)?;
    let call = &received.call;
    admission::find_model(exchange, call)?;
    stored::pin(exchange, call)?;
    sealed::pin(exchange, call, &received.body)?;
    admission::pin(exchange, &received.extras)?;
    admission::admit(exchange, call)?;
    Ok(received)
}

/// The steps that follow, which may take long: they can go on behind a committed head, see `calling`.
pub(crate) async fn onward(exchange: &mut Exchange, outbound: &Outbound<'_>) -> Result<Begun, Stopped> {
    replay::join(exchange, outbound).await?;
    hold::hold(exchange, outbound.call)?;
    exchange.report("hold", |_| serde_json::Value::Null);
    let begun = dispatch::call_upstream(exchange, outbound).await;
    exchange.forget_body();
    begun
}

/// What the dispatch loop sends, as the caller sent it.
pub(crate) struct Outbound<'a> {
    /// What was read of the body.
    pub call: &'a Call,
    /// The body as received.
    pub body: &'a Bytes,
    /// The head as received.
    pub head: &'a Parts,
    /// Told how far the call is, for keys that ask for a drain.
    pub leave: Option<&'a Leave>,
}
