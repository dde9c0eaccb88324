//! The rows of a block as text, small: a text that repeats stands once, in the first line, and a row is
//! numbers, among them the place of a text where one is meant.
//!
//! Bytes are what writing a block costs, and most of what requests say is what those before them said. A
//! block begins with [`MARK`]; one that does not was written by an earlier version, as lines of JSON.

use std::borrow::Cow;
use std::str::Split;

use foldhash::{HashMap, HashMapExt};
use model::{Usage, UsageSource, plain};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a sheet begins with; no JSON does.
const MARK: &str = "~";
/// Stands for what is not there.
const NONE: &str = "-";
/// The sources of usage, by their place.
const SOURCES: [UsageSource; 3] = [UsageSource::None, UsageSource::Measured, UsageSource::Estimated];

/// A sheet being written.
pub(crate) struct Sheet<'t> {
    texts: Vec<Cow<'t, str>>,
    places: HashMap<&'t str, usize>,
    /// The repeated texts of the row before, in their order, and how far this row is in it: most texts are the
    /// very same ones, which need not be looked up.
    before: Vec<(&'t str, usize)>,
    at: usize,
    rows: Vec<u8>,
}

impl<'t> Sheet<'t> {
    /// An empty one with room for so many bytes of rows.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            texts: Vec::new(),
            places: HashMap::with_capacity(32),
            before: Vec::new(),
            at: 0,
            rows: Vec::with_capacity(bytes),
        }
    }

    /// Appends a number.
    pub fn number(&mut self, value: impl Into<u64>) {
        let value = value.into();
        match u8::try_from(value) {
            // Most are small.
            Ok(digit @ 0..10) => self.rows.extend_from_slice(&[b'0' + digit, b' ']),
            _ => self.raw(|out| plain::number(out, value)),
        }
    }

    /// Appends a number that may be negative.
    pub fn signed(&mut self, value: i64) {
        self.raw(|out| plain::signed(out, value));
    }

    /// Appends how many of something follow.
    pub fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Appends a text that other rows have, too.
    pub fn text(&mut self, text: &'t str) {
        let place = match self.before.get(self.at) {
            Some((same, place)) if std::ptr::eq(*same, text) => *place,
            _ => self.place_of(text),
        };
        match self.before.get_mut(self.at) {
            Some(before) => *before = (text, place),
            None => self.before.push((text, place)),
        }
        self.at += 1;
        self.count(place);
    }

    fn place_of(&mut self, text: &'t str) -> usize {
        let texts = &mut self.texts;
        *self.places.entry(text).or_insert_with(|| {
            texts.push(Cow::Borrowed(text));
            texts.len() - 1
        })
    }

    /// Appends a text that hardly another row has.
    pub fn own_text(&mut self, text: impl Into<Cow<'t, str>>) {
        self.texts.push(text.into());
        self.count(self.texts.len() - 1);
    }

    /// Appends something rare that has a form of its own.
    pub fn json(&mut self, value: &impl Serialize) {
        self.own_text(serde_json::to_string(value).expect("what is kept always serialises"));
    }

    /// Appends what `write` writes: neither empty nor with a space, a line feed or a dash at its beginning.
    pub fn raw(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.rows);
        self.rows.push(b' ');
    }

    /// Appends what may not be there.
    pub fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.raw(|out| out.extend_from_slice(NONE.as_bytes())),
        }
    }

    /// Appends the counts that are not zero, after a number whose bits say which those are.
    pub fn usage(&mut self, usage: &Usage) {
        let counts = counts(usage);
        let is_there = counts.iter().rev().fold(0_u64, |bits, count| bits << 1 | u64::from(*count > 0));
        self.number(is_there);
        counts.into_iter().filter(|count| *count > 0).for_each(|count| self.number(count));
        let source = SOURCES.iter().position(|source| *source == usage.source).unwrap_or(0);
        self.number(source as u64 + SOURCES.len() as u64 * usage.marks());
    }

    /// Ends a row.
    pub fn end(&mut self) {
        self.at = 0;
        if let Some(last) = self.rows.last_mut() {
            *last = b'\n';
        }
    }

    /// The whole sheet.
    pub fn finish(self) -> String {
        let mut text = MARK.as_bytes().to_vec();
        serde_json::to_writer(&mut text, &self.texts).expect("a list of texts always serialises");
        text.push(b'\n');
        text.extend_from_slice(&self.rows);
        String::from_utf8(text).expect("texts and numbers are text")
    }
}

fn counts(usage: &Usage) -> [u64; 9] {
    [
        usage.input,
        usage.output,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.reasoning,
        usage.audio_in,
        usage.audio_out,
        usage.web_searches,
    ]
}

/// A block as it was read: its rows, and the texts that they mean if it is a sheet.
pub(crate) struct Block<'b> {
    /// `None` for a block of an earlier version: each of its rows is JSON.
    pub texts: Option<Vec<Cow<'b, str>>>,
    rows: &'b str,
}

impl<'b> Block<'b> {
    /// Reads the first line of a block; `None` when it is neither a sheet nor JSON.
    pub fn of(block: &'b str) -> Option<Self> {
        let Some(sheet) = block.strip_prefix(MARK) else {
            return Some(Self { texts: None, rows: block });
        };
        let (texts, rows) = sheet.split_once('\n')?;
        Some(Self { texts: Some(serde_json::from_str(texts).ok()?), rows })
    }

