//! T16, as far as it shows from outside: each period refuses with its own code and says when it begins anew.
//!
//! Rollovers, jumps of the clock and lengths of months are put to the proof in the ledger, with its clock in
//! the test's hand.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::admin::quota;
use testkit::gateway::Options;
use testkit::http::Answer;
use testkit::oracle::holds_return;
use testkit::surface::{CHAT, MESSAGES};
use testkit::trust::Proof;

use super::Payer;
use crate::stage::{Stage, ensure_error, in_seconds};

const PROOF: Proof =
    Proof::new("T16-codes", "P1", "Each unit and period refuses with its code and the end of its window");

const DAY: u64 = 24 * 60 * 60;

/// A period, the code of a spent request quota, and the most seconds until it begins anew.
const PERIODS: [(&str, &str, Option<u64>); 7] = [
    ("daily", "QUOTA_DAILY_EXCEEDED", Some(DAY)),
    ("weekly", "QUOTA_WEEKLY_EXCEEDED", Some(7 * DAY)),
    ("monthly", "QUOTA_MONTHLY_EXCEEDED", Some(31 * DAY)),
    ("never", "QUOTA_REQUEST_EXCEEDED", None),
    ("24h", "QUOTA_REQUEST_EXCEEDED", Some(DAY)),
    ("7d", "QUOTA_REQUEST_EXCEEDED", Some(7 * DAY)),
    ("30d", "QUOTA_REQUEST_EXCEEDED", Some(30 * DAY)),
];

/// Times are written so that they can be compared as texts.
fn ensure_end(answer: &Answer, within: Option<u64>) -> Result<()> {
    let told = answer.header("x-yumen-resets-at");
    let Some(seconds) = within else {
        ensure!(told.is_none(), "a quota for good ends at {told:?}");
        return Ok(());
    };
    let told = told.context("no x-yumen-resets-at")?;
    let (now, latest) = (in_seconds(0), in_seconds(seconds + 60));
    let cut = |text: &str| text.chars().take(19).collect::<String>();
    ensure!(cut(told) >= cut(&now) && cut(told) <= cut(&latest), "{told} is not from {now} to {latest}");
    Ok(())
}

#[tokio::test]
async fn each_period_refuses_with_its_code_and_its_end() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    for (period, code, within) in PERIODS {
        let terms = json!({"quota": [quota("requests", period, "1")]});
        let payer = Payer::create(&stage, &format!("period-{period}"), &terms).await?;
        for surface in [CHAT, MESSAGES] {
            let request = payer.request(&surface, &surface.request(surface.demo_model, false));
            let first = stage.gateway.call(&request).await?;
            if surface == CHAT {
                ensure!(first.status() == 200, "{period}: {} {}", first.status(), first.text());
            }
            let second = stage.gateway.call(&request).await?;
            ensure_error(surface.dialect, &second, 403, code).context(period)?;
            ensure_end(&second, within).context(period)?;
        }
    }
    for (unit, code) in [("tokens", "QUOTA_TOKEN_EXCEEDED"), ("requests", "QUOTA_REQUEST_EXCEEDED")] {
        let terms = json!({"quota": [quota(unit, "never", "0")]});
        let payer = Payer::create(&stage, &format!("unit-{unit}"), &terms).await?;
        let answer = stage.gateway.call(&payer.request(&CHAT, &CHAT.request("demo-chat", false))).await?;
        ensure_error(CHAT.dialect, &answer, 403, code).context(unit)?;
    }
    holds_return(&stage.gateway).await?;
    PROOF.held(&format!("{} periods, 2 dialects: code and end right", PERIODS.len()))
}
