//! What an operation takes and gives, read off its handler's signature, so that no document can say otherwise.
//!
//! Each extractor and each answer says its part; [`Described`] puts the parts of one handler together. A handler
//! whose answer says nothing (`impl IntoResponse`) is not described and does not fit into the table.

use axum::handler::Handler;
use http::{HeaderMap, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::body::{Id, JsonBody, LONGEST_NAME, Name, OptionalJson, QueryString};
use super::context::Context;
use super::parties::Kind;
use crate::answer::{Answer, Created, Done, Json, Tagged};

/// Writes the schema of one type.
pub type Writer = fn(&mut SchemaGenerator) -> Schema;

/// What the id of a resource looks like.
pub const ID_PATTERN: &str = "^[a-z2-7]{26}$";

/// What a handler takes and gives.
#[derive(Clone, Default)]
pub struct Operation {
    /// The schema of the parameter in the path, where there is one.
    pub in_path: Option<Value>,
    /// The object whose fields are the parameters of the query.
    pub query: Option<Writer>,
    /// The body, and whether it may be left out.
    pub body: Option<(Writer, bool)>,
    /// The status of success, and what comes with it.
    pub answer: (u16, Option<Writer>),
}

fn writer<T: JsonSchema>() -> Writer {
    |generator| generator.subschema_for::<T>()
}

/// A part of a request, as a handler takes it.
pub trait Part {
    /// Adds it to what the operation takes.
    fn describe(operation: &mut Operation);
}

impl Part for Context {
    fn describe(_: &mut Operation) {}
}

impl Part for HeaderMap {
    fn describe(_: &mut Operation) {}
}

impl Part for Kind {
    fn describe(_: &mut Operation) {}
}

impl Part for Id {
    fn describe(operation: &mut Operation) {
        let id = json!({"type": "string", "pattern": ID_PATTERN, "minLength": 26, "maxLength": 26});
        operation.in_path = Some(id);
    }
}

impl Part for Name {
    fn describe(operation: &mut Operation) {
        operation.in_path = Some(json!({"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}));
    }
}

impl<T: JsonSchema> Part for QueryString<T> {
    fn describe(operation: &mut Operation) {
        operation.query = Some(writer::<T>());
    }
}

impl<T: JsonSchema> Part for JsonBody<T> {
    fn describe(operation: &mut Operation) {
        operation.body = Some((writer::<T>(), false));
    }
}

impl<T: JsonSchema> Part for OptionalJson<T> {
    fn describe(operation: &mut Operation) {
        operation.body = Some((writer::<T>(), true));
    }
}

/// What a handler answers with.
pub trait Outcome {
    /// Says what it is.
    fn describe(operation: &mut Operation);
}

impl<T: JsonSchema> Outcome for Json<T> {
    fn describe(operation: &mut Operation) {
        operation.answer = (StatusCode::OK.as_u16(), Some(writer::<T>()));
    }
}

impl<T: JsonSchema> Outcome for Tagged<T> {
    fn describe(operation: &mut Operation) {
        Json::<T>::describe(operation);
    }
}

impl<T: JsonSchema> Outcome for Created<T> {
    fn describe(operation: &mut Operation) {
        operation.answer = (StatusCode::CREATED.as_u16(), Some(writer::<T>()));
    }
}

impl Outcome for Done {
    fn describe(operation: &mut Operation) {
        operation.answer = (StatusCode::NO_CONTENT.as_u16(), None);
    }
}

impl<R: Outcome> Outcome for Answer<R> {
    fn describe(operation: &mut Operation) {
        R::describe(operation);
    }
}

/// A handler that says what it takes and gives.
pub trait Described<T>: Handler<T, ()> {
    /// What it takes and gives.
    fn operation() -> Operation;
}

macro_rules! described {
    ($($part:ident)* ; $last:ident) => {
        impl<F, Fut, R, M, $($part,)* $last> Described<(M, $($part,)* $last,)> for F
        where
            F: Handler<(M, $($part,)* $last,), ()> + FnOnce($($part,)* $last) -> Fut,
            Fut: Future<Output = R>,
            R: Outcome,
            $($part: Part,)*
            $last: Part,
        {
            fn operation() -> Operation {
                let mut operation = Operation::default();
                $($part::describe(&mut operation);)*
                $last::describe(&mut operation);
                R::describe(&mut operation);
                operation
            }
        }
    };
}

described!(; A);
described!(A; B);
described!(A B; C);
described!(A B C; D);
described!(A B C D; E);
