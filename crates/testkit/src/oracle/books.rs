//! The ledger as an administrator reads it, and what must be true of it whatever happened.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use model::NanoUsd;
use serde_json::Value;

use crate::admin::Admin;
use crate::bill::{Bill, Stated};
use crate::wait::{self, PATIENCE};

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What a request costs its caller.
    Charge,
    /// What one attempt cost us.
    Attempt,
    /// Money put in or taken out.
    Topup,
    /// A repair.
    Correction,
}

/// How an entry's figures are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The upstream stated them.
    Measured,
    /// They were computed by the gateway.
    Estimated,
    /// Nothing was used.
    Void,
}

/// One entry of the ledger.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is about.
    pub kind: Kind,
    /// How its figures are known.
    pub state: State,
    /// The request; empty for a top-up.
    pub request: String,
    /// Which attempt, from 1; 0 for other kinds.
    pub attempt: u64,
    /// The public model.
    pub model: String,
    /// Tokens both ways.
    pub used: Stated,
    /// The usage as it is shown.
    pub usage: Value,
    /// Money; `None` when the model has no price.
    pub amount: Option<NanoUsd>,
    /// By how much it exceeds what was covered.
    pub overshoot: NanoUsd,
}

/// All entries that match a filter.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// The entries, newest first.
    pub rows: Vec<Row>,
}

impl Books {
    /// Reads every page that matches `filter` (`key_id=…`, `request_id=…`).
    ///
    /// # Errors
    /// When the gateway does not answer, or an entry has no sense.
    pub async fn read(admin: &Admin, filter: &str) -> Result<Self> {
        let entries = admin.ledger(filter).await?;
        let read = |entry| row(entry).with_context(|| format!("an entry of the ledger: {entry}"));
        Ok(Self { rows: entries.iter().map(read).collect::<Result<_>>()? })
    }

    /// Reads again until at least `charges` charges are listed: the database learns of them a moment later.
    ///
    /// # Errors
    /// When they do not appear within the kit's patience.
    pub async fn with_charges(admin: &Admin, filter: &str, charges: usize) -> Result<Self> {
        let mut listed = 0;
        let what = format!("{charges} charges with {filter}");
        let found = wait::until(&what, PATIENCE, async || {
            let books = Self::read(admin, filter).await?;
            listed = books.charges().count();
            Ok((listed >= charges).then_some(books))
        });
        found.await.with_context(|| format!("{listed} are listed"))
    }

    /// The charges.
    pub fn charges(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.kind == Kind::Charge)
    }

    /// What attempts cost us.
    pub fn attempts(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.kind == Kind::Attempt)
    }

    /// The charge of a request.
    #[must_use]
    pub fn charge_of(&self, request: &str) -> Option<&Row> {
        self.charges().find(|row| row.request == request)
    }

    /// Tokens of all charges.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.charges().map(|row| row.used.total()).sum()
    }

    /// Money of all charges.
    #[must_use]
    pub fn cost(&self) -> NanoUsd {
        NanoUsd(self.charges().filter_map(|row| row.amount).map(|amount| amount.0).sum())
    }

    /// How many charges are in each state: measured, estimated, void.
    #[must_use]
    pub fn states(&self) -> [usize; 3] {
        [State::Measured, State::Estimated, State::Void]
            .map(|state| self.charges().filter(|row| row.state == state).count())
    }

    /// Checks that each request has one charge, each attempt of it one entry, and no attempt stands alone.
    ///
    /// # Errors
    /// Names the first request of which that is not so.
    pub fn once_each(&self) -> Result<()> {
        let mut seen: BTreeMap<(&str, u64), usize> = BTreeMap::new();
        for row in self.charges() {
            *seen.entry((&row.request, 0)).or_default() += 1;
        }
        for row in self.attempts() {
            ensure!(row.attempt > 0, "an attempt has no number: {row:?}");
            ensure!(seen.contains_key(&(row.request.as_str(), 0)), "an attempt has no charge: {row:?}");
            *seen.entry((&row.request, row.attempt)).or_default() += 1;
        }
        match seen.into_iter().find(|(_, count)| *count != 1) {
            Some(((request, attempt), count)) => bail!("{request}: attempt {attempt} has {count} entries"),
            None => Ok(()),
        }
    }

    /// Checks against the bill: every request that reached an upstream has its charge, and at most `unsure`
    /// more have one that left no trace there because their callers left, or the gateway died, on the way.
    ///
    /// # Errors
    /// Says how many there are of each.
    pub fn cover(&self, bill: &Bill, unsure: usize) -> Result<()> {
        self.once_each()?;
        let (reached, charged) = (bill.by_tag().len(), self.charges().count());
        let fits = (reached..=reached + unsure).contains(&charged);
        ensure!(fits, "{charged} charges for {reached} requests that reached an upstream, {unsure} unsure");
        Ok(())
    }
}

fn row(item: &Value) -> Result<Row> {
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let tokens = |name: &str| item["usage"][name].as_u64().unwrap_or_default();
    let money = |name: &str| match &item[name] {
        Value::Null => Ok(None),
        value => NanoUsd::parse(value.as_str().context("money is no text")?).map(Some).context("money"),
    };
    let kind = match item["kind"].as_str() {
        Some("charge") => Kind::Charge,
        Some("attempt") => Kind::Attempt,
        Some("topup") => Kind::Topup,
        Some("correction") => Kind::Correction,
        _ => bail!("no kind"),
    };
    let state = match item["state"].as_str() {
        Some("measured") => State::Measured,
        Some("estimated") => State::Estimated,
        Some("void") => State::Void,
        _ => bail!("no state"),
    };
    let used = Stated {
        input: tokens("input") + tokens("cache_read") + tokens("cache_write"),
        output: tokens("output"),
    };
    Ok(Row {
        kind,
        state,
        request: text("request_id"),
        attempt: item["attempt"].as_u64().unwrap_or_default(),
        model: text("model"),
        used,
        usage: item["usage"].clone(),
        amount: money("amount")?,
        overshoot: money("overshoot")?.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn books(items: &[Value]) -> Books {
        Books { rows: items.iter().map(|item| row(item).unwrap()).collect() }
    }

    #[test]
    fn a_charge_too_many_and_an_attempt_alone_are_found() {
        let charge = json!({"kind": "charge", "state": "measured", "request_id": "req-1", "amount": "0.5",
            "usage": {"input": 3, "cache_read": 4, "output": 5}});
        let attempt = json!({"kind": "attempt", "state": "void", "request_id": "req-1", "attempt": 1});
        let fine = books(&[charge.clone(), attempt.clone()]);
        fine.once_each().unwrap();
        assert_eq!((fine.tokens(), fine.cost(), fine.states()), (12, NanoUsd(500_000_000), [1, 0, 0]));
        assert!(books(&[charge.clone(), charge.clone()]).once_each().is_err());
        assert!(books(std::slice::from_ref(&attempt)).once_each().is_err());
        assert!(books(&[charge, attempt.clone(), attempt]).once_each().is_err());
    }
}
