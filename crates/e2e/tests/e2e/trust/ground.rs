//! A data folder that is started, killed and started again, with keys and upstreams that outlive it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::admin::{Admin, account};
use testkit::bill::Bill;
use testkit::gateway::{Folder, Gateway, Options, Turn};
use testkit::http::Answer;
use testkit::oracle::{Books, State};
use testkit::surface::Surface;
use testkit::upstream::Upstream;
use tokio::time::Instant;

use super::{ADMIN_TOKEN, Payer};
use crate::stage::Stage;

/// How a gateway of such a folder is started.
pub(super) fn options(folder: &Folder) -> Options {
    Options::default().data(folder.path()).env("ADMIN_TOKEN", ADMIN_TOKEN).turn(Turn::Held)
}

/// Starts one, and says how long it took to serve.
pub(super) async fn started(options: Options) -> Result<(Gateway, Admin, Duration)> {
    let since = Instant::now();
    let gateway = Gateway::start(options).await?;
    let took = since.elapsed();
    let admin = Admin::with_token(gateway.address(), ADMIN_TOKEN);
    Ok((gateway, admin, took))
}

/// The first start of a folder.
pub(super) async fn founded(folder: &Folder, turn: Turn) -> Result<Stage> {
    Stage::start(options(folder).turn(turn)).await
}

/// Accounts at one upstream that offers these models, in one go.
pub(super) async fn offer(
    stage: &Stage,
    surface: &Surface,
    upstream: &Upstream,
    models: &[&str],
) -> Result<()> {
    for model in models {
        stage.create(&account(model, surface, &upstream.url(), &json!([model]))).await?;
    }
    Ok(())
}

/// What a caller knows of a request that was answered whole: the gateway acknowledged it.
pub(super) fn acknowledged(answer: &Answer) -> Option<String> {
    let whole = answer.status() == 200 && answer.ended == testkit::http::Ended::Clean;
    whole.then(|| answer.request_id().ok().map(str::to_owned)).flatten()
}

/// What must hold after a crash: nothing acknowledged is lost, nothing that reached an upstream is without
/// its charge, nothing is charged twice, and what is unknown is at most what was in flight.
pub(super) fn survived(
    books: &Books,
    bill: &Bill,
    acknowledged: &[String],
    in_flight: usize,
) -> Result<usize> {
    books.cover(bill, in_flight)?;
    for request in acknowledged {
        let charge = books.charge_of(request);
        let charge = charge.with_context(|| format!("{request} was answered and is lost"))?;
        ensure!(charge.state == State::Measured, "{request} was answered whole: {charge:?}");
    }
    let unknown = books.charges().count() - acknowledged.len();
    Ok(unknown)
}

/// The window of a key as its owner reads it must be what its charges add up to.
pub(super) async fn adds_up(gateway: &Gateway, payer: &Payer, books: &Books) -> Result<()> {
    for (unit, sum) in [("tokens", books.tokens())] {
        let counter: Value = testkit::oracle::used(gateway, &payer.key, unit, "daily").await?;
        ensure!(counter == json!(sum), "{counter} {unit} in the window, {sum} booked");
    }
    Ok(())
}
