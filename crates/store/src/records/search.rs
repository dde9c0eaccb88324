//! Finding records: by id, by trace, or walking blocks back from the newest.
//!
//! Blocks are walked by the id of their first record. Blocks of one second may overlap, those of
//! different seconds never do; so a page is complete once it is full and the next second begins.

use model::clock::EpochMs;
use sqlx::Row;

use super::block::Block;
use super::{RecordFilter, StoredRecord};
use crate::error::StoreError;
use crate::page::{Cursor, Page, PageRequest};
use crate::scope::Scope;
use crate::store::Store;

/// `$2` and `$3` bound the first id, `$4` the last.
const BLOCKS: &str = "SELECT id, lines FROM request_block WHERE tenant_id = $1 AND id < $2 AND id >= $3 \
     AND last_id >= $4 ORDER BY id DESC LIMIT $5";
const TRACED: &str = "SELECT request_id FROM request_trace WHERE tenant_id = $1 AND trace_id = $2 \
     AND request_id < $3 AND request_id >= $4 ORDER BY request_id DESC LIMIT $5";

pub(super) const STATEMENTS: [&str; 2] = [BLOCKS, TRACED];

/// Sorts after every request id, in any collation.
const AFTER_ALL: &str = "s";
/// Blocks read at one time: about a megabyte.
const STEP: i64 = 8;
/// Blocks that one page walks through, and then to the end of a second: 32,768 records, some 40 ms.
const WALK: usize = 128;

/// The text that divides the ids of requests accepted before `at` from those accepted at it or later.
pub(crate) fn id_at(at: EpochMs) -> String {
    format!("req-{at:012x}")
}

/// When the request `id` was accepted.
pub(super) fn at_of(id: &str) -> EpochMs {
    id.get(4..16).and_then(|hex| EpochMs::from_str_radix(hex, 16).ok()).unwrap_or(0)
}

/// The text of [`id_at`] for the beginning of the second in which the request `id` was accepted.
fn second_of(id: &str) -> String {
    let at = at_of(id);
    id_at(at - at % 1_000)
}

/// What of a search is the same for every block.
struct Search<'s> {
    scope: &'s Scope,
    filter: &'s RecordFilter,
    /// Ids from here on,
    from: String,
    /// but below this one.
    below: String,
    most: usize,
}

