//! Lists in pages: newest first, continued by an opaque cursor.

use std::fmt;

use model::clock::EpochMs;

/// The most items in one page (access contract, §8).
pub const MAX_LIMIT: u32 = 200;
/// Items in a page when the caller names no limit.
pub const DEFAULT_LIMIT: u32 = 50;

/// Which part of a list is wanted.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// Where the last page ended; `None` for the first page.
    pub after: Option<Cursor>,
    /// How many items; held between 1 and [`MAX_LIMIT`] whatever is asked.
    pub limit: u32,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { after: None, limit: DEFAULT_LIMIT }
    }
}

impl PageRequest {
    /// The first page of `limit` items.
    #[must_use]
    pub fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// Rows to fetch: one more than the page, to learn whether another page follows.
    pub(crate) fn fetch(&self) -> i64 {
        i64::from(self.limit.clamp(1, MAX_LIMIT)) + 1
    }

    /// The position to continue after; of a first page, one that is newer than every row.
    pub(crate) fn position(&self) -> (i64, &str) {
        self.after.as_ref().map_or((i64::MAX, ""), |cursor| (crate::column::signed(cursor.at), &cursor.id))
    }
}

/// Some items and where the next page begins.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Give it back for the next page; `None` on the last page.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Cuts what [`PageRequest::fetch`] asked for down to the page.
    pub(crate) fn cut(mut items: Vec<T>, request: &PageRequest, cursor_of: impl Fn(&T) -> Cursor) -> Self {
        let limit = usize::try_from(request.fetch() - 1).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor_of) } else { None };
        Self { items, next }
    }
}

/// A position within a list: opaque to callers, text on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    at: EpochMs,
    id: Box<str>,
}

impl Cursor {
    pub(crate) fn new(at: EpochMs, id: &str) -> Self {
        Self { at, id: id.into() }
    }

    /// Reads a cursor that was handed out; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (at, id) = text.split_once('.')?;
        let plain =
            id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        Some(Self { at: at.parse().ok()?, id: id.into() }).filter(|_| plain)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_junk_is_refused() {
        let cursor = Cursor::new(17, "a-b_c");
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        for junk in ["", "17", "x.abc", "17.a'b", "-1.abc"] {
            assert_eq!(Cursor::parse(junk), None, "{junk}");
        }
    }
}
