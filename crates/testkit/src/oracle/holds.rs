//! Whether what was held for requests is free again, and whether counters say what the ledger says.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::Instant;

use crate::gateway::Gateway;
use crate::http::Request;
use crate::wait;

/// How soon nothing may be held any more once nothing runs (reliability.md P2).
pub const HELD_LIMIT: Duration = Duration::from_secs(1);

/// How old the gateway's gauges may be: it sets them every second, later when the machine is busy.
const GAUGE_AGE: Duration = Duration::from_millis(1_500);

/// The metrics that count what is held; all are 0 when nothing runs.
const HELD: [&str; 2] = ["gateway_ledger_open_holds", "gateway_ledger_held_nano_usd"];

/// What is held now: open holds and their money together, 0 only when there is neither.
///
/// # Errors
/// When the gateway does not answer, or has no such metric.
pub async fn held(gateway: &Gateway) -> Result<f64> {
    let metrics = gateway.metrics().await?;
    metrics.named(HELD[0]).next().with_context(|| format!("no metric {}", HELD[0]))?;
    Ok(HELD.iter().map(|name| metrics.sum(name)).sum())
}

/// Waits until nothing is held any more, and gives how long that took.
///
/// # Errors
/// When something still is after [`HELD_LIMIT`] and the time that a gauge may be old.
pub async fn holds_return(gateway: &Gateway) -> Result<Duration> {
    let started = Instant::now();
    let mut last = 0.0;
    let free = wait::until("the holds to be given back", HELD_LIMIT + GAUGE_AGE, async || {
        last = held(gateway).await?;
        Ok((last == 0.0).then(|| started.elapsed()))
    });
    free.await.with_context(|| format!("{last} is still held"))
}

/// What a key has used of its quota of `unit` and `period`, as its owner reads it: a count, or dollars.
/// Nothing may be held of it.
///
/// # Errors
/// When the gateway does not answer, the key has no such quota, or some of it is held.
pub async fn used(gateway: &Gateway, key: &str, unit: &str, period: &str) -> Result<Value> {
    let answer = gateway.call(&Request::get("/v1/usage").bearer(key)).await?;
    let usage = answer.json();
    let mut windows = usage["windows"].as_array().into_iter().flatten();
    let window = windows.find(|window| window["unit"] == unit && window["window"] == period);
    let window = window.with_context(|| format!("no window of {unit}, {period}: {}", answer.text()))?;
    let count = |name: &str| window[name].as_i64();
    if let (Some(limit), Some(used), Some(remaining)) = (count("limit"), count("used"), count("remaining")) {
        let left = limit.saturating_sub(used).max(0);
        ensure!(remaining == left, "{} are held: {window}", left - remaining);
    }
    Ok(window["used"].clone())
}
