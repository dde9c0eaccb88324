//! Lists that are read a page at a time.

use schemars::JsonSchema;
use serde::Serialize;
use store::page::{DEFAULT_LIMIT, MAX_LIMIT};
use store::{Cursor, Page, PageRequest};

use crate::answer::Refusal;

/// A page of a list.
#[derive(Serialize, JsonSchema)]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `null` on the last.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A list that is always whole.
    #[must_use]
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }

    /// A page of the store, each item as `view` shows it.
    pub fn of<S>(page: Page<S>, view: impl Fn(S) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(view).collect(),
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

/// Checks the caller's `cursor` and `limit`.
///
/// # Errors
/// `INVALID_REQUEST` for a limit outside 1 to 200, and for a cursor that was not handed out here.
pub fn request(cursor: Option<String>, limit: Option<u32>) -> Result<PageRequest, Refusal> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Refusal::invalid("limit", format!("`limit` must be from 1 to {MAX_LIMIT}.")));
    }
    let not_ours = || Refusal::invalid("cursor", "`cursor` is not a cursor that this list gave.");
    let after = cursor.map(|text| Cursor::parse(&text).ok_or_else(not_ours)).transpose()?;
    Ok(PageRequest { after, limit })
}
