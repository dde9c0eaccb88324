//! Words, and how many tokens they count as: a rule that is simple, the same everywhere, and near enough.

/// The longest run of letters that counts as one token.
const LONGEST_TOKEN: usize = 12;

/// The words that a long answer is filled with.
const WORDS: [&str; 24] = [
    "caravans",
    "cross",
    "the",
    "pass",
    "at",
    "dawn",
    "with",
    "silk",
    "and",
    "jade",
    "while",
    "guards",
    "count",
    "every",
    "camel",
    "then",
    "open",
    "gates",
    "so",
    "that",
    "travellers",
    "reach",
    "distant",
    "markets",
];

/// Splits a text into tokens that give the text again when joined. A token is a word with the
/// space before it, at most twelve bytes; outside ASCII each character is one.
pub fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (token, after) = rest.split_at(first_token(rest));
        rest = after;
        Some(token)
    })
}

/// Where the first token of a text that is not empty ends.
fn first_token(text: &str) -> usize {
    let mut in_word = false;
    for (i, c) in text.char_indices() {
        let ends = if c.is_ascii_whitespace() { in_word } else { in_word && !c.is_ascii() };
        if ends || i >= LONGEST_TOKEN {
            return i.max(1);
        }
        if !c.is_ascii() {
            return i + c.len_utf8();
        }
        in_word |= !c.is_ascii_whitespace();
    }
    text.len()
}

/// How many tokens a text counts as.
pub fn count(text: &str) -> u64 {
    tokens(text).count() as u64
}

/// The answer to a message: an echo and a sentence of help; with `wanted`, as many tokens exactly.
pub fn answer_to(message: &str, wanted: Option<usize>) -> String {
    let said = message.trim().trim_end_matches(['.', '!', '?', '。', '！', '？']);
    let mut text = format!(
        "You said: {said}. This is the demo provider: it gives the same answer to the same question every time. \
         Add an account of a real provider to talk to a real model."
    );
    let Some(wanted) = wanted else { return text };
    let have = tokens(&text).count();
    for i in have..wanted {
        text.push(' ');
        text.push_str(WORDS[i % WORDS.len()]);
    }
    tokens(&text).take(wanted).collect()
}

/// A hash that never changes between versions (FNV-1a, 64 bits; RFC 9923 §2).
pub fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_give_the_text_again() {
        for (text, count) in [
            ("", 0),
            ("one", 1),
            ("one two", 2),
            (" one  two ", 3),
            ("玉门关", 3),
            ("a玉b", 3),
            ("pneumonoultramicroscopic", 2),
            ("\n\n", 1),
        ] {
            assert_eq!(tokens(text).collect::<String>(), text);
            assert_eq!(tokens(text).count(), count, "{text:?}");
        }
    }

    #[test]
    fn an_answer_has_as_many_tokens_as_wanted() {
        for wanted in [0, 1, 7, 100, 4096] {
            assert_eq!(count(&answer_to("hello", Some(wanted))), wanted as u64);
        }
        assert!(answer_to("How are you?", None).starts_with("You said: How are you. "));
    }
}
