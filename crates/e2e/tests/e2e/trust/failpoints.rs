//! T08: the process dies at every named point, under load in every dialect; started again, its books are
//! right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use telemetry::failpoint::POINTS;
use testkit::admin::{Admin, account};
use testkit::bill::{Bill, Stated, tagged};
use testkit::canned::{self, INPUT, OUTPUT};
use testkit::chance::{Chance, seed};
use testkit::environment::nightly;
use testkit::gateway::{Folder, Gateway, Turn};
use testkit::http::{Answer, Connection, Ended, Request};
use testkit::load::{each, each_here};
use testkit::oracle::{Books, State, holds_return};
use testkit::script::Script;
use testkit::surface::{CHAT, COMPLETIONS, Dialect, MESSAGES, Surface};
use testkit::trust::Proof;
use testkit::upstream::{Received, Upstream};
use testkit::wait;

use super::ground::{founded, options, settled, started};
use super::{Payer, tier};
use crate::stage::{Stage, with};

const PROOF: Proof =
    Proof::new("T08", "P3", "The process dies at every failpoint, over chat, completions and messages");

const SURFACES: [Surface; 3] = [CHAT, COMPLETIONS, MESSAGES];
const CALLERS: usize = 4;
const CALLS: u64 = 32;
/// Trials at one time: most of one is waiting for a process to start.
const AT_ONCE: usize = 4;
/// Enough words for a checkpoint, which is due every 2,000 tokens.
const LONG: usize = 640;
/// How long after the load a point of the background may take to be passed; a segment that the database
/// knows is kept for a minute, which only the nightly tier waits for.
const BACKGROUND: Duration = Duration::from_secs(3);
const SEGMENT_KEPT: Duration = Duration::from_secs(75);

/// What a process says last.
const DYING: &str = "dying at a failpoint";

/// Points that this load cannot reach in a short time; each is passed in the tests named.
const ELSEWHERE: [(&str, &str); 3] = [
    ("journal_before_rotate", "a segment has 16 MiB: the ledger's own tests"),
    ("journal_after_rotate", "a segment has 16 MiB: the ledger's own tests"),
    ("journal_reserve_freed", "the disk must be full: the ledger's own tests"),
];

/// What is asked: a model's name begins with one of these.
const KINDS: [&str; 5] = ["whole", "stream", "long", "retry", "fail"];

fn model(kind: &str, surface: &Surface) -> String {
    format!("{kind}-{}", surface.name)
}

fn kind(number: u64) -> &'static str {
    KINDS[usize::try_from(number).unwrap_or_default() % KINDS.len()]
}

/// The upstreams of all trials: one that works, one that refuses. A tag's thousands are the trial's number.
struct World {
    good: Upstream,
    bad: Upstream,
    bill: Bill,
}

fn surface_of(received: &Received) -> Surface {
    let path = received.target.as_str();
    let named = SURFACES.into_iter().find(|surface| path.starts_with(surface.upstream_path));
    named.unwrap_or(CHAT)
}

fn serve(received: &Received) -> Script {
    let surface = surface_of(received);
    let asked = received.json();
    if !asked["model"].as_str().is_some_and(|model| model.starts_with("long")) {
        return canned::answer(&surface, "m", asked["stream"] == true);
    }
    let words = vec![" abcdefghijklmno"; LONG];
    let frames = match (surface.dialect, surface.name) {
        (Dialect::Anthropic, _) => canned::message_frames("m", &words),
        (_, "openai_completions") => canned::completion_frames("m", &words),
        _ => canned::chat_frames("m", &words, true),
    };
    canned::stream_answer(&frames)
}

impl World {
    async fn start() -> Result<Self> {
        let bill = Bill::default();
        let (noted, refused) = (bill.clone(), bill.clone());
        let good = Upstream::start(move |received| {
            noted.note(received, Some(Stated { input: INPUT, output: OUTPUT }));
            serve(received)
        });
        let bad = Upstream::start(move |received| {
            refused.note_as(received, None, "refused");
            let body = canned::error_body(surface_of(received).dialect, "some_error", "no");
            canned::json_answer(500, &[], &body)
        });
        Ok(Self { good: good.await?, bad: bad.await?, bill })
    }

    /// The calls of one trial, by tag.
    fn reached(&self, trial: u64) -> BTreeMap<u64, usize> {
        let tags = self.bill.by_tag().into_iter();
        tags.filter(|(tag, _)| tag / 1_000 == trial).map(|(tag, calls)| (tag, calls.len())).collect()
    }
}

