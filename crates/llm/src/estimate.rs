//! About how many tokens a request has, before anybody counted them: text by its length, media that the
//! request carries in base64 by what the family's providers say they take.
//!
//! Text is what stands in strings that are values; names and punctuation of JSON are none, and twice as many bytes in a
//! short request. How much of a long one is text is seen at its beginning. No vocabulary is used: over the recorded
//! exchanges what a provider adds of its own is far more than what a vocabulary could mend (ADR 17).
//!
//! Nothing is parsed but the first bytes of each medium: what it is, and how large.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

use crate::json::string_end;
use crate::scanner::estimate_tokens;
use crate::surface::Family;

/// Requests shorter than this carry no medium worth a look.
const LEAST_BODY: usize = 4 << 10;
/// Strings shorter than this are counted as text whatever they are.
const LEAST_MEDIUM: usize = 512;
/// Media looked at in one request; the rest counts as text.
const MOST_MEDIA: usize = 256;
/// As much of a medium is decoded, in characters of base64: a JPEG may have a preview before its size.
const HEAD: usize = 64 << 10;

/// As much of a request is looked at to see how much of it is text.
const SAMPLE: usize = 16 << 10;
/// What a provider wraps a message in: its role and its ends (OpenAI's guide to counting tokens says 3).
const WRAPPING: u64 = 3;

/// Tokens that the body of a request is taken for.
#[must_use]
pub fn estimate_prompt(family: Family, body: &[u8]) -> u64 {
    let share = Share::of(&body[..body.len().min(SAMPLE)]);
    if body.len() < LEAST_BODY || !has_long_word(body) {
        return share.tokens(body.len() as u64);
    }
    let (mut text, mut media) = (body.len() as u64, 0);
    for base64 in carried(body) {
        if let Some(medium) = Medium::of(base64) {
            text = text.saturating_sub(base64.len() as u64);
            media += medium.tokens(family);
        }
    }
    share.tokens(text) + media
}

/// How much of the bytes that were looked at is text.
struct Share {
    text: u64,
    looked: u64,
}

impl Share {
    /// Looks at `sample`, the beginning of a body.
    fn of(sample: &[u8]) -> Self {
        let (mut text, mut opaque, mut at) = (0, 0, 0);
        while let Some(quote) = sample.get(at..).and_then(|rest| memchr::memchr(b'"', rest)) {
            let begin = at + quote + 1;
            let end = string_end(sample, begin);
            at = end + 1;
            let string = &sample[begin..end];
            let next = sample.get(at..).and_then(|rest| rest.iter().find(|byte| !byte.is_ascii_whitespace()));
            if string.len() >= LEAST_MEDIUM && has_long_word(string) {
                opaque += string.len() as u64;
            } else if next != Some(&b':') {
                text += string.len() as u64;
            }
        }
        Self { text, looked: (sample.len() as u64).saturating_sub(opaque) }
    }

    /// Tokens of so many bytes of which as large a part is text.
    fn tokens(&self, bytes: u64) -> u64 {
        let text = u128::from(bytes) * u128::from(self.text) / u128::from(self.looked.max(1));
        estimate_tokens(u64::try_from(text).unwrap_or(u64::MAX)) + WRAPPING
    }
}

/// Whether anything in `body` is long enough for a medium and has no blank: a look at its words costs a tenth
/// of a search. Half of the length, because words begin anywhere; a backslash is how some write a slash.
fn has_long_word(body: &[u8]) -> bool {
    let is_base64 =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_' | b'\\');
    body.chunks_exact(LEAST_MEDIUM / 2).any(|part| part.iter().all(is_base64))
}

