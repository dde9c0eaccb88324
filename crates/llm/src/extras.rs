//! Members of a request body that are meant for the gateway itself: read on the internal channel, and
//! taken out before anybody else reads the body (access contract, §9).

use bytes::Bytes;
use model::{Code, Rejection};

use crate::{json, members};

/// Which upstream is to be called.
const PIN: &str = "provider_model_id";
/// Whether the steps are to be reported.
const STATUS: &str = "status_stream";

/// What the caller asks of the gateway itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The upstream to call, and no other.
    pub provider_model_id: Option<Box<str>>,
    /// Whether the stream shall report each step. Implies a stream.
    pub status_stream: bool,
}

/// Reads the extras of `body`; the body without them, the same bytes where it has none. A body that is not
/// an object is returned as it is: whoever reads it next says what is wrong.
///
/// # Errors
/// `INVALID_REQUEST` for an extra of the wrong type.
pub fn extras(body: &Bytes) -> Result<(Extras, Bytes), Rejection> {
    let mentions = |name: &str| body.windows(name.len()).any(|part| part == name.as_bytes());
    if !mentions(PIN) && !mentions(STATUS) {
        return Ok((Extras::default(), body.clone()));
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return Ok((Extras::default(), body.clone()));
    };
    let (mut pin, mut status, mut kept) = (None, None, Vec::new());
    let read = json::members(body, |member| {
        let value = &text[member.value.clone()];
        match &text[member.name.clone()] {
            PIN => pin = Some(value),
            STATUS => status = Some(value),
            name => kept.push((name, value)),
        }
        Ok(())
    });
    if read.is_err() {
        return Ok((Extras::default(), body.clone()));
    }
    let extras = Extras { provider_model_id: pinned(pin)?, status_stream: is_asked(status)? };
    if extras.status_stream {
        kept.retain(|(name, _)| *name != "stream");
        kept.push(("stream", "true"));
    }
    Ok((extras, without(&kept)))
}

fn pinned(value: Option<&str>) -> Result<Option<Box<str>>, Rejection> {
    match value {
        None | Some("null") => Ok(None),
        Some(raw) => match members::string(raw) {
            Some(text) => Ok(Some(text.into())),
            None => Err(wrong(PIN, "a string")),
        },
    }
}

fn is_asked(value: Option<&str>) -> Result<bool, Rejection> {
    match value {
        None | Some("null" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(wrong(STATUS, "true or false")),
    }
}

fn wrong(name: &str, kind: &str) -> Rejection {
    Rejection::because(Code::InvalidRequest, format!("The field `{name}` must be {kind}.")).at(name)
}

/// An object of the members that stay, each as it was written.
fn without(kept: &[(&str, &str)]) -> Bytes {
    let mut out = String::from("{");
    for (index, (name, value)) in kept.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        out.extend([comma, "\"", name, "\":", value]);
    }
    out.push('}');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &'static str) -> (Extras, String) {
        let (extras, rest) = extras(&Bytes::from_static(body.as_bytes())).unwrap();
        (extras, String::from_utf8(rest.to_vec()).unwrap())
    }

    #[test]
    fn a_body_without_extras_stays_the_same_bytes() {
        let body = Bytes::from_static(br#"{"model":"m","messages":[]}"#);
        let (found, rest) = extras(&body).unwrap();
        assert_eq!((found, rest.as_ptr()), (Extras::default(), body.as_ptr()));
    }

    #[test]
    fn extras_are_read_and_taken_out() {
        let body = r#"{"provider_model_id":"a\u003ab","model":"m", "status_stream" : false ,"x":[1, 2]}"#;
        let (found, rest) = read(body);
        assert_eq!(found.provider_model_id.as_deref(), Some("a:b"));
        assert!(!found.status_stream);
        assert_eq!(rest, r#"{"model":"m","x":[1, 2]}"#);
    }

    #[test]
    fn a_status_stream_is_a_stream() {
        let (found, rest) = read(r#"{"stream":false,"status_stream":true,"model":"m"}"#);
        assert!(found.status_stream);
        assert_eq!(rest, r#"{"model":"m","stream":true}"#);
    }

    #[test]
    fn words_within_a_text_are_none() {
        let body = r#"{"model":"m","messages":[{"content":"status_stream"}]}"#;
        assert_eq!(read(body), (Extras::default(), body.to_owned()));
        assert_eq!(read("[\"status_stream\"]").1, "[\"status_stream\"]");
    }

    #[test]
    fn other_types_are_refused() {
        for body in [r#"{"status_stream":1}"#, r#"{"provider_model_id":[]}"#] {
            let refused = extras(&Bytes::from_static(body.as_bytes())).unwrap_err();
            assert_eq!(refused.code, Code::InvalidRequest, "{body}");
        }
    }
}