/// A folder that every trial begins with a copy of: accounts, a key, a user with a wallet, a journal with
/// the orphan of a crash.
struct Template {
    folder: Folder,
    payer: Arc<Payer>,
    user: String,
    /// Keeps the test's turn.
    _stage: Stage,
}

async fn offer_all(stage: &Stage, world: &World) -> Result<()> {
    for surface in SURFACES {
        for kind in KINDS {
            let model = model(kind, &surface);
            let at = if kind == "fail" { &world.bad } else { &world.good };
            let good = account(&model, &surface, &at.url(), &json!([model]));
            stage.admin.create_account(&with(good, "priority", json!(20))).await?;
            if kind == "retry" {
                let name = format!("{model}-first");
                let bad = account(&name, &surface, &world.bad.url(), &json!([model]));
                stage.admin.create_account(&with(bad, "priority", json!(10))).await?;
            }
        }
    }
    let held = account("held", &CHAT, &world.good.url(), &json!(["held"]));
    stage.create(&held).await.map(|_| ())
}

async fn template(world: &World) -> Result<Template> {
    let folder = Folder::temporary()?;
    let mut stage = founded(&folder, Turn::Alone).await?;
    offer_all(&stage, world).await?;
    let terms = json!({
        "quota": [{"unit": "tokens", "period": "daily", "limit": 1_000_000_000}], "idempotency": true,
    });
    let payer = Payer::create(&stage, "dying", &terms).await?;
    let user = stage.admin.user_with_balance("payer@example.com", "100").await?;
    // What is held by the request at hand is an orphan after the kill.
    world.good.next([Script::new().hold()]);
    let mut connection = stage.gateway.connect().await?;
    let before = world.good.count();
    connection.send(&payer.request(&CHAT, &tagged(&CHAT, "held", false, 999))).await?;
    world.good.wait_for(before + 1).await?;
    stage.gateway.signal("KILL").await?;
    stage.gateway.ended(wait::PATIENCE).await?;
    Ok(Template { folder, payer: Arc::new(payer), user, _stage: stage })
}

/// One point met by one dialect.
struct Trial {
    number: u64,
    point: &'static str,
    surface: Surface,
}

/// What became of a trial's load.
#[derive(Default)]
struct Load {
    /// Requests that were answered whole.
    known: Vec<String>,
    /// Money that was put in and confirmed, in dollars.
    paid_in: usize,
    started: bool,
}

impl Trial {
    fn name(&self) -> String {
        format!("{} with {}", self.point, self.surface.name)
    }

    /// At which passing it dies. What happens once or rarely is met the first time.
    fn armed(&self) -> String {
        let often = ["intent", "upstream", "settle", "first_byte", "journal_"];
        let passing = if often.iter().any(|word| self.point.contains(word)) {
            Chance::seeded(seed() ^ self.number).between(1, 4)
        } else if self.point.starts_with("projection_") {
            Chance::seeded(seed() ^ self.number).between(1, 2)
        } else {
            1
        };
        format!("{}={passing}", self.point)
    }

    async fn run(&self, world: &World, template: &Template) -> Result<()> {
        let folder = template.folder.copy()?;
        let armed = options(&folder).env("YUMEN_FAILPOINT", &self.armed());
        let load = match started(armed).await {
            // A point that is passed within recovery, or by what it leaves to do, kills the start itself.
            Err(error) if format!("{error:#}").contains(DYING) => Load::default(),
            Err(error) => return Err(error),
            Ok((gateway, admin, _)) => self.die(gateway, &admin, template).await?,
        };
        let (gateway, admin, took) = started(options(&folder)).await.context("starting again")?;
        holds_return(&gateway).await?;
        let reached = self.orphan() + world.reached(self.number).len();
        let books = settled((&gateway, &admin), &template.payer, reached).await?;
        self.judge(&load, &books, reached)?;
        let (balance, held) = admin.wallet(&template.user).await?;
        let put_in = usize::try_from(balance.0 / 1_000_000_000)? - 100;
        let sure = load.paid_in..=load.paid_in + usize::from(load.started);
        ensure!(sure.contains(&put_in) && held.0 == 0, "{put_in} put in, {} confirmed", load.paid_in);
        ensure!(took < Duration::from_secs(10), "the start took {took:?}");
        Ok(())
    }

