//! A data folder that is started, killed and started again, with keys and upstreams that outlive it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::admin::{Admin, account};
use testkit::bill::Bill;
use testkit::gateway::{Folder, Gateway, Options, Turn};
use testkit::http::Answer;
use testkit::oracle::{Books, State};
use testkit::surface::Surface;
use testkit::upstream::Upstream;
use testkit::wait;
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
/// its charge, nothing is charged twice. Gives how many charges are estimated, because they were in flight;
/// and how many of those had been answered, so that their end was with the caller and not yet in the journal.
pub(super) fn survived(
    books: &Books,
    bill: &Bill,
    acknowledged: &[String],
    in_flight: usize,
) -> Result<(usize, usize)> {
    books.cover(bill, in_flight)?;
    let mut answered = 0;
    for request in acknowledged {
        let charge = books.charge_of(request);
        let charge = charge.with_context(|| format!("{request} was answered and is lost"))?;
        ensure!(charge.state != State::Void, "{request} was answered whole: {charge:?}");
        answered += usize::from(charge.state == State::Estimated);
    }
    let [_, estimated, void] = books.states();
    ensure!(void == 0, "{void} charges are void");
    ensure!(estimated <= in_flight, "{estimated} estimated, at most {in_flight} were in flight");
    Ok((estimated, answered))
}

/// A key's entries once the database knows all of them: its daily window of tokens, as its owner reads it,
/// is what its charges add up to, and nothing of it is held.
pub(super) async fn settled(stage: (&Gateway, &Admin), payer: &Payer, at_least: usize) -> Result<Books> {
    let (gateway, admin) = stage;
    let mut shown = String::new();
    let added_up = wait::until("the window to be the sum of the charges", wait::PATIENCE, async || {
        let books = Books::with_charges(admin, &payer.filter(), at_least).await?;
        let counter = testkit::oracle::used(gateway, &payer.key, "tokens", "daily").await?;
        shown = format!("{counter} in the window, {} booked", books.tokens());
        Ok((counter == json!(books.tokens())).then_some(books))
    });
    added_up.await.context(shown)
}
