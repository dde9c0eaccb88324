//! When the windows of quotas begin and end: whole milliseconds and the calendar of UTC, whatever zone the
//! machine is in.
//!
//! A window never moves backwards: when the clock does, the window stays where it is, so that no period is
//! granted twice.

use model::clock::EpochMs;
use model::quota::Period;

/// Milliseconds of a day; UTC as computers count it has no others.
pub const DAY_MS: EpochMs = 86_400_000;
/// The last millisecond of the year 9999: later times are taken for this one, so that nothing overflows.
const LATEST: EpochMs = 253_402_300_799_999;

/// One window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When it began; 0 when it lasts for good.
    pub began: EpochMs,
    /// The first instant that is no longer in it; `None` when it lasts for good.
    pub ends: Option<EpochMs>,
}

/// The window of `period` at `now`, for an owner whose last one began at `began`.
#[must_use]
pub fn window_at(period: Period, now: EpochMs, began: Option<EpochMs>) -> Window {
    let (now, began) = (now.min(LATEST), began.map(|began| began.min(LATEST)));
    let fresh = match (period, began) {
        (Period::Never, _) => 0,
        (Period::Daily, _) => now - now % DAY_MS,
        (Period::Weekly, _) => monday(now / DAY_MS) * DAY_MS,
        (Period::Monthly, _) => first_of_month(now / DAY_MS) * DAY_MS,
        (_, Some(began)) if now < began.saturating_add(length_ms(period)) => began,
        _ => now,
    };
    let began = began.map_or(fresh, |began| began.max(fresh));
    Window { began, ends: ends(period, began) }
}

/// When the window of `period` ends that began at `began`.
#[must_use]
pub fn ends(period: Period, began: EpochMs) -> Option<EpochMs> {
    match period {
        Period::Never => None,
        Period::Monthly => Some(next_month(began.min(LATEST) / DAY_MS) * DAY_MS),
        _ => Some(began.saturating_add(length_ms(period))),
    }
}

/// Whether the period begins with the first use rather than with the calendar.
#[must_use]
pub fn is_rolling(period: Period) -> bool {
    matches!(period, Period::Rolling24h | Period::Rolling7d | Period::Rolling30d)
}

/// How long a period lasts whose length is always the same; the others have none.
fn length_ms(period: Period) -> EpochMs {
    match period {
        Period::Daily | Period::Rolling24h => DAY_MS,
        Period::Weekly | Period::Rolling7d => 7 * DAY_MS,
        Period::Rolling30d => 30 * DAY_MS,
        Period::Monthly | Period::Never => 0,
    }
}

/// The Monday on or before a day, both counted from 1970-01-01, a Thursday.
fn monday(day: u64) -> u64 {
    day.saturating_sub((day + 3) % 7)
}

/// The first day of the month of a day.
fn first_of_month(day: u64) -> u64 {
    let (year, month) = month_of(day);
    day_of(year, month)
}

/// The first day of the month after that of a day.
fn next_month(day: u64) -> u64 {
    let (year, month) = month_of(day);
    if month == 12 { day_of(year + 1, 1) } else { day_of(year, month + 1) }
}

/// Days between 0000-03-01 and 1970-01-01: years that begin in March have their leap day at the end.
const MARCH_EPOCH: u64 = 719_468;
/// Days of 400 years, after which the calendar repeats itself.
const ERA_DAYS: u64 = 146_097;

/// The year and the month (1 to 12) of a day of the Gregorian calendar.
fn month_of(day: u64) -> (u64, u64) {
    let day = day + MARCH_EPOCH;
    let (era, day) = (day / ERA_DAYS, day % ERA_DAYS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month)
}

/// The first day of a month.
fn day_of(year: u64, month: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let from_march = (month + 9) % 12;
    let (era, year) = (year / 400, year % 400);
    let day = 365 * year + year / 4 - year / 100 + (153 * from_march + 2) / 5;
    era * ERA_DAYS + day - MARCH_EPOCH
}

#[cfg(test)]
mod tests {
    use model::clock::parse_rfc3339;

