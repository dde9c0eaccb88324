//! Money as integer nano-dollars. A float never takes part.

use std::fmt;

/// An amount in nano-dollars (10⁻⁹ USD). Negative only in adjustments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(pub i64);

/// Nano-dollars in one dollar.
pub const NANOS_PER_USD: i64 = 1_000_000_000;

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not an optional sign, digits, and optionally a point with digits.
    #[error("not a decimal number")]
    NotDecimal,
    /// More than nine decimals that are not zero.
    #[error("finer than a nano-dollar (9 decimals)")]
    TooFine,
    /// Outside ±9,223,372,036 USD.
    #[error("too large")]
    TooLarge,
}

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Reads a decimal string of dollars such as `"0.15"`; exact, or an error.
    ///
    /// # Errors
    /// [`AmountError`] says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let lacks_digits = whole.is_empty() || (digits.contains('.') && fraction.is_empty());
        if lacks_digits || !all_digits(whole) || !all_digits(fraction) {
            return Err(AmountError::NotDecimal);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 9 {
            return Err(AmountError::TooFine);
        }
        let whole: i64 = whole.parse().map_err(|_| AmountError::TooLarge)?;
        let nanos: i64 = format!("{fraction:0<9}").parse().map_err(|_| AmountError::TooLarge)?;
        let total = whole
            .checked_mul(NANOS_PER_USD)
            .and_then(|n| n.checked_add(nanos))
            .ok_or(AmountError::TooLarge)?;
        Ok(Self(if negative { -total } else { total }))
    }

    /// The sum, or `None` when it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

/// The shortest exact decimal string of dollars: `0.15`, `12`, `-0.000000001`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let per_usd = NANOS_PER_USD.unsigned_abs();
        let (whole, nanos) = (magnitude / per_usd, magnitude % per_usd);
        let sign = if self.0 < 0 { "-" } else { "" };
        if nanos == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{nanos:09}");
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl serde::Serialize for NanoUsd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for NanoUsd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_exact_decimals() {
        for (text, nanos, back) in [
            ("0", 0, "0"),
            ("0.15", 150_000_000, "0.15"),
            ("12.000", 12_000_000_000, "12"),
            ("-0.000000001", -1, "-0.000000001"),
            ("9223372036.854775807", i64::MAX, "9223372036.854775807"),
        ] {
            let amount = NanoUsd::parse(text).expect(text);
            assert_eq!((amount.0, amount.to_string().as_str()), (nanos, back));
        }
    }

    #[test]
    fn refuses_what_is_not_exact() {
        for (text, why) in [
            ("", AmountError::NotDecimal),
            (".5", AmountError::NotDecimal),
            ("1.", AmountError::NotDecimal),
            ("1e3", AmountError::NotDecimal),
            ("NaN", AmountError::NotDecimal),
            ("0.0000000001", AmountError::TooFine),
            ("9223372037", AmountError::TooLarge),
        ] {
            assert_eq!(NanoUsd::parse(text), Err(why), "{text}");
        }
    }
}
