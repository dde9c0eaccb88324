//! What comes in with a request: bodies, queries and path parts, each strict, each refused in the
//! native envelope.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::LengthLimitError;
use model::{Code, Rejection, ResourceId};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::context::Context;
use super::plain;
use crate::answer::Refusal;

/// The largest body of an administration request, in bytes.
pub const LARGEST_BODY: usize = 1024 * 1024;
/// The longest name in a path, in characters.
pub const LONGEST_NAME: usize = 200;

/// A JSON body.
pub struct JsonBody<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        check_content_type(&request)?;
        read(request).await.map(Self)
    }
}

/// A JSON body that may be left out.
pub struct OptionalJson<T>(pub T);

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        use http_body::Body as _;
        if request.body().is_end_stream() || request.body().size_hint().exact() == Some(0) {
            return Ok(Self(T::default()));
        }
        check_content_type(&request)?;
        read(request).await.map(Self)
    }
}

fn check_content_type(request: &Request) -> Result<(), Refusal> {
    let value = request.headers().get(CONTENT_TYPE);
    let essence = value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::new(Code::UnsupportedMediaType))
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Refusal> {
    let stated = request.headers().get(CONTENT_LENGTH);
    let stated = stated.and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<usize>().ok());
    if stated.is_some_and(|length| length > LARGEST_BODY) {
        return Err(too_large());
    }
    let context = request.extensions().get::<Context>().cloned();
    let bytes = whole(request.into_body()).await?;
    if bytes.is_empty() {
        return Err(Refusal::because(Code::InvalidRequest, "The body is empty; send a JSON object."));
    }
    let body = plain::from_slice(&bytes).map_err(|error| refuse_json(&error))?;
    // The audit says which fields were given. Their names are known ones, or the body was refused.
    if let (Some(context), Ok(fields)) = (context, serde_json::from_slice::<Fields>(&bytes)) {
        context.note.fields(fields.into_keys().collect());
    }
    Ok(body)
}

fn too_large() -> Refusal {
    Refusal::because(Code::BodyTooLarge, format!("The body is larger than {LARGEST_BODY} bytes."))
}

/// Why whoever hands a request over ended its body: it came too slowly, or there was no room for it.
#[derive(Debug)]
pub struct BodyRefused(pub Rejection);

impl fmt::Display for BodyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error for BodyRefused {}

/// Reads a body to its end.
///
/// # Errors
/// `BODY_TOO_LARGE`, what a [`BodyRefused`] says, or `INVALID_REQUEST` when it breaks off.
pub(super) async fn whole(body: Body) -> Result<Bytes, Refusal> {
    to_bytes(body, LARGEST_BODY).await.map_err(|error| {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(known) = cause {
            if known.is::<LengthLimitError>() {
                return too_large();
            }
            if let Some(BodyRefused(rejection)) = known.downcast_ref() {
                return rejection.clone().into();
            }
            cause = known.source();
        }
        Refusal::because(Code::InvalidRequest, "The body ended before it was complete.")
    })
}

/// The fields of an object, without their values.
type Fields = BTreeMap<String, IgnoredAny>;

/// Says what is wrong and where; a field that serde names becomes the refusal's `param`.
fn refuse_json(error: &serde_json::Error) -> Refusal {
    let text = without_values(&error.to_string());
    let field = text.split('`').nth(1).filter(|_| text.contains(" field `"));
    let message = format!("The body is not what this operation takes: {text}.");
    match field {
        Some(field) => Refusal::invalid(field, message),
        None => Refusal::because(Code::InvalidRequest, message),
    }
}

/// Serde repeats the value it could not take; that value may be a credential in the wrong place.
fn without_values(text: &str) -> String {
    let Some((kind, rest)) = text.split_once(", expected ") else {
        return text.to_owned();
    };
    let kept = match kind {
        _ if kind.starts_with("unknown variant") => "unknown value",
        _ if kind.starts_with("invalid type: string") => "invalid type: string",
        _ if kind.starts_with("invalid value: string") => "invalid value: string",
        _ => kind,
    };
    // A value that itself contains the words splits too early; what follows is then still the value.
    let expected = rest.rsplit(", expected ").next().unwrap_or(rest);
    format!("{kept}, expected {expected}")
}

/// The query string.
pub struct QueryString<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for QueryString<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => {
                let text = error.body_text();
                let field = text.split('`').nth(1).unwrap_or_default();
                Err(Refusal::invalid(field, format!("{text}.")))
            }
        }
    }
}

/// The resource id in the path. What cannot be an id is not there: 404.
pub struct Id(pub ResourceId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Name(text) = Name::from_request_parts(parts, state).await?;
        ResourceId::parse(&text).map(Self).ok_or_else(|| Refusal::new(Code::NotFound))
    }
}

/// The name in the path: a model (which may contain slashes), a circuit. What is too long to be one is not there.
pub struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        let fits = |name: &str| (1..=LONGEST_NAME).contains(&name.chars().count());
        let name = name.ok().map(|Path(name)| name).filter(|name| fits(name));
        name.map(Self).ok_or_else(|| Refusal::new(Code::NotFound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(rename = "count")]
        _count: u32,
    }

    fn check(json: &str, param: Option<&str>, part: &str) {
        let refusal = refuse_json(&serde_json::from_str::<Body>(json).unwrap_err());
        assert_eq!(refusal.0.param.as_deref(), param, "{json}");
        assert!(refusal.0.message.contains(part), "{json}: {}", refusal.0.message);
        assert!(!refusal.0.message.contains("sk-secret"), "{}", refusal.0.message);
    }

    #[test]
    fn names_the_field_and_never_repeats_a_value() {
        check(r#"{"count":1,"other":2}"#, Some("other"), "unknown field `other`");
        check("{}", Some("count"), "missing field `count`");
        check(r#"{"count":1,"count":1}"#, Some("count"), "duplicate field `count`");
        check(r#"{"count":"sk-secret"}"#, None, "invalid type: string, expected u32");
        check(r#"{"count":"sk-secret, expected sk-secret"}"#, None, "expected u32");
        check("{", None, "EOF");
    }
}
