//! Finding entries: by request, key or user, or all of them, back from the newest projection.

use std::sync::Arc;

use model::ResourceId;
use model::entry::LedgerEntry;
use sqlx::SqliteConnection;

use super::batch::subject;
use super::row;
use crate::error::StoreError;
use crate::page::{Cursor, Page, PageRequest};
use crate::scope::Scope;
use crate::sheet::Block;
use crate::store::Store;

/// Blocks that may hold the request. One that began long ago makes this read a few numbers for each block since
/// then, but no block that cannot hold it.
const OF_REQUEST: &str = "SELECT batch, part FROM ledger_block WHERE tenant_id = $1 \
     AND last_request >= $2 AND first_request <= $2";
const BLOCK: &str = "SELECT lines FROM ledger_block WHERE tenant_id = $1 AND batch = $2 AND part = $3";
/// Eras with entries about a key or user, each with the one that follows it.
const OF_SUBJECT: &str = "SELECT e.era, \
     (SELECT MIN(later.era) FROM ledger_era later WHERE later.era > e.era) FROM ledger_era e \
     WHERE e.era <= $2 AND EXISTS (SELECT 1 FROM ledger_subject s WHERE s.era = e.era AND s.subject = $1) \
     ORDER BY e.era DESC LIMIT $3";
/// Blocks from a projection on and before another block, newest first.
const BETWEEN: &str = "SELECT batch, part, lines FROM ledger_block WHERE tenant_id = $1 AND batch >= $2 \
     AND (batch, part) < ($3, $4) ORDER BY batch DESC, part DESC LIMIT $5";

pub(super) const STATEMENTS: [&str; 4] = [OF_REQUEST, BLOCK, OF_SUBJECT, BETWEEN];

/// Eras looked up at one time.
const ERAS: i64 = 16;
/// Blocks read at one time: at most two megabytes.
const BLOCKS: usize = 32;

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
        let connection = &mut *self.main.readers.acquire().await?;
        let mut found = match (&filter.request_id, filter.key_id.as_ref().or(filter.user_id.as_ref())) {
            (Some(request), _) => search.of_request(connection, request).await?,
            (None, Some(id)) => search.of_subject(connection, id).await?,
            (None, None) => {
                let mut found = Vec::new();
                search.walk(connection, (0, batch), &mut found).await?;
                found
            }
        };
        found.sort_unstable_by_key(|found| std::cmp::Reverse(found.position));
        Ok(cut(found, page))
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
    async fn of_request(
        &self,
        connection: &mut SqliteConnection,
        request: &str,
    ) -> Result<Vec<Found>, StoreError> {
        let query = sqlx::query_as(OF_REQUEST).bind(&**self.tenant_id).bind(request);
        let mut blocks: Vec<(i64, i64)> = query.fetch_all(&mut *connection).await?;
        blocks.retain(|(batch, _)| *batch <= self.below.0);
        blocks.sort_unstable_by(|one, other| other.cmp(one));
        let (mut found, mut last) = (Vec::new(), i64::MAX);
        for (batch, part) in blocks {
            if batch < last && found.len() >= self.most {
                break;
            }
            let query = sqlx::query_scalar(BLOCK).bind(&**self.tenant_id).bind(batch).bind(part);
            let lines: String = query.fetch_one(&mut *connection).await?;
            self.add(batch, &lines, &mut found)?;
            last = batch;
        }
        Ok(found)
    }

    async fn of_subject(
        &self,
        connection: &mut SqliteConnection,
        id: &ResourceId,
    ) -> Result<Vec<Found>, StoreError> {
        let (mut found, mut newest) = (Vec::new(), self.below.0);
        loop {
            let query = sqlx::query_as(OF_SUBJECT).bind(subject(id)).bind(newest).bind(ERAS);
            let eras: Vec<(i64, Option<i64>)> = query.fetch_all(&mut *connection).await?;
            for (era, later) in &eras {
                let last = later.map_or(i64::MAX, |later| later - 1).min(self.below.0);
                self.walk(connection, (*era, last), &mut found).await?;
                if found.len() >= self.most {
                    return Ok(found);
                }
            }
            let Some((oldest, _)) = eras.last() else { return Ok(found) };
            newest = oldest - 1;
        }
    }

    /// Adds what is wanted of the projections `first` to `last`, from the last one back until it is enough.
    async fn walk(
        &self,
        connection: &mut SqliteConnection,
        (first, last): (i64, i64),
        found: &mut Vec<Found>,
    ) -> Result<(), StoreError> {
        let mut before = (last.saturating_add(1), 0);
        loop {
            let blocks: Vec<(i64, i64, String)> = sqlx::query_as(BETWEEN)
                .bind(&**self.tenant_id)
                .bind(first)
                .bind(before.0)
                .bind(before.1)
                .bind(crate::column::signed(BLOCKS as u64))
                .fetch_all(&mut *connection)
                .await?;
            for (batch, part, lines) in &blocks {
                if *batch < before.0 && found.len() >= self.most {
                    return Ok(());
                }
                self.add(*batch, lines, found)?;
                before = (*batch, *part);
            }
            if blocks.len() < BLOCKS {
                return Ok(());
            }
        }
    }

    /// Adds what is wanted of a block.
    fn add(&self, batch: i64, lines: &str, found: &mut Vec<Found>) -> Result<(), StoreError> {
        if !self.may_want(lines) {
            return Ok(());
        }
        let block = Block::of(lines).ok_or_else(row::unreadable)?;
        for text in block.rows() {
            let (number, entry) = row::read(&block, text, self.tenant_id)?;
            let position = (batch, number);
            if position < self.below && self.wants(&entry) {
                found.push(Found { position, entry });
            }
        }
        Ok(())
    }

    /// Whether the ids that are wanted stand anywhere in a block, which is far cheaper than reading it.
    fn may_want(&self, lines: &str) -> bool {
        let LedgerFilter { request_id, key_id, user_id } = self.filter;
        let holds = |id: &Option<ResourceId>| id.as_ref().is_none_or(|id| lines.contains(id.as_str()));
        // Rows leave out what all ids of requests begin with.
        let request = request_id.as_deref().map(|id| id.trim_start_matches("req-"));
        request.is_none_or(|id| lines.contains(id)) && holds(key_id) && holds(user_id)
    }

    fn wants(&self, entry: &LedgerEntry) -> bool {
        let LedgerFilter { request_id, key_id, user_id } = self.filter;
        let request = entry.request_id.map(|id| id.to_string());
        (request_id.is_none() || *request_id == request)
            && (key_id.is_none() || *key_id == entry.key_id)
            && (user_id.is_none() || *user_id == entry.user_id)
    }
}
