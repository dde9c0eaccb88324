//! One line of the table of routes. A route cannot be made without a permission, a name and a document.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use super::describe::{Described, Operation};
use super::gate::gate;
use super::permission::Permission;
use crate::state::ControlState;

/// What an operation is called and does. The name stands in the audit log and, in another form, in the document:
/// `api-key.create` is `apiKeyCreate` there.
pub type About = (&'static str, &'static str);

/// A method and a path, who may call it, what it is, and what answers.
pub struct Route {
    /// The method; `GET` answers `HEAD` too.
    pub method: Method,
    /// The path, in the router's pattern form.
    pub path: &'static str,
    /// What it asks of the caller.
    pub permission: Permission,
    /// Its name, such as `api-key.create`.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// What it takes and gives.
    pub operation: Operation,
    handler: MethodRouter,
}

/// What the gate needs to know of a route.
#[derive(Clone)]
pub struct Line {
    /// Its method.
    pub method: Method,
    /// Its path, in the router's pattern form.
    pub path: &'static str,
    /// What it asks of the caller.
    pub permission: Permission,
    /// Its name.
    pub name: &'static str,
}

impl Line {
    /// Whether it changes something.
    #[must_use]
    pub fn changes(&self) -> bool {
        !self.method.is_safe()
    }
}

/// A `GET` route.
pub fn get<H: Described<T>, T: 'static>(
    path: &'static str,
    permission: Permission,
    about: About,
    handler: H,
) -> Route {
    route((Method::GET, MethodFilter::GET), (path, permission), about, handler)
}

/// A `POST` route.
pub fn post<H: Described<T>, T: 'static>(
    path: &'static str,
    permission: Permission,
    about: About,
    handler: H,
) -> Route {
    route((Method::POST, MethodFilter::POST), (path, permission), about, handler)
}

/// A `PUT` route.
pub fn put<H: Described<T>, T: 'static>(
    path: &'static str,
    permission: Permission,
    about: About,
    handler: H,
) -> Route {
    route((Method::PUT, MethodFilter::PUT), (path, permission), about, handler)
}

/// A `PATCH` route.
pub fn patch<H: Described<T>, T: 'static>(
    path: &'static str,
    permission: Permission,
    about: About,
    handler: H,
) -> Route {
    route((Method::PATCH, MethodFilter::PATCH), (path, permission), about, handler)
}

/// A `DELETE` route.
pub fn delete<H: Described<T>, T: 'static>(
    path: &'static str,
    permission: Permission,
    about: About,
    handler: H,
) -> Route {
    route((Method::DELETE, MethodFilter::DELETE), (path, permission), about, handler)
}

fn route<H: Described<T>, T: 'static>(
    (method, filter): (Method, MethodFilter),
    (path, permission): (&'static str, Permission),
    (name, summary): About,
    handler: H,
) -> Route {
    Route { method, path, permission, name, summary, operation: H::operation(), handler: on(filter, handler) }
}

impl Route {
    /// Adds itself to `router`, behind the layer that authorises.
    pub fn mount(self, router: Router, state: &Arc<ControlState>) -> Router {
        let state = Arc::clone(state);
        let line =
            Line { method: self.method, path: self.path, permission: self.permission, name: self.name };
        let gate = from_fn(move |request: Request, next: Next| {
            gate(Arc::clone(&state), line.clone(), request, next)
        });
        router.route(self.path, self.handler.route_layer(gate))
    }
}
