//! What a key used by day and model, and `GET /v1/usage`, which tells a key's owner.

use axum::response::IntoResponse;
use model::clock::{EpochMs, utc_day};
use model::{Code, ResourceId};
use serde::Serialize;
use store::DailyUsage;

use super::context::Context;
use super::permission::Actor;
use crate::answer::{Answer, Refusal, ok};

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

fn day_ms(field: &str, text: &str) -> Answer<EpochMs> {
    let midnight = model::clock::parse_rfc3339(&format!("{text}T00:00:00Z"));
    midnight
        .filter(|ms| utc_day(*ms) == text)
        .ok_or_else(|| Refusal::invalid(field, format!("`{field}` must be a day such as 2026-01-31.")))
}

/// A day and a model, as answers show them. Money is a decimal string.
#[derive(Serialize)]
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
pub async fn daily(context: &Context, key: &ResourceId, days: &Days) -> Answer<Vec<Day>> {
    let rows = context.store().usage(&context.scope, key, &days.first, &days.last).await?;
    Ok(rows.into_iter().map(Day::from).collect())
}

/// The answer to a key's owner (access.md §5). Nothing limits a key in money yet, so `remaining` is −1
/// and there are no windows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Own {
    is_valid: bool,
    plan_name: Option<String>,
    remaining: i64,
    unit: &'static str,
    windows: [(); 0],
    daily: Vec<Day>,
}

/// `GET /v1/usage`, for the owner of the key that the data plane identified.
///
/// # Errors
/// `INVALID_API_KEY` when the key is gone.
pub async fn handler(context: Context) -> Answer<impl IntoResponse> {
    let Actor::Key(id) = &context.actor else {
        return Err(Refusal::new(Code::InvalidApiKey));
    };
    let key = context.store().find_key(&context.scope, id).await?;
    let key = key.ok_or_else(|| Refusal::new(Code::InvalidApiKey))?;
    let now_ms = context.now_ms();
    let works = key.status == model::resource::key::KeyStatus::Active;
    let expired = key.expires_at.is_some_and(|end| end <= now_ms);
    let days = Days::of(now_ms, None, None)?;
    Ok(ok(Own {
        is_valid: works && !expired,
        plan_name: None,
        remaining: -1,
        unit: "USD",
        windows: [],
        daily: daily(&context, id, &days).await?,
    }))
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
