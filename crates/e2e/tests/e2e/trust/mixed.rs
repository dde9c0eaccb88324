//! T05 and T14: whatever becomes of requests, nothing stays held, counters equal the ledger, and the
//! ledger equals the bill.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::admin::Admin;
use testkit::bill::{Bill, Stated, tag_of, tagged};
use testkit::canned::{self, INPUT, OUTPUT};
use testkit::chance::{Chance, seed};
use testkit::gateway::{Options, Turn};
use testkit::http::{Answer, Connection};
use testkit::load::each;
use testkit::oracle::{Books, Oracle, State, holds_return};
use testkit::outcome::Outcome;
use testkit::script::Script;
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::{Received, Upstream};

use super::ground::settled;
use super::{ADMIN_TOKEN, Payer, quota, tier};
use crate::stage::Stage;

const MIXED: Proof = Proof::new(
    "T05",
    "P2, P3",
    "After mixed requests (served, failed, late, cut, left at every phase) nothing is held and counters equal \
     the ledger",
);
const RECONCILED: Proof =
    Proof::new("T14", "P3, P4", "The sum of attempts' measured usage equals the upstream's invoice");

const CALLERS: usize = 64;
/// More than all that can be asked for: no refusal is right.
const BUDGET: u64 = 1_000_000_000;
/// What the gateway's caches and lists may have grown by.
const GROWN_KB: u64 = 48 * 1024;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    Streamed,
    Failed,
    Overloaded,
    Silent,
    Reset,
    CutStream,
    LeaveInBody,
    LeaveAtOnce,
    LeaveInStream,
    LeaveLate,
}

impl Fate {
    const ALL: [Self; 11] = [
        Self::Whole,
        Self::Streamed,
        Self::Failed,
        Self::Overloaded,
        Self::Silent,
        Self::Reset,
        Self::CutStream,
        Self::LeaveInBody,
        Self::LeaveAtOnce,
        Self::LeaveInStream,
        Self::LeaveLate,
    ];

    /// Half are served in good order; of the others one kind is as frequent as another.
    fn of(tag: u64) -> Self {
        let mut chance = Chance::seeded(seed().wrapping_add(tag));
        match chance.between(0, 9) {
            0..=2 => Self::Whole,
            3..=4 => Self::Streamed,
            _ => chance.one_of(&Self::ALL[2..]).unwrap_or(Self::Whole),
        }
    }

