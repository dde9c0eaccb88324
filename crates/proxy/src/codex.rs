//! The caller's own budget under the names by which Codex shows one (clients reference §1.3): the two windows
//! that are used most, and the wallet.

use http::{HeaderMap, HeaderName, HeaderValue};
use ledger::engine::Standing;

/// Milliseconds in a minute.
const MINUTE_MS: u64 = 60_000;
/// A share in headers is in hundredths of a percent.
const WHOLE: i128 = 10_000;

/// A window's names: how much of it is used, how long it is, when it begins anew.
type Names = [HeaderName; 3];

const PRIMARY: Names = [
    HeaderName::from_static("x-codex-primary-used-percent"),
    HeaderName::from_static("x-codex-primary-window-minutes"),
    HeaderName::from_static("x-codex-primary-reset-at"),
];
const SECONDARY: Names = [
    HeaderName::from_static("x-codex-secondary-used-percent"),
    HeaderName::from_static("x-codex-secondary-window-minutes"),
    HeaderName::from_static("x-codex-secondary-reset-at"),
];
const HAS_CREDITS: HeaderName = HeaderName::from_static("x-codex-credits-has-credits");
const UNLIMITED: HeaderName = HeaderName::from_static("x-codex-credits-unlimited");
const BALANCE: HeaderName = HeaderName::from_static("x-codex-credits-balance");

/// How a caller's budget stood when the request came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Budget {
    /// The windows that are used most, one for each length, the most used first.
    windows: Vec<Share>,
    /// What is left in the emptiest wallet, in nano-dollars; `None` where no wallet pays.
    left: Option<i64>,
}

/// A window, as Codex shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    /// In hundredths of a percent.
    used: u64,
    minutes: u64,
    resets_at_s: u64,
}

impl Budget {
    /// Adds how one payer stands.
    pub fn add(&mut self, standing: &Standing) {
        for window in &standing.windows {
            // What never begins anew has no length to show.
            let Some(resets_at) = window.resets_at else { continue };
            let used = window.used.saturating_add(window.held).max(0);
            let share = Share {
                used: hundredths(used, window.quota.limit),
                minutes: resets_at.saturating_sub(window.began) / MINUTE_MS,
                resets_at_s: resets_at / 1_000,
            };
            match self.windows.iter_mut().find(|known| known.minutes == share.minutes) {
                Some(known) if known.used < share.used => *known = share,
                Some(_) => {}
                None => self.windows.push(share),
            }
        }
        self.windows.sort_by_key(|share| std::cmp::Reverse(share.used));
        if let Some(balance) = standing.balance {
            let left = balance.0.saturating_sub(standing.held.0);
            self.left = Some(self.left.map_or(left, |known| known.min(left)));
        }
    }

    /// Writes it into the headers of an answer.
    pub fn write(&self, headers: &mut HeaderMap) {
        for (names, share) in [PRIMARY, SECONDARY].into_iter().zip(&self.windows) {
            let used = format!("{}.{:02}", share.used / 100, share.used % 100);
            let values = [used, share.minutes.to_string(), share.resets_at_s.to_string()];
            for (name, value) in names.into_iter().zip(values) {
                insert(headers, name, &value);
            }
        }
        if let Some(left) = self.left {
            insert(headers, HAS_CREDITS, if left > 0 { "true" } else { "false" });
            insert(headers, UNLIMITED, "false");
            insert(headers, BALANCE, &model::NanoUsd(left.max(0)).to_string());
        }
    }
}

fn hundredths(used: i64, limit: i64) -> u64 {
    let share = if limit <= 0 { WHOLE } else { i128::from(used) * WHOLE / i128::from(limit) };
    u64::try_from(share.clamp(0, WHOLE)).unwrap_or(0)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use ledger::engine::WindowStanding;
    use model::NanoUsd;
    use model::clock::EpochMs;
    use model::quota::{Period, Quota, Unit};

    use super::*;

    const DAY_MS: EpochMs = 24 * 60 * MINUTE_MS;

    fn window(period: Period, used: i64, limit: i64, days: u64) -> WindowStanding {
        let quota = Quota { unit: Unit::Requests, period, limit };
        let resets_at = (days > 0).then_some(10 * DAY_MS + days * DAY_MS);
        WindowStanding { quota, used, held: 1, began: 10 * DAY_MS, resets_at }
    }

    #[test]
    fn the_most_used_windows_and_the_emptiest_wallet_are_shown() {
        let mut budget = Budget::default();
        let windows = vec![
            window(Period::Daily, 1, 100, 1),
            window(Period::Weekly, 49, 100, 7),
            window(Period::Daily, 11, 90, 1),
            window(Period::Never, 99, 100, 0),
        ];
        let standing = Standing {
            balance: Some(NanoUsd(2_500_000_000)),
            held: NanoUsd(500_000_000),
            windows,
            ..Standing::default()
        };
        budget.add(&standing);
        budget.add(&Standing { balance: Some(NanoUsd(7_000_000_000)), ..Standing::default() });
        let mut headers = HeaderMap::new();
        budget.write(&mut headers);
        let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("none");
        let of = |which: &str| {
            ["used-percent", "window-minutes", "reset-at"]
                .map(|name| value(&format!("x-codex-{which}-{name}")))
        };
        assert_eq!(of("primary"), ["50.00", "10080", "1468800"]);
        assert_eq!(of("secondary"), ["13.33", "1440", "950400"]);
        let credits =
            ["has-credits", "unlimited", "balance"].map(|name| value(&format!("x-codex-credits-{name}")));
        assert_eq!(credits, ["true", "false", "2"]);
    }

    #[test]
    fn whatever_the_numbers_a_share_is_one() {
        assert_eq!(
            (hundredths(7, 0), hundredths(9, 3), hundredths(i64::MAX, i64::MAX)),
            (10_000, 10_000, 10_000)
        );
        assert_eq!(hundredths(1, i64::MAX), 0);
        let mut headers = HeaderMap::new();
        Budget::default().write(&mut headers);
        assert!(headers.is_empty());
    }
}
