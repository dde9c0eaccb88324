//! One line of the table of routes. A route cannot be made without a permission.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use super::context::Context;
use super::permission::Permission;
use crate::answer::Refusal;
use crate::state::ControlState;

/// A method and a path, who may call it, and what answers.
pub struct Route {
    /// The method; `GET` answers `HEAD` too.
    pub method: Method,
    /// The path, in the router's pattern form.
    pub path: &'static str,
    /// What it asks of the caller.
    pub permission: Permission,
    handler: MethodRouter,
}

/// A `GET` route.
pub fn get<H: Handler<T, ()>, T: 'static>(path: &'static str, permission: Permission, handler: H) -> Route {
    route((Method::GET, MethodFilter::GET), path, permission, handler)
}

/// A `POST` route.
pub fn post<H: Handler<T, ()>, T: 'static>(path: &'static str, permission: Permission, handler: H) -> Route {
    route((Method::POST, MethodFilter::POST), path, permission, handler)
}

/// A `PUT` route.
pub fn put<H: Handler<T, ()>, T: 'static>(path: &'static str, permission: Permission, handler: H) -> Route {
    route((Method::PUT, MethodFilter::PUT), path, permission, handler)
}

/// A `PATCH` route.
pub fn patch<H: Handler<T, ()>, T: 'static>(path: &'static str, permission: Permission, handler: H) -> Route {
    route((Method::PATCH, MethodFilter::PATCH), path, permission, handler)
}

/// A `DELETE` route.
pub fn delete<H: Handler<T, ()>, T: 'static>(
    path: &'static str,
    permission: Permission,
    handler: H,
) -> Route {
    route((Method::DELETE, MethodFilter::DELETE), path, permission, handler)
}

fn route<H: Handler<T, ()>, T: 'static>(
    (method, filter): (Method, MethodFilter),
    path: &'static str,
    permission: Permission,
    handler: H,
) -> Route {
    Route { method, path, permission, handler: on(filter, handler) }
}

impl Route {
    /// Adds itself to `router`, behind the layer that authorises.
    pub fn mount(self, router: Router, state: &Arc<ControlState>) -> Router {
        let (state, permission) = (Arc::clone(state), self.permission);
        let gate =
            from_fn(move |request: Request, next: Next| gate(Arc::clone(&state), permission, request, next));
        router.route(self.path, self.handler.route_layer(gate))
    }
}

async fn gate(state: Arc<ControlState>, permission: Permission, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match Context::authorise(state, permission, &parts).await {
        Ok(context) => {
            parts.extensions.insert(context);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refusal) => Refusal::into_response(refusal),
    }
}
