//! Quotas: how much an owner may use in a period, and the owners themselves.

use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::money::NanoUsd;

/// What a quota counts.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Requests that may have reached an upstream.
    Requests,
    /// Tokens, both ways.
    Tokens,
    /// Money, in nano-dollars.
    Cost,
}

impl Unit {
    /// Every unit, in the order of checking.
    pub const ALL: [Self; 3] = [Self::Requests, Self::Tokens, Self::Cost];

    /// The name in JSON, SQL and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Cost => "cost",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }
}

/// How long a quota lasts before it begins anew. Calendar periods are UTC whatever the machine's zone.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// Until UTC midnight.
    Daily,
    /// Until Monday, UTC.
    Weekly,
    /// Until the first of the month, UTC.
    Monthly,
    /// For good.
    Never,
    /// 24 hours from the first use.
    #[serde(rename = "24h")]
    Rolling24h,
    /// 7 days from the first use.
    #[serde(rename = "7d")]
    Rolling7d,
    /// 30 days from the first use.
    #[serde(rename = "30d")]
    Rolling30d,
}

impl Period {
    /// Every period.
    pub const ALL: [Self; 7] = [
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
        Self::Never,
        Self::Rolling24h,
        Self::Rolling7d,
        Self::Rolling30d,
    ];

    /// The name in JSON, SQL and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Never => "never",
            Self::Rolling24h => "24h",
            Self::Rolling7d => "7d",
            Self::Rolling30d => "30d",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.name() == name)
    }
}

/// How much of one unit may be used in one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// What is counted.
    pub unit: Unit,
    /// For how long.
    pub period: Period,
    /// At most this many requests or tokens, or nano-dollars for [`Unit::Cost`]; never negative.
    pub limit: i64,
}

/// In JSON `{"unit","period","limit"}`: the limit of a cost is a decimal string of dollars, the others are
/// whole numbers, as number or as text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    unit: Unit,
    period: Period,
    limit: WrittenLimit,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenLimit {
    Number(i64),
    Text(String),
}

impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let limit = match self.unit {
            Unit::Cost => WrittenLimit::Text(NanoUsd(self.limit).to_string()),
            Unit::Requests | Unit::Tokens => WrittenLimit::Number(self.limit),
        };
        Written { unit: self.unit, period: self.period, limit }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { unit, period, limit } = Written::deserialize(deserializer)?;
        let limit = match (unit, limit) {
            (Unit::Cost, WrittenLimit::Text(text)) => NanoUsd::parse(&text).map_err(D::Error::custom)?.0,
            (Unit::Cost, WrittenLimit::Number(dollars)) => {
                NanoUsd::parse(&dollars.to_string()).map_err(D::Error::custom)?.0
            }
            (_, WrittenLimit::Number(count)) => count,
            (_, WrittenLimit::Text(text)) => {
                text.parse().map_err(|_| D::Error::custom("`limit` must be a whole number"))?
            }
        };
        if limit < 0 {
            return Err(D::Error::custom("`limit` must not be negative"));
        }
        Ok(Self { unit, period, limit })
    }
}

/// Whose quota or wallet.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum OwnerKind {
    /// A caller's key, trial keys included.
    Key,
    /// A user.
    User,
    /// A tenant.
    Tenant,
    /// A group.
    Group,
}

impl OwnerKind {
    /// Every kind, in the order of checking.
    pub const ALL: [Self; 4] = [Self::Key, Self::User, Self::Tenant, Self::Group];

    /// The name in JSON, SQL and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Tenant => "tenant",
            Self::Group => "group",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Who pays: the owner of quotas and, for users, of a wallet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// What it is.
    pub kind: OwnerKind,
    /// Which one.
    pub id: Arc<str>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.id)
    }
}

/// An amount of each unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Requests.
    pub requests: i64,
    /// Tokens, both ways.
    pub tokens: i64,
    /// Money.
    pub cost: NanoUsd,
}

impl Amounts {
    /// The part of one unit: a count, or nano-dollars.
    #[must_use]
    pub fn of(&self, unit: Unit) -> i64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::Tokens => self.tokens,
            Unit::Cost => self.cost.0,
        }
    }

    /// Both together; each part stops at the largest number.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.saturating_add(other.tokens),
            cost: NanoUsd(self.cost.0.saturating_add(other.cost.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_reads_what_it_writes_and_what_scripts_send() {
        for (json, unit, limit, back) in [
            (r#"{"unit":"cost","period":"monthly","limit":"12.5"}"#, Unit::Cost, 12_500_000_000, r#""12.5""#),
            (r#"{"unit":"cost","period":"24h","limit":3}"#, Unit::Cost, 3_000_000_000, r#""3""#),
            (r#"{"unit":"tokens","period":"never","limit":"1000"}"#, Unit::Tokens, 1_000, "1000"),
            (r#"{"unit":"requests","period":"daily","limit":0}"#, Unit::Requests, 0, "0"),
        ] {
            let quota: Quota = serde_json::from_str(json).expect(json);
            assert_eq!((quota.unit, quota.limit), (unit, limit), "{json}");
            let written = serde_json::to_string(&quota).expect("written");
            assert!(written.ends_with(&format!("\"limit\":{back}}}")), "{written}");
            assert_eq!(serde_json::from_str::<Quota>(&written).expect("read again"), quota);
        }
        for json in [
            r#"{"unit":"cost","period":"daily","limit":"-1"}"#,
            r#"{"unit":"tokens","period":"daily","limit":-1}"#,
            r#"{"unit":"tokens","period":"daily","limit":"1.5"}"#,
            r#"{"unit":"tokens","period":"yearly","limit":1}"#,
            r#"{"unit":"tokens","period":"daily","limit":1,"more":1}"#,
        ] {
            assert!(serde_json::from_str::<Quota>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn every_name_is_read_back() {
        assert!(Unit::ALL.iter().all(|unit| Unit::named(unit.name()) == Some(*unit)));
        assert!(Period::ALL.iter().all(|period| Period::named(period.name()) == Some(*period)));
        assert!(OwnerKind::ALL.iter().all(|kind| OwnerKind::named(kind.name()) == Some(*kind)));
    }
}
