//! Ids of tool calls where a dialect forbids the one that there is, or has none. What is derived is the
//! same in every turn, so that prompt caches survive and results find their calls.

use std::borrow::Cow;

/// What ids a dialect accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdRule {
    /// Any text.
    Any,
    /// Up to 64 letters, digits, `_` and `-`: Anthropic and Bedrock.
    Word64,
    /// Exactly nine letters and digits: Mistral.
    Nine,
}

impl IdRule {
    fn accepts(self, id: &str) -> bool {
        let word = |extra: &str| id.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c));
        match self {
            Self::Any => !id.is_empty(),
            Self::Word64 => (1..=64).contains(&id.len()) && word("_-"),
            Self::Nine => id.len() == 9 && word(""),
        }
    }

    /// The id as the dialect accepts it: itself, or one derived from it behind `prefix`.
    #[must_use]
    pub fn fit<'a>(self, id: &'a str, prefix: &str) -> Cow<'a, str> {
        match self {
            _ if self.accepts(id) => Cow::Borrowed(id),
            Self::Nine => Cow::Owned(digits(hash(&[id.as_bytes()]), 36, 9)),
            _ => Cow::Owned(format!("{prefix}{}", digits(hash(&[id.as_bytes()]), 36, 13))),
        }
    }
}

/// The id of a call to which the dialect gave none: of the call number `index` in the turn at `place`.
#[must_use]
pub fn missing(place: usize, index: usize) -> String {
    let seed = hash(&[b"call", &place.to_be_bytes(), &index.to_be_bytes()]);
    format!("call_{}", digits(seed, 36, 13))
}

/// The id of a call in the answer `reply` to which the dialect gave none.
#[must_use]
pub fn missing_in_reply(reply: &str, index: usize) -> String {
    let seed = hash(&[reply.as_bytes(), &index.to_be_bytes()]);
    format!("call_{}", digits(seed, 36, 13))
}

/// A short mark of `text`, the same each time.
#[must_use]
pub fn mark(text: &str) -> String {
    digits(hash(&[text.as_bytes()]), 36, 8)
}

/// FNV-1a, 64 bits: neither version nor machine changes it.
fn hash(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The last `length` digits of `number` in `base`.
fn digits(mut number: u64, base: u64, length: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = vec![b'0'; length];
    for place in text.iter_mut().rev() {
        *place = DIGITS[usize::try_from(number % base).unwrap_or(0)];
        number /= base;
    }
    text.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_accepted_and_derives_the_rest() {
        assert_eq!(IdRule::Word64.fit("toolu_01-A", "toolu_"), "toolu_01-A");
        let long = "resp_0123456789:call_0";
        let fitted = IdRule::Word64.fit(long, "toolu_");
        assert!(fitted.starts_with("toolu_") && IdRule::Word64.accepts(&fitted), "{fitted}");
        assert_eq!(fitted, IdRule::Word64.fit(long, "toolu_"), "the same each time");
        assert!(IdRule::Nine.accepts(&IdRule::Nine.fit("call_abc", "")));
        assert_ne!(IdRule::Nine.fit("call_abc", ""), IdRule::Nine.fit("call_abd", ""));
        assert_ne!(missing(1, 0), missing(1, 1));
        assert_eq!(missing(1, 0), missing(1, 0));
    }
}
