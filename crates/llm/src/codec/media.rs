//! Media by address, for dialects that take none: whoever can fetch puts the bytes in the place of the
//! address before the request is written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::neutral::{Block, Dialect, Media, MediaKind, MediaSource, Part, Request};

/// Whether a provider of `dialect` must be given the bytes of a medium at an address.
fn needs_bytes(dialect: Dialect, media: &Media) -> bool {
    match dialect {
        Dialect::BedrockConverse | Dialect::Gemini => true,
        Dialect::OpenAiChat => matches!(media.kind, MediaKind::Document | MediaKind::Audio),
        Dialect::OpenAiResponses => media.kind == MediaKind::Audio,
        Dialect::AnthropicMessages => false,
    }
}

fn each(parts: &mut [Part], seen: &mut impl FnMut(&mut Media)) {
    for part in parts {
        match &mut part.block {
            Block::Media(media) => seen(media),
            Block::ToolResult(result) => each(&mut result.parts, seen),
            _ => {}
        }
    }
}

fn each_of(request: &mut Request, mut seen: impl FnMut(&mut Media)) {
    for turn in request.instructions.iter_mut().chain(&mut request.turns) {
        each(&mut turn.parts, &mut seen);
    }
}

/// The addresses in `request` whose media must be fetched for a provider of `dialect`, each once.
#[must_use]
pub fn to_fetch(request: &mut Request, dialect: Dialect) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    each_of(request, |media| {
        if let MediaSource::Url(url) = &media.source
            && is_web(url)
            && needs_bytes(dialect, media)
            && !found.contains(url)
        {
            found.push(url.clone());
        }
    });
    found
}

/// Addresses of other schemes (`gs:`, `s3:`) are the provider's own affair.
fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// Puts what was fetched from `url` in its place: its type and its bytes.
pub fn embed(request: &mut Request, url: &str, mime: &str, bytes: &[u8]) {
    let base64 = STANDARD.encode(bytes);
    each_of(request, |media| {
        if matches!(&media.source, MediaSource::Url(own) if own == url) {
            media.source = MediaSource::Base64(base64.clone());
            media.mime = Some(mime.to_owned());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neutral::{Role, Turn};

    fn image(url: &str) -> Part {
        Block::Media(Media {
            kind: MediaKind::Image,
            mime: None,
            source: MediaSource::Url(url.to_owned()),
            name: None,
            detail: None,
        })
        .into()
    }

    #[test]
    fn what_a_dialect_cannot_take_by_address_is_fetched_once() {
        let mut request = Request::new(Dialect::OpenAiChat, "m");
        let parts = ["https://a/x.png", "gs://b/y", "https://a/x.png"].map(image).to_vec();
        request.turns = vec![Turn::new(Role::User, parts, 0)];
        assert_eq!(to_fetch(&mut request, Dialect::AnthropicMessages), Vec::<String>::new());
        assert_eq!(to_fetch(&mut request, Dialect::BedrockConverse), ["https://a/x.png"]);
        embed(&mut request, "https://a/x.png", "image/png", b"ABC");
        assert_eq!(to_fetch(&mut request, Dialect::BedrockConverse), Vec::<String>::new());
    }
}
