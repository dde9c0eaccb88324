//! A block of records as it is read back, whichever version wrote it.

use super::{RecordFilter, StoredRecord, line, row};
use crate::error::StoreError;
use crate::sheet::{self, Cells};

/// The records of one row of the table.
pub(super) struct Block<'b>(sheet::Block<'b>);

impl<'b> Block<'b> {
    /// What stands in the column `lines`.
    pub fn of(lines: &'b str) -> Result<Self, StoreError> {
        sheet::Block::of(lines).map(Self).ok_or_else(unreadable)
    }

    /// Its records as they stand there, in the order of their ids.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &'b str> + use<'b> {
        self.0.rows()
    }

    /// The request id of a record, without reading the record.
    pub fn id_of(&self, text: &str) -> Option<String> {
        match &self.0.texts {
            Some(_) => row::id_of(text),
            None => line::id_of(text).map(str::to_owned),
        }
    }

    /// The request and trace id of every record that has a trace id of its own.
    pub fn own_traces(&self) -> Vec<(String, String)> {
        let read = if self.0.texts.is_some() { row::own_trace } else { line::own_trace };
        self.rows().filter_map(read).collect()
    }

    /// Reads a record; `None` when `filter` does not want it. Ids and times are not looked at.
    pub fn read(
        &self,
        text: &str,
        tenant_id: &str,
        filter: &RecordFilter,
    ) -> Result<Option<StoredRecord>, StoreError> {
        match &self.0.texts {
            Some(texts) => row::read(Cells::of(texts, text), tenant_id, filter).ok_or_else(unreadable),
            None => line::read(text, tenant_id, filter),
        }
    }
}

fn unreadable() -> StoreError {
    StoreError::Unreadable { table: "request_block", column: "lines" }
}
