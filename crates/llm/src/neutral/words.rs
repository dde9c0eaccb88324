//! Text that is only looked at when somebody must. A conversation is mostly text that one side wrote as
//! JSON and the other reads as JSON: between the two it keeps its escapes.

use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

use crate::json_text::{self, Piece};

/// A text. Reads as `str`; of one that came in with escapes, the first reading takes them out.
#[derive(Clone, Default)]
pub struct Words {
    text: String,
    form: Form,
    plain: OnceLock<String>,
}

/// What [`Words::text`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    /// The text itself.
    #[default]
    Plain,
    /// The text itself, and JSON needs no escapes for it.
    Bare,
    /// The text as it stands between the quotes of a JSON string.
    Escaped,
}

impl Words {
    /// What stands between the quotes of a valid JSON string; `is_escaped` says whether there is any
    /// escape in it.
    pub(crate) fn of_json(text: &str, is_escaped: bool) -> Self {
        let form = if is_escaped { Form::Escaped } else { Form::Bare };
        Self { text: text.to_owned(), form, plain: OnceLock::new() }
    }

    /// The text for whoever writes it.
    pub(crate) fn piece(&self) -> Piece<'_> {
        match self.form {
            Form::Plain => Piece::Plain(&self.text),
            Form::Bare | Form::Escaped => Piece::Json(&self.text),
        }
    }

    /// About how many bytes it has, without reading it.
    pub(crate) fn room(&self) -> usize {
        self.text.len()
    }

    /// Whether there is nothing in it but space.
    pub(crate) fn is_blank(&self) -> bool {
        match self.text.trim_start().as_bytes() {
            [] => true,
            [b'\\', ..] if self.form == Form::Escaped => self.trim_start().is_empty(),
            _ => false,
        }
    }

    /// Whether it begins with `words`, which have nothing in them that needs an escape.
    pub(crate) fn begins_with(&self, words: &str) -> bool {
        self.text.starts_with(words)
    }

    /// Adds `more` at its end.
    pub fn push_str(&mut self, more: &str) {
        if self.form == Form::Escaped {
            self.text = str::to_owned(self);
            self.plain = OnceLock::new();
        }
        self.form = Form::Plain;
        self.text.push_str(more);
    }

    /// The text as a string of its own.
    #[must_use]
    pub fn into_string(self) -> String {
        match self.form {
            Form::Plain | Form::Bare => self.text,
            Form::Escaped => str::to_owned(&self),
        }
    }
}

impl Deref for Words {
    type Target = str;

    fn deref(&self) -> &str {
        match self.form {
            Form::Plain | Form::Bare => &self.text,
            Form::Escaped => self.plain.get_or_init(|| json_text::without_escapes(&self.text)),
        }
    }
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Self { text, form: Form::Plain, plain: OnceLock::new() }
    }
}

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<std::borrow::Cow<'_, str>> for Words {
    fn from(text: std::borrow::Cow<'_, str>) -> Self {
        text.into_owned().into()
    }
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Words {}

impl PartialEq<str> for Words {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Words {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<'a> From<&'a Words> for Piece<'a> {
    fn from(words: &'a Words) -> Self {
        words.piece()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_writer::JsonWriter;

    fn written(words: &Words) -> String {
        let mut json = JsonWriter::new();
        json.text(words);
        json.into_string()
    }

    #[test]
    fn escapes_stay_until_somebody_reads() {
        let words = Words::of_json(r"a\n\u00e9\/", true);
        assert_eq!(written(&words), r#""a\n\u00e9\/""#);
        assert_eq!(words, "a\né/");
        assert_eq!(written(&words), r#""a\n\u00e9\/""#, "reading changes nothing");
        assert_eq!(words, Words::from("a\né/"));
        assert_eq!(written(&Words::from("a\né/")), r#""a\né/""#);
        assert_eq!(words.into_string(), "a\né/");
    }

    #[test]
    fn what_is_added_follows_the_text_itself() {
        let mut words = Words::of_json(r"a\n", true);
        words.push_str("b\n");
        assert_eq!(words, "a\nb\n");
        assert_eq!(written(&words), r#""a\nb\n""#);
    }

    #[test]
    fn blank_is_blank_with_escapes_too() {
        for (json, is_escaped, is_blank) in [
            ("", false, true),
            ("  ", false, true),
            (r" \n\t ", true, true),
            (r" \u0020", true, true),
            (r" \\", true, false),
            (r"x\n", true, false),
        ] {
            assert_eq!(Words::of_json(json, is_escaped).is_blank(), is_blank, "{json}");
        }
        assert!(!Words::from("\\n").is_blank());
    }
}
