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

/// Projections with blocks that may hold the request. One that began long ago makes this read a number for
/// each block since then, but no block that cannot hold it.
const OF_REQUEST: &str = "SELECT DISTINCT batch FROM ledger_block WHERE tenant_id = $1 \
     AND last_request >= $2 AND first_request <= $2";
const OF_SUBJECT: &str = "SELECT batch FROM ledger_subject WHERE subject = $1 AND batch <= $2 \
     ORDER BY batch DESC LIMIT $3";
const NEWEST: &str = "SELECT DISTINCT batch FROM ledger_block WHERE tenant_id = $1 AND batch <= $2 \
     ORDER BY batch DESC LIMIT $3";
/// The blocks of a projection which may hold a request within `$3` and `$4`.
const LINES: &str = "SELECT lines FROM ledger_block WHERE tenant_id = $1 AND batch = $2 \
     AND last_request >= $3 AND first_request <= $4";

pub(super) const STATEMENTS: [&str; 4] = [OF_REQUEST, OF_SUBJECT, NEWEST, LINES];

/// Sorts after every request id, in any collation.
const AFTER_ALL: &str = "s";
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
            let batches = search.batches(&mut connection, newest).await?;
            for batch in &batches {
                search.add(&mut connection, *batch, &mut found).await?;
                if found.len() >= search.most {
                    return Ok(cut(found, page));
                }
            }
            match batches.last() {
                Some(oldest) if filter.request_id.is_none() => newest = oldest - 1,
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
    /// Projections up to `newest` that may hold what is wanted, newest first: all of them for a request,
    /// else the next few.
    async fn batches(&self, connection: &mut SqliteConnection, newest: i64) -> Result<Vec<i64>, StoreError> {
        let filter = self.filter;
        if let Some(request) = &filter.request_id {
            let query = sqlx::query_scalar(OF_REQUEST).bind(&**self.tenant_id).bind(request);
            let mut batches: Vec<i64> = query.fetch_all(connection).await?;
            batches.retain(|batch| *batch <= newest);
            batches.sort_unstable_by(|one, other| other.cmp(one));
            return Ok(batches);
        }
        let query = match filter.key_id.as_ref().or(filter.user_id.as_ref()) {
            Some(id) => sqlx::query_scalar(OF_SUBJECT).bind(subject(id)),
            None => sqlx::query_scalar(NEWEST).bind(&**self.tenant_id),
        };
        Ok(query.bind(newest).bind(STEP).fetch_all(connection).await?)
    }

    /// Puts what is wanted of one projection behind what was found, newest first.
    async fn add(
        &self,
        connection: &mut SqliteConnection,
        batch: i64,
        found: &mut Vec<Found>,
    ) -> Result<(), StoreError> {
        let (from, to) = match &self.filter.request_id {
            Some(id) => (id.as_str(), id.as_str()),
            None => ("", AFTER_ALL),
        };
        let blocks: Vec<String> = sqlx::query_scalar(LINES)
            .bind(&**self.tenant_id)
            .bind(batch)
            .bind(from)
            .bind(to)
            .fetch_all(connection)
            .await?;
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
