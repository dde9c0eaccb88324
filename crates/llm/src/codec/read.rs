//! Readings of raw values that codecs share. Lenient: what does not read as expected is absent.

use crate::cursor::Cursor;
use crate::json::Fault;
use crate::members;
use crate::neutral::{
    Cache, Citation, Dialect, Effort, Ext, Media, MediaKind, MediaSource, Opaque, OpaqueKind, Part, Raw, Used,
};
use crate::usage::{Conventions, Counts};

/// Reads content, which is text or an array of parts, each by `one`. Empty text is no part.
pub(crate) fn content(
    value: &mut Cursor<'_>,
    one: impl Fn(&mut Cursor<'_>) -> Result<Part, Fault>,
) -> Result<Vec<Part>, Fault> {
    let mut parts = Vec::new();
    if value.first() == b'[' {
        value.array(|value| {
            parts.push(one(value)?);
            Ok(())
        })?;
    } else {
        let text = value.words()?;
        if text.room() > 0 {
            parts.push(Part::text(text));
        }
    }
    Ok(parts)
}

/// The string that `raw` is, or nothing.
pub(crate) fn text(raw: &str) -> String {
    members::string(raw).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

/// The string that `raw` is, if it is one.
pub(crate) fn text_if(raw: &str) -> Option<String> {
    members::string(raw).map(std::borrow::Cow::into_owned)
}

/// The whole number that `raw` is; a fraction is cut off.
pub(crate) fn count(raw: &str) -> Option<u64> {
    raw.parse().ok().or_else(|| {
        let number: f64 = raw.parse().ok()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        (number >= 0.0).then_some(number as u64)
    })
}

/// The boolean that `raw` is.
pub(crate) fn flag(raw: &str) -> Option<bool> {
    raw.parse().ok()
}

/// The value as it stands, unless it is `null`.
pub(crate) fn said(raw: &str) -> Option<Raw> {
    (raw != "null").then(|| Raw::new(raw))
}

/// The strings of an array, or the one string in its place.
pub(crate) fn texts(raw: &str) -> Vec<String> {
    match text_if(raw) {
        Some(one) => vec![one],
        None => members::elements(raw).into_iter().filter_map(text_if).collect(),
    }
}

/// The member `name` of the object `raw`, as raw value.
pub(crate) fn member<'a>(raw: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    let _ = members::each(raw, |key, value| {
        if key == name {
            found = Some(value);
        }
    });
    found
}

/// The string in the member `name` of the object `raw`.
pub(crate) fn member_text(raw: &str, name: &str) -> Option<String> {
    text_if(member(raw, name)?)
}

/// An effort by its name.
pub(crate) fn effort(raw: &str) -> Option<Effort> {
    Effort::parse(&members::string(raw)?)
}

/// Anthropic's mark for the prompt cache, which compatible vendors take on Chat's parts too.
pub(crate) fn cache_mark(raw: &str) -> Option<Cache> {
    if !raw.starts_with('{') {
        return None;
    }
    Some(match member_text(raw, "ttl").as_deref() {
        Some("1h") => Cache::Hour,
        Some("5m") => Cache::FiveMinutes,
        _ => Cache::Usual,
    })
}

/// Usage as `raw` states it, in the counters and as it stands.
pub(crate) fn used(counts: &Counts, conventions: Conventions, dialect: Dialect, raw: &str) -> Option<Used> {
    let counters = counts.usage(conventions)?;
    let mut ext = Ext::default();
    let _ = members::each(raw, |name, value| ext.keep(dialect, name, value));
    Some(Used { counters, ext })
}

/// Type and base64 text of a `data:` address; `None` for every other address.
pub(crate) fn data_url(url: &str) -> Option<(String, String)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let mut words = head.split(';');
    let mime = words.next().filter(|mime| !mime.is_empty()).unwrap_or("text/plain");
    words.any(|word| word.eq_ignore_ascii_case("base64")).then(|| (mime.to_owned(), data.to_owned()))
}

/// A medium at `url`, which may be a `data:` address.
pub(crate) fn media_at(kind: MediaKind, url: String) -> Media {
    let (mime, source) = match data_url(&url) {
        Some((mime, data)) => (Some(mime), MediaSource::Base64(data)),
        None => (None, MediaSource::Url(url)),
    };
    Media { kind, mime, source, name: None, detail: None }
}

