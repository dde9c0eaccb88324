//! T11: `Idempotency-Key`: one call upstream however often and however simultaneously it is asked for, also
//! after a restart; another body under the same name is refused.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::admin::Admin;
use testkit::bill::{Bill, Stated, tagged};
use testkit::canned::{self, INPUT, OUTPUT};
use testkit::gateway::{Folder, Gateway, Options, Turn};
use testkit::http::{Answer, Request};
use testkit::load::crowd;
use testkit::oracle::{Books, Oracle, holds_return};
use testkit::script::Script;
use testkit::surface::{CHAT, COMPLETIONS, MESSAGES, Surface};
use testkit::trust::Proof;
use testkit::upstream::Upstream;

use super::{ADMIN_TOKEN, Payer, at_rest};
use crate::stage::{Stage, ensure_error};

const PROOF: Proof = Proof::new(
    "T11",
    "P4",
    "100 concurrent requests with one Idempotency-Key, another body, and again after a restart",
);

const CONCURRENT: usize = 100;

fn named(payer: &Payer, surface: &Surface, name: &str, tag: u64) -> Request {
    // A name belongs to one request of a key, whatever endpoint it goes to.
    let name = format!("{name}-{}", surface.name);
    payer.request(surface, &tagged(surface, surface.name, false, tag)).header("idempotency-key", &name)
}

/// The answer that all of them are, or why they are not the same.
fn same(answers: &[&Answer]) -> Result<()> {
    let first = answers.first().context("no answer")?;
    for answer in answers {
        ensure!(answer.status() == 200, "{} {}", answer.status(), answer.text());
        ensure!(answer.body == first.body, "{} is not {}", answer.text(), first.text());
    }
    Ok(())
}

/// A hundred at once, then another body.
async fn meet(stage: &Stage, payer: &Payer, surface: &Surface, bill: &Bill) -> Result<()> {
    let before = bill.count();
    let requests = (0..CONCURRENT).map(|_| named(payer, surface, "once", 1)).collect();
    let told = crowd(stage.gateway.address(), CONCURRENT, requests).await?;
    let answers: Vec<&Answer> = told.iter().filter_map(|told| told.answer.as_ref().ok()).collect();
    ensure!(answers.len() == CONCURRENT, "only {} answers", answers.len());
    same(&answers)?;
    ensure!(bill.count() - before == 1, "{} calls upstream", bill.count() - before);
    let other = stage.gateway.call(&named(payer, surface, "once", 2)).await?;
    ensure_error(surface.dialect, &other, 422, "IDEMPOTENCY_MISMATCH")?;
    let another = stage.gateway.call(&named(payer, surface, "another", 2)).await?;
    ensure!(another.status() == 200, "{}", another.text());
    ensure!(bill.count() - before == 2, "{} calls upstream", bill.count() - before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_idempotency_key_is_one_call_upstream() -> Result<()> {
    let folder = Folder::temporary()?;
    let options = || Options::default().data(folder.path()).env("ADMIN_TOKEN", ADMIN_TOKEN);
    let mut stage = Stage::start(options()).await?;
    let bill = Bill::default();
    let surfaces = [CHAT, COMPLETIONS, MESSAGES];
    let mut upstreams = Vec::new();
    for surface in surfaces {
        let bill = bill.clone();
        let upstream = Upstream::start(move |received| {
            bill.note(received, Some(Stated { input: INPUT, output: OUTPUT }));
            // Long enough for all the others to come in the meantime.
            let late = canned::answer(&surface, surface.name, false).steps().to_vec();
            late.into_iter().fold(Script::new().wait_ms(300), Script::then)
        })
        .await?;
        stage.account(surface.name, &surface, &upstream, surface.name).await?;
        upstreams.push(upstream);
    }
    let payer = Payer::create(&stage, "idempotent", &json!({"idempotency": true})).await?;
    let oracle = Oracle::before(&stage.gateway)?;
    for surface in surfaces {
        meet(&stage, &payer, &surface, &bill).await.context(surface.name)?;
    }
    holds_return(&stage.gateway).await?;
    at_rest(&oracle, &stage, upstreams.iter().map(Upstream::open).sum()).await?;
    let calls = bill.count();
    stage.gateway.terminate().await?;
    let again = Gateway::start(options().turn(Turn::Held)).await?;
    for surface in surfaces {
        let answer = again.call(&named(&payer, &surface, "once", 1)).await?;
        ensure!(answer.status() == 200, "after a restart: {}", answer.text());
    }
    ensure!(bill.count() == calls, "a restart forgot the answers: {} calls, {calls} before", bill.count());
    let admin = Admin::with_token(again.address(), ADMIN_TOKEN);
    let books = Books::with_charges(&admin, &payer.filter(), calls).await?;
    ensure!(books.charges().count() == calls, "{} charges, {calls} calls", books.charges().count());
    books.once_each()?;
    PROOF.held(&format!(
        "{} surfaces: 1 upstream call and 1 charge for {CONCURRENT} concurrent requests, 422 for another body, \
         0 calls after a restart",
        surfaces.len()
    ))
}
