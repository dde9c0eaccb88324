//! T57 at the socket: what a caller on the same machine can learn from how long a refusal takes.

use std::time::Instant;

use anyhow::{Result, ensure};
use model::resource::KeyKind;
use model::{ResourceId, key_text};
use testkit::chance::{self, Chance};
use testkit::environment::nightly;
use testkit::gateway::Options;
use testkit::http::{Connection, Request};
use testkit::timing::{self, Kind, LIMIT, Times};
use testkit::trust::Proof;

use crate::stage::Stage;

/// Requests at a time: more would only fill memory.
const BATCH: usize = 10_000;

/// A key's text with this id that was never given out.
fn made_up(id: &ResourceId, chance: &mut Chance) -> String {
    let secret = std::array::from_fn(|_| chance.number() as u8);
    key_text::mint(KeyKind::Standard, id, secret).expose().clone()
}

fn any_id(chance: &mut Chance) -> ResourceId {
    ResourceId::mint(chance.between(1, 1 << 40), std::array::from_fn(|_| chance.number() as u8))
}

/// |t| between refusals of bearers of both kinds, `count` of them on one connection.
async fn of_refusals(
    connection: &mut Connection,
    (seed, count): (u64, usize),
    bearer: impl Fn(Kind, &mut Chance) -> String,
) -> Result<f64> {
    let (mut chance, mut times) = (Chance::seeded(seed), Times::default());
    while times.count() < count {
        let batch: Vec<(Kind, Request)> = (0..BATCH.min(count))
            .map(|_| {
                let kind = if chance.percent(50) { Kind::Fixed } else { Kind::Random };
                (kind, Request::get("/v1/models").bearer(&bearer(kind, &mut chance)))
            })
            .collect();
        for (kind, request) in &batch {
            let before = Instant::now();
            let answer = connection.call(request).await?;
            let took = before.elapsed();
            ensure!(answer.status() == 401, "{} {}", answer.status(), answer.text());
            times.add(*kind, u64::try_from(took.as_nanos())?);
        }
    }
    Ok(times.t())
}

#[tokio::test]
async fn how_long_a_refusal_takes_does_not_say_which_keys_there_are() -> Result<()> {
    let count = if nightly() { 1_000_000 } else { 10_000 };
    let stage = Stage::start(Options::default()).await?;
    let (id, _) = stage.admin.create_key(&serde_json::json!({"name": "known"})).await?;
    let known = ResourceId::parse(&id).unwrap_or_else(|| panic!("{id} is no id"));
    let mut connection = stage.gateway.connect().await?;
    let seed = chance::seed();
    // A refusal that comes before anything is hashed must be seen from here, or nothing is shown. Ten thousand of a
    // fast build beside other tests are too few for that, so that only the long run asks for it.
    let canaries = if nightly() { 200_000 } else { 10_000 };
    let junk = of_refusals(&mut connection, (seed, canaries), |kind, chance| {
        let text = made_up(&known, chance);
        if kind == Kind::Fixed { text } else { format!("{}1", &text[..text.len() - 1]) }
    });
    let junk = junk.await?;
    let mut found = Vec::new();
    for round in 0..3 {
        let bearer = |kind, chance: &mut Chance| {
            let any = any_id(chance);
            made_up(if kind == Kind::Fixed { &known } else { &any }, chance)
        };
        found.push(of_refusals(&mut connection, (seed.wrapping_add(round), count), bearer).await?);
        if found.last().is_some_and(|t| *t < LIMIT) {
            break;
        }
    }
    let (fits, shown) = timing::verdict(&found);
    ensure!(fits, "a key that there is and one that there is not: |t| {shown}");
    ensure!(junk > LIMIT || !nightly(), "junk and a key: |t| {junk:.2}");
    let what = "The time of a refusal, measured at the socket, does not say which keys there are";
    Proof::new("T57-socket", "R15", what).held(&format!(
        "{count} refusals: |t| {shown} between a key that there is and one that there is not; {junk:.0} where nothing is \
         hashed, in {canaries}"
    ))
}