    /// The model, one for each fate: what one upstream does must not close another's circuit.
    fn model(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn streams(self) -> bool {
        matches!(self, Self::Streamed | Self::CutStream | Self::LeaveInStream | Self::LeaveLate)
    }

    /// Whether the caller may be gone before the upstream has the request.
    fn leaves_early(self) -> bool {
        matches!(self, Self::LeaveInBody | Self::LeaveAtOnce)
    }
}

/// What the upstream does with a request, and what it charges. Every third call to one that fails is
/// served, because five failures in a row would end the test of it.
fn meet(received: &Received, bill: &Bill) -> Script {
    let tag = tag_of(&received.body).unwrap_or_default();
    let fate = if tag.is_multiple_of(3) && !Fate::of(tag).streams() { Fate::Whole } else { Fate::of(tag) };
    let charged = Some(Stated { input: INPUT, output: OUTPUT });
    let frames = canned::frames(&CHAT, "m");
    let begun = || frames[..3].iter().fold(canned::stream_head(), |script, frame| script.chunk(frame));
    let error = canned::error_body(CHAT.dialect, "some_error", "no");
    let (script, stated) = match fate {
        Fate::Whole | Fate::LeaveInBody | Fate::LeaveAtOnce => (canned::answer(&CHAT, "m", false), charged),
        Fate::Streamed => (canned::answer(&CHAT, "m", true), charged),
        Fate::Failed => (canned::json_answer(500, &[], &error), None),
        Fate::Overloaded => (canned::json_answer(529, &[], &error), None),
        Fate::Silent => (Script::new().hold(), None),
        Fate::Reset => (Script::new().reset(), None),
        Fate::CutStream => (begun().close(), None),
        Fate::LeaveInStream => (begun().hold(), None),
        Fate::LeaveLate => {
            let late = frames[..frames.len() - 1].iter();
            (late.fold(canned::stream_head(), |script, frame| script.chunk(frame)).hold(), None)
        }
    };
    bill.note(received, stated);
    script
}

/// One call as its fate wants it; `None` when the caller left.
async fn call(address: &str, payer: &Payer, tag: u64) -> Result<Option<Answer>> {
    let fate = Fate::of(tag);
    let request = payer.request(&CHAT, &tagged(&CHAT, &fate.model(), fate.streams(), tag));
    let mut connection = Connection::open(address).await?;
    match fate {
        Fate::LeaveInBody => {
            let bytes = request.to_bytes();
            connection.send_raw(&bytes[..bytes.len() - 10]).await?;
        }
        Fate::LeaveAtOnce => connection.send(&request).await?,
        Fate::LeaveInStream | Fate::LeaveLate => {
            connection.send(&request).await?;
            let mut arriving = connection.arriving().await?;
            connection.piece(&mut arriving).await?;
        }
        _ => return connection.call(&request).await.map(Some),
    }
    Ok(None)
}

/// Plays all fates and gives what callers were told, by tag.
pub(super) async fn play(stage: &Stage, payer: &Arc<Payer>, count: u64) -> Result<Vec<Option<Answer>>> {
    let (address, payer) = (stage.gateway.address().to_owned(), Arc::clone(payer));
    let call = move |tag| {
        let (address, payer) = (address.clone(), Arc::clone(&payer));
        async move { call(&address, &payer, tag).await.with_context(|| format!("{tag}: {:?}", Fate::of(tag))) }
    };
    each(CALLERS, count, call).await?.into_iter().collect()
}

/// Compares what each caller was told with the charge of the request.
fn agree(told: &[Option<Answer>], books: &Books) -> Result<usize> {
    let mut whole = 0;
    for (tag, answer) in told.iter().enumerate() {
        let Some(answer) = answer else { continue };
        let fate = Fate::of(tag as u64);
        let shown = || format!("{tag}, {fate:?}: {} {:?}", answer.status(), answer.code());
        ensure!(!matches!(answer.status(), 402 | 403 | 429), "refused: {}", shown());
        let charge = books.charge_of(answer.request_id()?);
        if Outcome::of(CHAT.dialect, fate.streams(), answer) == Outcome::Complete {
            let charge = charge.with_context(|| format!("no charge: {}", shown()))?;
            ensure!(charge.state == State::Measured, "{charge:?}: {}", shown());
            ensure!(charge.used == Stated { input: INPUT, output: OUTPUT }, "{charge:?}: {}", shown());
            whole += 1;
        } else if matches!(answer.code(), Some("CIRCUIT_OPEN" | "NO_AVAILABLE_UPSTREAM")) {
            // The last account may have been asked, and have refused.
            let nothing = charge.is_none_or(|charge| charge.state == State::Void);
            ensure!(nothing, "{charge:?} though no upstream worked: {}", shown());
        } else if let Some(charge) = charge {
            ensure!(charge.state != State::Measured, "{charge:?}: {}", shown());
        }
    }
    Ok(whole)
}

pub(super) async fn prepare(bill: &Bill) -> Result<(Stage, Upstream, Arc<Payer>)> {
    let options = Options::default().turn(Turn::Alone).timer("first_byte", 300).timer("idle", 2_000);
    let mut stage = Stage::start(options.env("ADMIN_TOKEN", ADMIN_TOKEN)).await?;
    // A soak outlasts an administrator's session.
    stage.admin = Admin::with_token(stage.gateway.address(), ADMIN_TOKEN);
    let bill = bill.clone();
    let upstream = Upstream::start(move |received| meet(received, &bill)).await?;
    for fate in Fate::ALL {
        stage.account(&fate.model(), &CHAT, &upstream, &fate.model()).await?;
    }
    let payer = Payer::create(&stage, "mixed", &quota("tokens", "daily", &json!(BUDGET))).await?;
    Ok((stage, upstream, Arc::new(payer)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_requests_the_books_are_right() -> Result<()> {
    let bill = Bill::default();
    let (stage, upstream, payer) = prepare(&bill).await?;
    play(&stage, &payer, 200).await?;
    let warm = Books::read(&stage.admin, &payer.filter()).await?.charges().count();
    println!("{warm} charges while warming up");
    let oracle = Oracle::before(&stage.gateway)?;
    let bill_before = bill.count();
    let payer = Arc::new(Payer::create(&stage, "mixed-2", &quota("tokens", "daily", &json!(BUDGET))).await?);
    let count = tier(5_000, 50_000);
    let told = play(&stage, &payer, count).await?;
    let free = holds_return(&stage.gateway).await?;
    let reached: std::collections::BTreeSet<u64> =
        bill.charged()[bill_before..].iter().map(|charged| charged.tag).collect();
    let books = settled((&stage.gateway, &stage.admin), &payer, reached.len()).await?;
    books.once_each()?;
    let early = (0..count).filter(|tag| Fate::of(*tag).leaves_early()).count();
    let charges = books.charges().count();
    let fits = (reached.len()..=reached.len() + early).contains(&charges);
    ensure!(fits, "{charges} charges, {} reached an upstream, {early} left early", reached.len());
    let whole = agree(&told, &books)?;
    let grown = oracle.resources_return(&stage.gateway, upstream.open(), GROWN_KB).await?;
    let [measured, estimated, void] = books.states();
    MIXED.held(&format!(
        "{count} requests, {whole} whole; {measured} measured, {estimated} estimated, {void} void; nothing \
         held after {} ms; window = ledger; {grown} KiB grown",
        free.as_millis()
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_attempts_cost_is_what_the_upstream_invoices() -> Result<()> {
    let bill = Bill::default();
    let (stage, _upstream, payer) = prepare(&bill).await?;
    let count = tier(1_000, 20_000);
    play(&stage, &payer, count).await?;
    holds_return(&stage.gateway).await?;
    let books = settled((&stage.gateway, &stage.admin), &payer, bill.by_tag().len()).await?;
    // A caller who left before the answer was read whole is billed by estimate, whatever was stated.
    let sure = |tag: u64| !Fate::of(tag).leaves_early();
    let invoice: u64 =
        bill.charged().iter().filter(|c| sure(c.tag)).filter_map(|c| c.stated).map(|s| s.total()).sum();
    let early: Vec<String> = Fate::ALL.into_iter().filter(|f| f.leaves_early()).map(Fate::model).collect();
    let attempts = || books.attempts().filter(|row| !early.contains(&row.model));
    let measured = attempts().filter(|row| row.state == State::Measured);
    let paid: u64 = measured.map(|row| row.used.total()).sum();
    let estimated = attempts().filter(|row| row.state == State::Estimated);
    let guessed: u64 = estimated.map(|row| row.used.total()).sum();
    // What leaves late has stated its usage already: the invoice of a whole answer has none of it.
    let late = attempts().filter(|row| row.model == Fate::LeaveLate.model() && row.state == State::Measured);
    let late: u64 = late.map(|row| row.used.total()).sum();
    ensure!(paid - late == invoice, "{} paid, {invoice} invoiced", paid - late);
    RECONCILED.held(&format!(
        "{count} requests: {invoice} tokens invoiced, delta 0; {guessed} tokens of broken answers estimated"
    ))
}
