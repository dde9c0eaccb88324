//! By how much windows and balances change with a projection: added up here, one row for each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::LazyLock;

use model::clock::EpochMs;
use model::entry::{Projection, WindowUse};
use model::quota::{Owner, Period, Unit};
use sqlx::SqliteConnection;

use crate::column::signed;
use crate::error::StoreError;
use crate::rows::{RowInsert, Style};

const WINDOW_COLUMNS: &[&str] = &["owner_kind", "owner_id", "unit", "period", "began", "used"];
/// Both engines compute the new values from the old row only. What is used stops at [`MOST`].
const WINDOW_CONFLICT: &str = "ON CONFLICT (owner_id, owner_kind, unit, period) DO UPDATE SET used = CASE \
     WHEN excluded.began > quota_window.began THEN excluded.used \
     WHEN quota_window.used + excluded.used > 4611686018427387903 THEN 4611686018427387903 \
     WHEN quota_window.used + excluded.used < -4611686018427387903 THEN -4611686018427387903 \
     ELSE quota_window.used + excluded.used END, \
     began = excluded.began WHERE excluded.began >= quota_window.began";
/// The most that a window counts: two of it still fit. Beyond, SQLite would go on with a float, and an upstream
/// may state any number of tokens.
const MOST: i64 = i64::MAX / 2;
const WALLET_COLUMNS: &[&str] = &["owner_kind", "owner_id", "balance_nano"];
const WALLET_CONFLICT: &str = "ON CONFLICT (owner_id, owner_kind) DO UPDATE SET \
     balance_nano = wallet.balance_nano + excluded.balance_nano";

static ADD: LazyLock<[RowInsert; 2]> = LazyLock::new(|| inserts(Style::Bare));
static ADD_NUMBERED: LazyLock<[RowInsert; 2]> = LazyLock::new(|| inserts(Style::Numbered));

/// All sizes of the statements, in the style that both engines take.
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    ADD_NUMBERED.iter().flat_map(RowInsert::texts)
}

fn inserts(style: Style) -> [RowInsert; 2] {
    [
        RowInsert::new("quota_window", WINDOW_COLUMNS, WINDOW_CONFLICT, style),
        RowInsert::new("wallet", WALLET_COLUMNS, WALLET_CONFLICT, style),
    ]
}

/// Changes, each row once: PostgreSQL refuses to change a row twice in one statement.
pub(super) struct Sums<'p> {
    windows: Vec<(Window<'p>, Used)>,
    balances: Vec<(&'p Owner, i64)>,
}

/// Which window; in the order of the primary key, so that neighbours are found on one page.
type Window<'p> = (&'p Owner, Unit, Period);

/// Since when, and by how much more.
type Used = (EpochMs, i64);

impl<'p> Sums<'p> {
    pub(super) fn of(projection: &'p Projection) -> Self {
        let mut windows = HashMap::new();
        for WindowUse { owner, unit, period, began, used } in &projection.windows {
            add_window(windows.entry((owner, *unit, *period)), (*began, *used));
        }
        let mut balances: HashMap<&Owner, i64> = HashMap::new();
        for balance in &projection.balances {
            let sum = balances.entry(&balance.owner).or_default();
            *sum = sum.saturating_add(balance.amount.0);
        }
        let mut sums =
            Self { windows: windows.into_iter().collect(), balances: balances.into_iter().collect() };
        sums.windows.sort_unstable();
        sums.balances.sort_unstable();
        sums
    }

    /// Adds the changes to what is stored.
    pub(super) async fn add(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let [window_add, wallet_add] = &*ADD;
        for (sql, part) in window_add.parts(&self.windows) {
            let mut query = sqlx::query(sql);
            for ((owner, unit, period), (began, used)) in part {
                query = query.bind(owner.kind.name()).bind(&*owner.id).bind(unit.name());
                query = query.bind(period.name()).bind(signed(*began)).bind((*used).clamp(-MOST, MOST));
            }
            query.execute(&mut *connection).await?;
        }
        for (sql, part) in wallet_add.parts(&self.balances) {
            let query = part.iter().fold(sqlx::query(sql), |query, (owner, amount)| {
                query.bind(owner.kind.name()).bind(&*owner.id).bind(*amount)
            });
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// Of two changes of a window the one of the newer period counts, of the same period both: so the order in
/// which shards of the journal arrive does not matter.
fn add_window(entry: Entry<'_, Window<'_>, Used>, (began, used): Used) {
    entry
        .and_modify(|(known, sum)| match began.cmp(known) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => *sum = sum.saturating_add(used),
            std::cmp::Ordering::Greater => (*known, *sum) = (began, used),
        })
        .or_insert((began, used));
}