/// The strings of `body` that may be media: behind the mark of a `data:` address, and in the members that
/// carry bare base64 (`data` of Messages, Gemini and Chat's audio, `bytes` of Converse, `file_data`).
fn carried(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    const BEGINNINGS: [&[u8]; 4] = [b";base64,", b"\"data\"", b"\"bytes\"", b"\"file_data\""];
    let found = BEGINNINGS.into_iter().flat_map(move |beginning| {
        memmem::find_iter(body, beginning).filter_map(move |at| value(body, at + beginning.len()))
    });
    found.filter(|string| string.len() >= LEAST_MEDIUM && !string.starts_with(b"data:")).take(MOST_MEDIA)
}

/// The rest of the string that `at` stands in, or the string that is the value of the name before `at`.
fn value(body: &[u8], mut at: usize) -> Option<&[u8]> {
    if body[at - 1] == b'"' {
        let rest = body[at..].iter().position(|byte| !b": \t\r\n".contains(byte))?;
        at += rest;
        if body[at] != b'"' {
            return None;
        }
        at += 1;
    }
    Some(&body[at..string_end(body, at)])
}

/// What a medium is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    /// A picture, with width and height where they are found.
    Image(Option<(u64, u64)>),
    /// A document, with its pages.
    Document(u64),
    /// Sound, with its seconds.
    Audio(u64),
    /// A film, with its seconds.
    Video(u64),
}

impl Medium {
    fn of(base64: &[u8]) -> Option<Self> {
        let head = &base64[..base64.len().min(HEAD) / 4 * 4];
        let head = STANDARD.decode(head).ok()?;
        let size = base64.len() as u64 / 4 * 3;
        Some(match &*head {
            [0x89, b'P', b'N', b'G', ..] => Self::Image(be32(&head, 16).zip(be32(&head, 20))),
            [b'G', b'I', b'F', b'8', ..] => Self::Image(le16(&head, 6).zip(le16(&head, 8))),
            [0xff, 0xd8, ..] => Self::Image(jpeg(&head)),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::Image(webp(&head)),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => {
                Self::Audio(size / le32(&head, 28).unwrap_or(0).max(1_000))
            }
            // Documents hide their pages in compressed objects; one of text and figures has about 50 KB.
            [b'%', b'P', b'D', b'F', ..] => Self::Document((size / 50_000).max(1)),
            // 128 kbit a second, as speech and music are mostly compressed.
            [b'I', b'D', b'3', ..] | [b'O', b'g', b'g', b'S', ..] | [b'f', b'L', b'a', b'C', ..] => {
                Self::Audio(size / 16_000)
            }
            [0xff, second, ..] if second & 0xe0 == 0xe0 => Self::Audio(size / 16_000),
            // 1 Mbit a second.
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Self::Video(size / 125_000),
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Self::Video(size / 125_000),
            _ => return None,
        })
    }

    /// What the providers of `family` say it takes. Where they give a range, its middle.
    fn tokens(self, family: Family) -> u64 {
        match (self, family) {
            (Self::Image(size), Family::OpenAi) => tiles_of_openai(size),
            // Width × height ÷ 750, after the picture was made to fit 1.15 megapixels.
            (Self::Image(size), Family::Anthropic | Family::Bedrock) => {
                size.map_or(1_600, |(width, height)| (width * height / 750).clamp(1, 1_600))
            }
            (Self::Image(size), Family::Gemini) => tiles_of_gemini(size),
            (Self::Document(pages), Family::Gemini) => pages * 258,
            // 1,500 to 3,000 tokens of text and picture a page.
            (Self::Document(pages), _) => pages * 2_250,
            (Self::Audio(seconds), Family::Gemini) => seconds.max(1) * 32,
            (Self::Audio(seconds), _) => seconds.max(1) * 10,
            // A frame a second, and the sound.
            (Self::Video(seconds), _) => seconds.max(1) * 290,
        }
    }
}

