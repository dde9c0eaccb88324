//! Values between Rust and columns: numbers that fit, JSON as text, names of enums.

use model::ResourceId;
use model::clock::EpochMs;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::StoreError;

/// A count or time as BIGINT; what does not fit is held at the largest value.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A BIGINT that is never negative here, as a count or time.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The time of a change of something that was last changed at `before`. It never stays the same, for it is what
/// tells one state from another (`ETag`).
pub(crate) fn later(now: EpochMs, before: EpochMs) -> EpochMs {
    now.max(before.saturating_add(1))
}

/// A list or structure as JSON text.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("lists and structures of text and numbers always serialise")
}

/// Lower-case hex of a keyed hash.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

/// Reads the hex of 32 bytes back.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0_u8; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

/// One row of a table, read column by column with errors that name the column.
pub(crate) struct Columns<'r> {
    pub(crate) table: &'static str,
    pub(crate) row: &'r SqliteRow,
}

impl Columns<'_> {
    /// The error for a value that is not what `column` holds.
    pub(crate) fn unreadable(&self, column: &'static str) -> StoreError {
        StoreError::Unreadable { table: self.table, column }
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.row.try_get(column).map_err(|_| self.unreadable(column))
    }

    pub(crate) fn optional_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.row.try_get(column).map_err(|_| self.unreadable(column))
    }

    pub(crate) fn number(&self, column: &'static str) -> Result<u64, StoreError> {
        Ok(unsigned(self.row.try_get(column).map_err(|_| self.unreadable(column))?))
    }

    /// A BIGINT that may be negative.
    pub(crate) fn signed(&self, column: &'static str) -> Result<i64, StoreError> {
        self.row.try_get(column).map_err(|_| self.unreadable(column))
    }

    pub(crate) fn optional_number(&self, column: &'static str) -> Result<Option<u64>, StoreError> {
        let value: Option<i64> = self.row.try_get(column).map_err(|_| self.unreadable(column))?;
        Ok(value.map(unsigned))
    }

    pub(crate) fn small(&self, column: &'static str) -> Result<u32, StoreError> {
        u32::try_from(self.number(column)?).map_err(|_| self.unreadable(column))
    }

    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        self.row.try_get(column).map_err(|_| self.unreadable(column))
    }

    pub(crate) fn id(&self, column: &'static str) -> Result<ResourceId, StoreError> {
        let text: &str = self.row.try_get(column).map_err(|_| self.unreadable(column))?;
        ResourceId::parse(text).ok_or_else(|| self.unreadable(column))
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<EpochMs, StoreError> {
        self.number(column)
    }

    /// A value that is stored by its name.
    pub(crate) fn named<T>(
        &self,
        column: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text: &str = self.row.try_get(column).map_err(|_| self.unreadable(column))?;
        read(text).ok_or_else(|| self.unreadable(column))
    }

    /// A value that is stored as JSON text.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        let text: &str = self.row.try_get(column).map_err(|_| self.unreadable(column))?;
        serde_json::from_str(text).map_err(|_| self.unreadable(column))
    }
}