impl Store {
    /// Searches the tenant's records, newest first. By id and by trace it costs a look-up, else a walk
    /// from the newest on until the page is full, or [`WALK`] blocks were walked through: of what is rare a page may
    /// have few items or none, and the next one goes on behind what was looked at.
    ///
    /// # Errors
    /// What the database said, or that a stored record cannot be read.
    pub async fn search_records(
        &self,
        scope: &Scope,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<StoredRecord>, StoreError> {
        let (_, after) = page.position();
        let after = if after.is_empty() { AFTER_ALL.to_owned() } else { after.to_owned() };
        let search = Search {
            scope,
            filter,
            from: filter.from.map(id_at).unwrap_or_default(),
            below: filter.to.map(id_at).map_or(after.clone(), |before| before.min(after)),
            most: usize::try_from(page.fetch()).unwrap_or(usize::MAX),
        };
        let (found, walked) = match (&filter.request_id, &filter.trace_id) {
            (Some(id), _) => (self.named(&search, id).await?.into_iter().collect(), None),
            (None, Some(trace)) => (self.traced(&search, trace).await?, None),
            (None, None) => self.newest(&search).await?,
        };
        let mut page = Page::cut(found, page, |record| Cursor::new(record.at, &record.request_id));
        page.next = page.next.or_else(|| walked.map(|second| Cursor::new(at_of(&second), &second)));
        Ok(page)
    }

    /// The request with this id, if it is wanted.
    async fn named(&self, search: &Search<'_>, id: &str) -> Result<Option<StoredRecord>, StoreError> {
        if *id < *search.from || *id >= *search.below {
            return Ok(None);
        }
        let rows = sqlx::query(BLOCKS)
            .bind(&*search.scope.tenant_id)
            // After the id itself, before every other.
            .bind(format!("{id}0"))
            .bind(second_of(id))
            .bind(id)
            .bind(i64::MAX)
            .fetch_all(&self.requests.readers)
            .await?;
        for row in &rows {
            let block = Block::of(row.try_get(1)?)?;
            let Some(found) = block.rows().find(|text| block.id_of(text).as_deref() == Some(id)) else {
                continue;
            };
            let found = search.read(&block, found)?;
            return Ok(found.filter(|found| {
                search.filter.trace_id.as_ref().is_none_or(|trace| *trace == found.trace_id)
            }));
        }
        Ok(None)
    }

    /// The requests of a trace: those whose caller sent it, and the one whose own id it is.
    async fn traced(&self, search: &Search<'_>, trace: &str) -> Result<Vec<StoredRecord>, StoreError> {
        let mut found: Vec<_> = self.named(search, trace).await?.into_iter().collect();
        let mut below = search.below.clone();
        while found.len() < search.most {
            let ids: Vec<String> = sqlx::query_scalar(TRACED)
                .bind(&*search.scope.tenant_id)
                .bind(trace)
                .bind(&below)
                .bind(&search.from)
                .bind(i64::try_from(search.most).unwrap_or(i64::MAX))
                .fetch_all(&self.requests.readers)
                .await?;
            let Some(last) = ids.last() else { break };
            below.clone_from(last);
            for id in &ids {
                found.extend(self.named(search, id).await?);
            }
        }
        found.sort_unstable_by(|one, other| other.request_id.cmp(&one.request_id));
        Ok(found)
    }

    /// The newest that are wanted; and the second down to which was looked, where that is not all.
    async fn newest(&self, search: &Search<'_>) -> Result<(Vec<StoredRecord>, Option<String>), StoreError> {
        let (mut found, mut walked) = (Vec::new(), 0);
        let mut below = search.below.clone();
        loop {
            let rows = sqlx::query(BLOCKS)
                .bind(&*search.scope.tenant_id)
                .bind(&below)
                .bind(second_of(&search.from))
                .bind(&search.from)
                .bind(STEP)
                .fetch_all(&self.requests.readers)
                .await?;
            for row in &rows {
                let before = second_of(&below);
                row.try_get::<&str, _>(0)?.clone_into(&mut below);
                if search.is_complete(&found, &below) {
                    return Ok((found, None));
                }
                if walked >= WALK && below < before {
                    return Ok((found, Some(before)));
                }
                search.add(&mut found, row.try_get(1)?)?;
                walked += 1;
            }
            if rows.is_empty() {
                return Ok((found, None));
            }
        }
    }
}

impl Search<'_> {
    fn read(&self, block: &Block<'_>, text: &str) -> Result<Option<StoredRecord>, StoreError> {
        block.read(text, &self.scope.tenant_id, self.filter)
    }

    /// Whether no block from the one that begins with `id` on can hold a record that belongs to the page.
    fn is_complete(&self, found: &[StoredRecord], id: &str) -> bool {
        let oldest = found.last().filter(|_| found.len() >= self.most);
        oldest.is_some_and(|oldest| *id < *second_of(&oldest.request_id))
    }

    /// Puts the wanted records of a block among those found, of which the newest are kept.
    fn add(&self, found: &mut Vec<StoredRecord>, lines: &str) -> Result<(), StoreError> {
        let (before, block) = (found.len(), Block::of(lines)?);
        for text in block.rows().rev() {
            let Some(id) = block.id_of(text).filter(|id| *id < self.below) else { continue };
            if id < self.from || found.len() - before == self.most {
                break;
            }
            found.extend(self.read(&block, text)?);
        }
        found.sort_unstable_by(|one, other| other.request_id.cmp(&one.request_id));
        found.truncate(self.most);
        Ok(())
    }
}
