//! What a key used, by day and model.

use model::ResourceId;
use model::clock::{EpochMs, utc_day};
use schemars::JsonSchema;
use serde::Serialize;
use store::{DailyUsage, Scope};

use super::context::Context;
use crate::answer::{Answer, Refusal};

/// Days shown when the caller names none.
const USUAL_DAYS: u64 = 30;
/// Days shown at most: one answer, no pages.
const MOST_DAYS: u64 = 366;
const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// A span of UTC days, both ends included, as `YYYY-MM-DD`.
#[derive(Debug, PartialEq, Eq)]
pub struct Days {
    /// The first day.
    pub first: String,
    /// The last day.
    pub last: String,
}

impl Days {
    /// The span that the caller asked for, by default the last 30 days.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for what is not a day, for a span that ends before it begins, or one that is
    /// longer than a year.
    pub fn asked(context: &Context, start: Option<String>, end: Option<String>) -> Answer<Self> {
        Self::of(context.now_ms(), start, end)
    }

    /// The last 30 days.
    #[must_use]
    pub fn usual(now_ms: EpochMs) -> Self {
        let first = now_ms.saturating_sub((USUAL_DAYS - 1) * DAY_MS);
        Self { first: utc_day(first), last: utc_day(now_ms) }
    }

    fn of(now_ms: EpochMs, start: Option<String>, end: Option<String>) -> Answer<Self> {
        let last = match end {
            Some(text) => day_ms("end_date", &text)?,
            None => now_ms,
        };
        let first = match start {
            Some(text) => day_ms("start_date", &text)?,
            None => last.saturating_sub((USUAL_DAYS - 1) * DAY_MS),
        };
        if last < first {
            return Err(Refusal::invalid("end_date", "`end_date` lies before `start_date`."));
        }
        if last - first >= MOST_DAYS * DAY_MS {
            let message = format!("At most {MOST_DAYS} days can be asked for at one time.");
            return Err(Refusal::invalid("start_date", message));
        }
        Ok(Self { first: utc_day(first), last: utc_day(last) })
    }
}

/// A day as it was asked for, if it is one.
///
/// # Errors
/// `INVALID_REQUEST` at `field`.
pub fn check_day(field: &str, text: String) -> Answer<String> {
    day_ms(field, &text).map(|_| text)
}

fn day_ms(field: &str, text: &str) -> Answer<EpochMs> {
    let midnight = model::clock::parse_rfc3339(&format!("{text}T00:00:00Z"));
    midnight
        .filter(|ms| utc_day(*ms) == text)
        .ok_or_else(|| Refusal::invalid(field, format!("`{field}` must be a day such as 2026-01-31.")))
}

/// A day and a model, as answers show them. Money is a decimal string.
#[derive(Serialize, JsonSchema)]
pub struct Day {
    date: String,
    model: String,
    requests: u64,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    reasoning: u64,
    cost: String,
    /// Requests whose model had no price; their cost is not within `cost`.
    unpriced: u64,
}

impl From<DailyUsage> for Day {
    fn from(day: DailyUsage) -> Self {
        Self {
            date: day.day,
            model: day.model,
            requests: day.requests,
            input: day.input,
            output: day.output,
            cache_read: day.cache_read,
            cache_write: day.cache_write,
            reasoning: day.reasoning,
            cost: day.cost.to_string(),
            unpriced: day.unpriced,
        }
    }
}

/// What `key` used on `days`, from the rollup.
///
/// # Errors
/// What the store says.
pub async fn daily(context: &Context, scope: &Scope, key: &ResourceId, days: &Days) -> Answer<Vec<Day>> {
    let rows = context.store().usage(scope, key, &days.first, &days.last).await?;
    Ok(rows.into_iter().map(Day::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: EpochMs = 1_790_000_000_000; // 2026-09-21

    fn check(start: Option<&str>, end: Option<&str>, expected: Result<(&str, &str), &str>) {
        let days = Days::of(NOW, start.map(str::to_owned), end.map(str::to_owned));
        let days = days.map_err(|refusal| refusal.0.param.unwrap_or_default());
        let seen = match &days {
            Ok(days) => Ok((days.first.as_str(), days.last.as_str())),
            Err(field) => Err(field.as_str()),
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_last_thirty_days_unless_asked_otherwise() {
        check(None, None, Ok(("2026-08-23", "2026-09-21")));
        check(Some("2026-09-01"), None, Ok(("2026-09-01", "2026-09-21")));
        check(None, Some("2026-01-30"), Ok(("2026-01-01", "2026-01-30")));
        check(Some("2026-02-01"), Some("2026-02-01"), Ok(("2026-02-01", "2026-02-01")));
    }

    #[test]
    fn refuses_what_is_not_a_span_of_days() {
        check(Some("2026-02-30"), None, Err("start_date"));
        check(None, Some("tomorrow"), Err("end_date"));
        check(Some("2026-03-02"), Some("2026-03-01"), Err("end_date"));
        check(Some("2020-01-01"), Some("2026-03-01"), Err("start_date"));
    }
}
