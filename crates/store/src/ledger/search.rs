//! Finding entries: by request, key or user, or all of them, back from the newest projection.

use std::sync::Arc;

use model::ResourceId;
use model::entry::LedgerEntry;
use sqlx::SqliteConnection;

use super::batch::subject;
use super::line;
use crate::error::StoreError;
use crate::page::{Cursor, Page, PageRequest};
use crate::scope::Scope;
use crate::store::Store;

/// Blocks that may hold the request. One that began long ago makes this read a few numbers for each block since
/// then, but no block that cannot hold it.
const OF_REQUEST: &str = "SELECT batch, part FROM ledger_block WHERE tenant_id = $1 \
     AND last_request >= $2 AND first_request <= $2";
const OF_SUBJECT: &str = "SELECT batch FROM ledger_subject WHERE subject = $1 AND batch <= $2 \
     ORDER BY batch DESC LIMIT $3";
const NEWEST: &str = "SELECT DISTINCT batch FROM ledger_block WHERE tenant_id = $1 AND batch <= $2 \
     ORDER BY batch DESC LIMIT $3";
const BLOCK: &str = "SELECT lines FROM ledger_block WHERE tenant_id = $1 AND batch = $2 AND part = $3";
const BLOCKS: &str = "SELECT lines FROM ledger_block WHERE tenant_id = $1 AND batch = $2";

pub(super) const STATEMENTS: [&str; 5] = [OF_REQUEST, OF_SUBJECT, NEWEST, BLOCK, BLOCKS];

/// Projections looked up at one time.
const STEP: i64 = 16;

/// Which entries of a tenant are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct LedgerFilter {
    /// Entries about the request with this id (`req-…`).
    pub request_id: Option<String>,
    /// Entries about requests made with this key.
    pub key_id: Option<ResourceId>,
    /// Entries about requests of this user, and about the user's wallet.
    pub user_id: Option<ResourceId>,
}

/// Where an entry stands: the projection that brought it, and its number therein.
type Position = (i64, u32);

/// A block, or all blocks, of a projection.
type Place = (i64, Option<i64>);

struct Found {
    position: Position,
    entry: LedgerEntry,
}

/// What of a search is the same for every projection.
struct Search<'s> {
    tenant_id: &'s Arc<str>,
    filter: &'s LedgerFilter,
    /// Only what stands before this.
    below: Position,
    most: usize,
}

impl Store {
    /// Searches the tenant's entries, those first that the database learnt of last: within a shard of the
    /// journal, newest first.
    ///
    /// # Errors
    /// What the database said, or that a stored entry cannot be read.
    pub async fn ledger_entries(
        &self,
        scope: &Scope,
        filter: &LedgerFilter,
        page: &PageRequest,
    ) -> Result<Page<LedgerEntry>, StoreError> {
        let (batch, number) = page.position();
        let search = Search {
            tenant_id: &scope.tenant_id,
            filter,
            below: (batch, number.parse().unwrap_or(0)),
            most: usize::try_from(page.fetch()).unwrap_or(usize::MAX),
        };
        let mut connection = self.main.readers.acquire().await?;
        let mut found: Vec<Found> = Vec::new();
        let mut newest = search.below.0;
        loop {
            let places = search.places(&mut connection, newest).await?;
            for place in &places {
                search.add(&mut connection, *place, &mut found).await?;
                if found.len() >= search.most {
                    return Ok(cut(found, page));
                }
            }
            match places.last() {
                Some((oldest, None)) => newest = oldest - 1,
                // All blocks of a request were among them.
                _ => return Ok(cut(found, page)),
            }
        }
    }
}

fn cut(found: Vec<Found>, page: &PageRequest) -> Page<LedgerEntry> {
    let cursor = |found: &Found| {
        let (batch, number) = found.position;
        Cursor::new(crate::column::unsigned(batch), &number.to_string())
    };
    let Page { items, next } = Page::cut(found, page, cursor);
    Page { items: items.into_iter().map(|found| found.entry).collect(), next }
}

impl Search<'_> {
    /// Where, in projections up to `newest`, what is wanted may stand, newest first: all such places for a
    /// request, else the next few.
    async fn places(&self, connection: &mut SqliteConnection, newest: i64) -> Result<Vec<Place>, StoreError> {
        let filter = self.filter;
        if let Some(request) = &filter.request_id {
            let query = sqlx::query_as(OF_REQUEST).bind(&**self.tenant_id).bind(request);
            let mut blocks: Vec<(i64, i64)> = query.fetch_all(connection).await?;
            blocks.retain(|(batch, _)| *batch <= newest);
            blocks.sort_unstable_by(|one, other| other.cmp(one));
            return Ok(blocks.into_iter().map(|(batch, part)| (batch, Some(part))).collect());
        }
        let query = match filter.key_id.as_ref().or(filter.user_id.as_ref()) {
            Some(id) => sqlx::query_scalar(OF_SUBJECT).bind(subject(id)),
            None => sqlx::query_scalar(NEWEST).bind(&**self.tenant_id),
        };
        let batches: Vec<i64> = query.bind(newest).bind(STEP).fetch_all(connection).await?;
        Ok(batches.into_iter().map(|batch| (batch, None)).collect())
    }

    /// Puts what is wanted of one place behind what was found, newest first.
    async fn add(
        &self,
        connection: &mut SqliteConnection,
        (batch, part): Place,
        found: &mut Vec<Found>,
    ) -> Result<(), StoreError> {
        let query = match part {
            Some(part) => sqlx::query_scalar(BLOCK).bind(&**self.tenant_id).bind(batch).bind(part),
            None => sqlx::query_scalar(BLOCKS).bind(&**self.tenant_id).bind(batch),
        };
        let blocks: Vec<String> = query.fetch_all(connection).await?;
        let before = found.len();
        for text in blocks.iter().flat_map(|block| block.lines()).filter(|text| self.may_want(text)) {
            let (number, entry) = line::read(text, self.tenant_id)?;
            let position = (batch, number);
            if position < self.below && self.wants(&entry) {
                found.push(Found { position, entry });
            }
        }
        found[before..].sort_unstable_by_key(|found| std::cmp::Reverse(found.position));
        Ok(())
    }

    /// Whether the ids that are wanted stand anywhere in the line, which is far cheaper than reading it.
    fn may_want(&self, text: &str) -> bool {
        let LedgerFilter { request_id, key_id, user_id } = self.filter;
        let holds = |id: &Option<ResourceId>| id.as_ref().is_none_or(|id| text.contains(id.as_str()));
        request_id.as_ref().is_none_or(|id| text.contains(id.as_str())) && holds(key_id) && holds(user_id)
    }

    fn wants(&self, entry: &LedgerEntry) -> bool {
        let LedgerFilter { request_id, key_id, user_id } = self.filter;
        let request = entry.request_id.map(|id| id.to_string());
        (request_id.is_none() || *request_id == request)
            && (key_id.is_none() || *key_id == entry.key_id)
            && (user_id.is_none() || *user_id == entry.user_id)
    }
}
