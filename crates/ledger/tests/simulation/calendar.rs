//! The model's own calendar: a list of months, walked once. Nothing of the ledger's arithmetic is used.

use model::quota::Period;

pub const DAY: u64 = 86_400_000;
/// 2026-01-01T00:00:00Z, a Thursday.
pub const NEW_YEAR: u64 = 1_767_225_600_000;
/// Years that the list covers before and after that.
const FIRST_YEAR: u64 = 2020;
const LAST_YEAR: u64 = 2200;

pub struct Calendar {
    /// When each month begins.
    months: Vec<u64>,
}

impl Calendar {
    pub fn new() -> Self {
        // 2020-01-01T00:00:00Z.
        let mut begins = 1_577_836_800_000;
        let mut months = Vec::new();
        for year in FIRST_YEAR..LAST_YEAR {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for days in [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                months.push(begins);
                begins += days * DAY;
            }
        }
        Self { months }
    }

    /// When the window that holds `now` begins, for a window that last began at `last`.
    pub fn began(&self, period: Period, now: u64, last: Option<u64>) -> u64 {
        let rolling = |days: u64| match last {
            Some(last) if now < last + days * DAY => last,
            _ => now,
        };
        let began = match period {
            Period::Never => 0,
            Period::Daily => now / DAY * DAY,
            // 2025-12-29 was a Monday; weeks before it are found by going back far enough first.
            Period::Weekly => {
                let monday = NEW_YEAR - 3 * DAY - 1_000 * 7 * DAY;
                now - (now - monday) % (7 * DAY)
            }
            Period::Monthly => {
                let after = self.months.partition_point(|begins| *begins <= now);
                self.months[after - 1]
            }
            Period::Rolling24h => rolling(1),
            Period::Rolling7d => rolling(7),
            Period::Rolling30d => rolling(30),
        };
        last.map_or(began, |last| began.max(last))
    }
}

pub fn is_rolling(period: Period) -> bool {
    matches!(period, Period::Rolling24h | Period::Rolling7d | Period::Rolling30d)
}