    use super::*;

    fn at(text: &str) -> EpochMs {
        parse_rfc3339(text).expect(text)
    }

    #[test]
    fn calendar_windows_begin_and_end_where_utc_says() {
        for (period, now, began, ends) in [
            (Period::Daily, "2026-11-21T23:59:59.999Z", "2026-11-21", "2026-11-22"),
            (Period::Daily, "2026-11-22T00:00:00Z", "2026-11-22", "2026-11-23"),
            (Period::Weekly, "2026-11-22T23:59:59.999Z", "2026-11-16", "2026-11-23"),
            (Period::Weekly, "2026-11-23T00:00:00Z", "2026-11-23", "2026-11-30"),
            (Period::Monthly, "2026-02-28T23:59:59.999Z", "2026-02-01", "2026-03-01"),
            (Period::Monthly, "2028-02-29T12:00:00Z", "2028-02-01", "2028-03-01"),
            (Period::Monthly, "2026-04-30T23:59:59.999Z", "2026-04-01", "2026-05-01"),
            (Period::Monthly, "2026-12-31T23:59:59.999Z", "2026-12-01", "2027-01-01"),
            (Period::Monthly, "2100-02-28T23:59:59.999Z", "2100-02-01", "2100-03-01"),
            (Period::Monthly, "2000-02-29T00:00:00Z", "2000-02-01", "2000-03-01"),
        ] {
            let window = window_at(period, at(now), None);
            let day = |day: &str| at(&format!("{day}T00:00:00Z"));
            assert_eq!(window, Window { began: day(began), ends: Some(day(ends)) }, "{period:?} {now}");
        }
        assert_eq!(
            window_at(Period::Never, at("2026-01-01T00:00:00Z"), None),
            Window { began: 0, ends: None }
        );
    }

    #[test]
    fn every_day_of_eight_centuries_lies_in_the_month_that_the_calendar_says() {
        let (mut year, mut month, mut first) = (1970_u64, 1_u64, 0_u64);
        while year < 2800 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            for day in first..first + length {
                assert_eq!((first_of_month(day), next_month(day)), (first, first + length), "{year}-{month}");
                let monday = monday(day);
                assert!(monday <= day && day - monday < 7 && (monday == 0 || monday % 7 == 4), "{day}");
            }
            first += length;
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
    }

    #[test]
    fn a_rolling_window_begins_with_its_first_use_and_again_with_the_first_one_after_it() {
        let first = at("2026-11-21T13:14:15.678Z");
        for (period, days) in [(Period::Rolling24h, 1), (Period::Rolling7d, 7), (Period::Rolling30d, 30)] {
            let window = window_at(period, first, None);
            let ends = first + days * DAY_MS;
            assert_eq!(window, Window { began: first, ends: Some(ends) });
            assert_eq!(window_at(period, ends - 1, Some(first)), window);
            assert_eq!(window_at(period, ends + 5, Some(first)).began, ends + 5);
        }
    }

    #[test]
    fn a_clock_that_jumps_back_reopens_no_window() {
        let noon = at("2026-11-21T12:00:00Z");
        let hour = DAY_MS / 24;
        for period in Period::ALL {
            let mut began = None;
            let mut latest = 0;
            for now in [noon, noon - hour, noon + hour, noon + 365 * DAY_MS, noon, noon - 365 * DAY_MS, 0] {
                let window = window_at(period, now, began);
                assert!(window.began >= latest, "{period:?} went back");
                assert!(window.ends.is_none_or(|ends| ends > window.began), "{period:?} is empty");
                latest = window.began;
                began = Some(window.began);
            }
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for period in Period::ALL {
            for now in [0, 1, DAY_MS, LATEST, LATEST + 1, EpochMs::MAX] {
                for began in [None, Some(0), Some(now), Some(EpochMs::MAX)] {
                    let window = window_at(period, now, began);
                    assert!(window.ends.is_none_or(|ends| ends >= window.began), "{period:?} at {now}");
                }
            }
        }
    }
}