/// 85 tokens and 170 for each tile of 512 pixels, after the picture was made to fit a square of 2,048 and
/// its shorter side 768.
fn tiles_of_openai(size: Option<(u64, u64)>) -> u64 {
    let (mut width, mut height) = size.unwrap_or((1_024, 1_024));
    let longer = width.max(height);
    if longer > 2_048 {
        (width, height) = (width * 2_048 / longer, height * 2_048 / longer);
    }
    let shorter = width.min(height);
    if shorter > 768 {
        (width, height) = (width * 768 / shorter, height * 768 / shorter);
    }
    85 + 170 * width.div_ceil(512).max(1) * height.div_ceil(512).max(1)
}

/// 258 tokens for each tile of 768 pixels; a picture of up to 384 by 384 is one.
fn tiles_of_gemini(size: Option<(u64, u64)>) -> u64 {
    let (width, height) = size.unwrap_or((768, 768));
    // Larger pictures are made smaller.
    let tiles = width.div_ceil(768).max(1) * height.div_ceil(768).max(1);
    258 * tiles.min(16)
}

/// The size in a frame header of a JPEG: the segments before it are passed over.
fn jpeg(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut at = 2;
    loop {
        let [0xff, kind] = *bytes.get(at..at + 2)? else { return None };
        let is_frame = (0xc0..=0xcf).contains(&kind) && !matches!(kind, 0xc4 | 0xc8 | 0xcc);
        if is_frame {
            return be16(bytes, at + 7).zip(be16(bytes, at + 5));
        }
        at += 2 + usize::try_from(be16(bytes, at + 2)?.max(2)).ok()?;
    }
}