    /// The request that the template's own crash left behind.
    fn orphan(&self) -> usize {
        1
    }

    /// Loads the gateway until it dies.
    async fn die(&self, mut gateway: Gateway, admin: &Admin, template: &Template) -> Result<Load> {
        let (address, payer) = (gateway.address().to_owned(), Arc::clone(&template.payer));
        let (surface, first) = (self.surface, self.number * 1_000);
        let answers = each(CALLERS, CALLS, move |number| {
            let (address, payer) = (address.clone(), Arc::clone(&payer));
            async move { ask(&address, &payer, &surface, first + number).await.ok() }
        })
        .await?;
        let whole = |answer: &Answer| answer.status() == 200 && answer.ended == Ended::Clean;
        let known = answers.into_iter().flatten().filter(whole);
        let known = known.filter_map(|answer| answer.request_id().ok().map(str::to_owned)).collect();
        let mut load = Load { known, paid_in: 0, started: true };
        while load.paid_in < 2 && admin.adjust_balance(&template.user, "1", "trust").await.is_ok() {
            load.paid_in += 1;
        }
        let patience = if self.point.starts_with("segment") { SEGMENT_KEPT } else { BACKGROUND };
        let status = gateway.ended(patience).await;
        let status = status.with_context(|| format!("{} was never passed", self.point))?;
        ensure!(!status.success(), "it ended in good order");
        Ok(load)
    }

    fn judge(&self, load: &Load, books: &Books, reached: usize) -> Result<()> {
        books.once_each()?;
        let charges = books.charges().count();
        let fits = (reached..=reached + CALLERS).contains(&charges);
        ensure!(fits, "{charges} charges, {reached} reached an upstream");
        for request in &load.known {
            let charge = books.charge_of(request);
            let charge = charge.with_context(|| format!("{request} was answered and is lost"))?;
            ensure!(charge.state != State::Void, "{request} was answered whole: {charge:?}");
        }
        Ok(())
    }
}

/// One call of a trial; every third is repeatable.
async fn ask(address: &str, payer: &Payer, surface: &Surface, tag: u64) -> Result<Answer> {
    let kind = kind(tag);
    let stream = matches!(kind, "stream" | "long");
    let mut request: Request = payer.request(surface, &tagged(surface, &model(kind, surface), stream, tag));
    if kind == "whole" {
        request = request.header("idempotency-key", &format!("name-{tag}"));
    }
    Connection::open(address).await?.call(&request).await
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (index, (point, _)) in POINTS.iter().enumerate() {
        let late = point.starts_with("segment") && !nightly();
        if late || ELSEWHERE.iter().any(|(name, _)| name == point) {
            continue;
        }
        // What does not depend on a dialect is met by one of them in each run.
        let dialects = !["journal", "projection", "segment", "recovery", "adjust"]
            .iter()
            .any(|part| point.starts_with(part));
        for (turn, surface) in SURFACES.into_iter().enumerate() {
            let this_one = turn == (index + usize::try_from(seed()).unwrap_or_default()) % SURFACES.len();
            if dialects || this_one || tier(false, true) {
                trials.push(Trial { number: trials.len() as u64 + 1, point, surface });
            }
        }
    }
    trials
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_are_right_wherever_the_process_dies() -> Result<()> {
    let world = Arc::new(World::start().await?);
    let template = Arc::new(template(&world).await?);
    let trials = Arc::new(trials());
    let count = trials.len();
    let outcomes = {
        let (world, template, trials) = (Arc::clone(&world), Arc::clone(&template), Arc::clone(&trials));
        each_here(AT_ONCE, count as u64, move |number| {
            let (world, template, trials) = (Arc::clone(&world), Arc::clone(&template), Arc::clone(&trials));
            async move {
                let Some(trial) = trials.get(usize::try_from(number).unwrap_or_default()) else {
                    bail!("there is no trial {number}");
                };
                trial.run(&world, &template).await.with_context(|| trial.name())
            }
        })
        .await?
    };
    let failures: Vec<String> =
        outcomes.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
    let points: BTreeSet<&str> = trials.iter().map(|trial| trial.point).collect();
    PROOF.held(&format!(
        "{count} deaths at {} of {} points: nothing lost, nothing charged twice; the others die in the \
         ledger's own tests",
        points.len(),
        POINTS.len()
    ))
}