    /// Its rows in order.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &'b str> + use<'b> {
        self.rows.lines()
    }
}

/// The cells of one row of a sheet, read in the order in which they were written.
pub(crate) struct Cells<'b, 'r> {
    texts: &'r [Cow<'b, str>],
    cells: Split<'r, char>,
}

impl<'b, 'r> Cells<'b, 'r> {
    /// The cells of `row`, whose texts are those of the sheet.
    pub fn of(texts: &'r [Cow<'b, str>], row: &'r str) -> Self {
        Self { texts, cells: row.split(' ') }
    }

    /// The next cell as it stands.
    pub fn raw(&mut self) -> Option<&'r str> {
        self.cells.next()
    }

    /// The next cell, a number that fits.
    pub fn number<N: TryFrom<u64>>(&mut self) -> Option<N> {
        N::try_from(self.raw()?.parse::<u64>().ok()?).ok()
    }

    /// The next cell, a number that may be negative.
    pub fn signed(&mut self) -> Option<i64> {
        self.raw()?.parse().ok()
    }

    /// The next cell, yes or no.
    pub fn flag(&mut self) -> Option<bool> {
        Some(self.number::<u8>()? == 1)
    }

    /// The text that the next cell means.
    pub fn text(&mut self) -> Option<&'r str> {
        let place: usize = self.number()?;
        self.texts.get(place).map(AsRef::as_ref)
    }

    /// What [`Sheet::json`] wrote.
    pub fn json<T: DeserializeOwned>(&mut self) -> Option<T> {
        serde_json::from_str(self.text()?).ok()
    }

    /// What may not be there. Nor is it in rows that were written before there was such a thing.
    pub fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        let mut ahead = self.cells.clone();
        if ahead.next().is_none_or(|cell| cell == NONE) {
            self.cells = ahead;
            return Some(None);
        }
        read(self).map(Some)
    }

    /// As many of something as the next cell says.
    pub fn many<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count: u32 = self.number()?;
        (0..count).map(|_| read(self)).collect()
    }

    /// Counts, and how they are known.
    pub fn usage(&mut self) -> Option<Usage> {
        let is_there: u64 = self.number()?;
        let mut counts = [0; 9];
        for (place, count) in counts.iter_mut().enumerate() {
            if is_there >> place & 1 == 1 {
                *count = self.number()?;
            }
        }
        let how: u64 = self.number()?;
        let (source, marks) = (how % SOURCES.len() as u64, how / SOURCES.len() as u64);
        let source = *SOURCES.get(usize::try_from(source).ok()?)?;
        let [
            input,
            output,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            reasoning,
            audio_in,
            audio_out,
            web_searches,
        ] = counts;
        Usage {
            input,
            output,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            reasoning,
            audio_in,
            audio_out,
            web_searches,
            source,
            ..Usage::default()
        }
        .marked(marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ServiceTier;

    #[test]
    fn what_is_written_is_read_back() {
        let usage = Usage {
            input: 7,
            audio_out: u64::MAX,
            source: UsageSource::Measured,
            tier: Some(ServiceTier::Flex),
            capped: true,
            ..Usage::default()
        };
        let nasty = "a \"b\"\n~\u{1b}玉";
        let mut sheet = Sheet::with_capacity(10);
        for number in [0_u64, u64::MAX] {
            sheet.number(number);
            sheet.text("again");
            sheet.own_text(nasty);
            sheet.optional(None::<&str>, Sheet::text);
            sheet.optional(Some("x"), Sheet::text);
            sheet.signed(i64::MIN);
            sheet.usage(&usage);
            sheet.number(true);
            sheet.json(&[1, 2]);
            sheet.end();
        }
        let text = sheet.finish();
        assert_eq!(text.matches("again").count(), 1);
        let block = Block::of(&text).expect("a sheet");
        let texts = block.texts.as_deref().expect("a sheet");
        let numbers: Vec<u64> = block
            .rows()
            .map(|row| {
                let mut cells = Cells::of(texts, row);
                let number = cells.number().expect("a number");
                assert_eq!((cells.text(), cells.text()), (Some("again"), Some(nasty)));
                assert_eq!(cells.optional(Cells::text), Some(None));
                assert_eq!(cells.optional(Cells::text), Some(Some("x")));
                assert_eq!((cells.signed(), cells.usage()), (Some(i64::MIN), Some(usage)));
                assert_eq!((cells.flag(), cells.json()), (Some(true), Some(vec![1, 2])));
                assert_eq!((cells.optional(Cells::text), cells.raw()), (Some(None), None));
                number
            })
            .collect();
        assert_eq!(numbers, [0, u64::MAX]);
    }

    #[test]
    fn what_an_earlier_version_wrote_is_no_sheet_and_damage_is_nothing() {
        let old = Block::of("[\"a\",1]\n[\"b\",2]\n").expect("lines of JSON");
        assert!(old.texts.is_none() && old.rows().eq(["[\"a\",1]", "[\"b\",2]"]));
        assert!(Block::of("~[\"a\"").is_none() && Block::of("~{}\n1\n").is_none());
        let texts = [Cow::Borrowed("a")];
        for row in ["1", "x", "", "-1"] {
            assert_eq!(Cells::of(&texts, row).text(), None, "{row}");
        }
    }
}