/// The size of a WebP, in each of its three forms.
fn webp(bytes: &[u8]) -> Option<(u64, u64)> {
    let le24 = |at: usize| Some(le32(bytes, at)? & 0xff_ffff);
    match bytes.get(12..16)? {
        b"VP8X" => Some((le24(24)? + 1, le24(27)? + 1)),
        b"VP8L" => {
            let bits = le32(bytes, 21)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8 " => Some((le16(bytes, 26)? & 0x3fff, le16(bytes, 28)? & 0x3fff)),
        _ => None,
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

fn be32(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

fn le16(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

fn le32(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A medium of 300 KB that begins with `head`.
    fn medium(head: &[u8]) -> String {
        let mut bytes = head.to_vec();
        bytes.resize(300_000, 0);
        STANDARD.encode(bytes)
    }

    fn png(width: u32, height: u32) -> String {
        let mut head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        head.extend(width.to_be_bytes());
        head.extend(height.to_be_bytes());
        medium(&head)
    }

    #[test]
    fn the_shortest_medium_is_found_wherever_it_begins() {
        for place in 0..LEAST_MEDIUM {
            let body = ["two words ".repeat(500), ".".repeat(place), "a".repeat(LEAST_MEDIUM)].concat();
            assert!(has_long_word(body.as_bytes()), "{place}");
        }
        assert!(!has_long_word("two words ".repeat(500).as_bytes()));
    }

    #[test]
    fn a_picture_counts_by_its_family_s_rule_and_not_as_text() {
        let image = png(1_000, 1_000);
        let chat = format!(r#"{{"image_url":{{"url":"data:image/png;base64,{image}"}}}}"#);
        let messages =
            format!(r#"{{"source":{{"type":"base64","media_type":"image/png","data": "{image}"}}}}"#);
        let gemini = format!(r#"{{"inlineData":{{"mimeType":"image/png","data":"{image}"}}}}"#);
        let converse = format!(r#"{{"image":{{"source":{{"bytes":"{image}"}}}}}}"#);
        let near = |family, body: &str, tokens: u64| {
            let estimate = estimate_prompt(family, body.as_bytes());
            assert!((tokens..tokens + 40).contains(&estimate), "{family:?}: {estimate}");
        };
        near(Family::OpenAi, &chat, 85 + 170 * 4);
        near(Family::Anthropic, &messages, 1_333);
        near(Family::Gemini, &gemini, 258 * 4);
        near(Family::Bedrock, &converse, 1_333);
        let two = format!("[{chat},{chat}]");
        near(Family::OpenAi, &two, 2 * (85 + 170 * 4));
    }

    #[test]
    fn documents_sound_and_films_count_by_what_they_are() {
        let of = |head: &[u8]| Medium::of(medium(head).as_bytes());
        assert_eq!(of(b"%PDF-1.7\n"), Some(Medium::Document(6)));
        assert_eq!(of(b"ID3\x04"), Some(Medium::Audio(18)));
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        wav.extend(16_000_u32.to_le_bytes());
        wav.extend(32_000_u32.to_le_bytes());
        assert_eq!(of(&wav), Some(Medium::Audio(9)));
        assert_eq!(of(b"\0\0\0\x18ftypmp42"), Some(Medium::Video(2)));
        assert_eq!(of(b"what is this"), None);
        assert_eq!(Medium::Document(6).tokens(Family::Gemini), 6 * 258);
        assert_eq!(Medium::Audio(9).tokens(Family::OpenAi), 90);
    }

    #[test]
    fn pictures_say_how_large_they_are() {
        let of = |head: &[u8]| Medium::of(medium(head).as_bytes());
        let jpeg =
            b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xc2\0\x11\x08\x02\x58\x03\x20";
        assert_eq!(of(jpeg), Some(Medium::Image(Some((800, 600)))));
        assert_eq!(of(b"GIF89a\x20\x03\x58\x02"), Some(Medium::Image(Some((800, 600)))));
        let extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x1f\x03\0\x57\x02\0";
        assert_eq!(of(extended), Some(Medium::Image(Some((800, 600)))));
        assert_eq!(of(b"\xff\xd8\xff\xff"), Some(Medium::Image(None)), "a broken one is one all the same");
    }

    #[test]
    fn large_pictures_are_made_smaller_first() {
        let image = |width, height| Medium::Image(Some((width, height)));
        assert_eq!(image(4_000, 4_000).tokens(Family::Anthropic), 1_600);
        assert_eq!(image(2_048, 4_096).tokens(Family::OpenAi), 85 + 170 * 6);
        assert_eq!(image(300, 300).tokens(Family::Gemini), 258);
        assert_eq!(image(300, 300).tokens(Family::OpenAi), 85 + 170);
    }

    #[test]
    fn everything_else_is_text() {
        let long = format!(r#"{{"data":"{}","bytes":12,"data":{{}}}}"#, "word ".repeat(2_000));
        assert_eq!(estimate_prompt(Family::OpenAi, long.as_bytes()), 2_500 + WRAPPING);
        assert_eq!(estimate_prompt(Family::OpenAi, b"{}"), WRAPPING);
        let cut = format!(r#"{}"data""#, " ".repeat(5_000));
        assert_eq!(estimate_prompt(Family::OpenAi, cut.as_bytes()), 1 + WRAPPING);
    }

    #[test]
    fn names_and_punctuation_are_no_text_however_they_are_spaced() {
        let close = r#"{"model":"m-1","messages":[{"role":"user","content":"How many \"words\" is this?"}]}"#;
        let wide = close.replace(':', " : ").replace(',', " ,\n");
        for body in [close, &wide] {
            // `m-1`, `user` and the 27 bytes of the question.
            assert_eq!(estimate_prompt(Family::OpenAi, body.as_bytes()), 34 / 4 + WRAPPING, "{body}");
        }
    }

    #[test]
    fn what_a_provider_sealed_is_no_text_and_a_long_request_is_judged_by_its_beginning() {
        let sealed = format!(r#"{{"text":"four","signature":"{}"}}"#, "Ab9+".repeat(2_000));
        assert!(estimate_prompt(Family::Anthropic, sealed.as_bytes()) < 800);
        let turn = r#"{"role":"user","content":"twenty bytes of text"},"#;
        let tokens = estimate_prompt(Family::OpenAi, turn.repeat(4_000).as_bytes());
        assert!((23_500..24_500).contains(&tokens), "{tokens}");
    }
}