/// What kind of medium a type is.
pub(crate) fn kind_of_mime(mime: &str) -> MediaKind {
    match mime.split('/').next() {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    }
}

/// A citation of a page on the web.
pub(crate) fn page(url: Option<String>, title: Option<String>) -> Citation {
    Citation { url, title, ..Citation::default() }
}

/// Marks what one provider sealed for a caller whose dialect has a place for a seal but not for its
/// maker's name. Anthropic's seals are base64, in which there is no dot.
const SEAL: &str = "yumen.";

/// Whether a request has a seal within that is marked as a foreign maker's: no provider may see it. It may
/// have been marked by another process, or before a restart.
pub(crate) fn has_tagged_seal(body: &[u8]) -> bool {
    begins_a_text(body, b"\"yumen.")
}

/// Whether `beginning`, a quote and what follows it, begins a string in `body`: behind a backslash it would
/// be within one.
pub(crate) fn begins_a_text(body: &[u8], beginning: &[u8]) -> bool {
    memchr::memmem::find_iter(body, beginning).any(|at| at == 0 || body[at - 1] != b'\\')
}

/// A seal of a foreign maker, or of none (thoughts that nobody sealed), as callers of another dialect
/// carry it.
pub(crate) fn tag_seal(opaque: Option<&Opaque>) -> String {
    match opaque {
        None => format!("{SEAL}none."),
        Some(opaque) => {
            let (maker, kind) = (opaque.origin.name(), kind_name(opaque.kind));
            format!("{SEAL}{maker}.{kind}.{}", opaque.data)
        }
    }
}

/// What [`tag_seal`] made: `None` when it did not make `text`, and within it `None` for no seal.
pub(crate) fn untag_seal(text: &str) -> Option<Option<Opaque>> {
    let rest = text.strip_prefix(SEAL)?;
    let mut words = rest.splitn(3, '.');
    let maker = words.next()?;
    let mut read = || {
        let origin = Dialect::ALL.into_iter().find(|dialect| dialect.name() == maker)?;
        let name = words.next()?;
        let kind = KINDS.into_iter().find(|kind| kind_name(*kind) == name)?;
        Some(Opaque { origin, kind, data: words.next()?.to_owned() })
    };
    Some(read())
}

const KINDS: [OpaqueKind; 4] =
    [OpaqueKind::Signature, OpaqueKind::Redacted, OpaqueKind::Encrypted, OpaqueKind::Details];

fn kind_name(kind: OpaqueKind) -> &'static str {
    match kind {
        OpaqueKind::Signature => "signature",
        OpaqueKind::Redacted => "redacted",
        OpaqueKind::Encrypted => "encrypted",
        OpaqueKind::Details => "details",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seals_come_back_as_they_went() {
        let seal = Opaque { origin: Dialect::Gemini, kind: OpaqueKind::Signature, data: "a.b==".into() };
        assert_eq!(untag_seal(&tag_seal(Some(&seal))), Some(Some(seal)));
        assert_eq!(untag_seal(&tag_seal(None)), Some(None));
        assert_eq!(untag_seal("EqoBCkgIARABGAIiQ=="), None);
    }

    #[test]
    fn a_marked_seal_is_seen_where_it_is_one() {
        assert!(has_tagged_seal(br#"{"signature":"yumen.none."}"#));
        for text in
            [r#"{"text":"yumen"}"#, r#"{"text":"he said \"yumen.none.\""}"#, r#"{"text":"a yumen.b"}"#]
        {
            assert!(!has_tagged_seal(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn data_addresses_are_taken_apart() {
        let apart = |mime: &str, data: &str| Some((mime.to_owned(), data.to_owned()));
        assert_eq!(data_url("data:image/png;base64,iVBO"), apart("image/png", "iVBO"));
        assert_eq!(data_url("data:;base64,QQ"), apart("text/plain", "QQ"));
        assert_eq!(data_url("https://example.com/a.png"), None);
        assert_eq!(data_url("data:text/plain,hello"), None);
    }
}
