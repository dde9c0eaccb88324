//! One simulated gateway: its book, its journal and database, its callers, and the model of all that.

use fastrand::Rng;
use ledger::book::{Book, Restoration};
use ledger::meter::{AttemptStart, Progress};
use ledger::{Event, event::Ended};
use model::RequestId;
use model::quota::Amounts;

use crate::calendar::{DAY, NEW_YEAR};
use crate::database::Database;
use crate::model::{Model, Share};
use crate::payers::Payers;

/// Requests open at one time; at the most, one has to end before the next.
const MOST_OPEN: usize = 48;
/// Ended requests that are remembered to be ended again.
const REMEMBERED: usize = 64;

/// A bug that the simulation has to catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    Nothing,
    ForgetsToRelease,
    ChargesDuplicatesTwice,
    GrantsAtRollover,
    LosesAnEndInACrash,
    ForgetsACharge,
}

impl Planted {
    pub const BUGS: [Self; 5] = [
        Self::ForgetsToRelease,
        Self::ChargesDuplicatesTwice,
        Self::GrantsAtRollover,
        Self::LosesAnEndInACrash,
        Self::ForgetsACharge,
    ];
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub operations: u64,
    pub opened: u64,
    pub refused: u64,
    pub settled: u64,
    pub voided: u64,
    pub estimated: u64,
    pub late: u64,
    pub crashes: u64,
    pub power_cuts: u64,
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, other| Self {
            operations: sum.operations + other.operations,
            opened: sum.opened + other.opened,
            refused: sum.refused + other.refused,
            settled: sum.settled + other.settled,
            voided: sum.voided + other.voided,
            estimated: sum.estimated + other.estimated,
            late: sum.late + other.late,
            crashes: sum.crashes + other.crashes,
            power_cuts: sum.power_cuts + other.power_cuts,
        })
    }
}

/// A request that has not ended.
#[derive(Clone, Debug)]
pub struct Running {
    pub request: RequestId,
    pub number: usize,
    pub opening: std::sync::Arc<ledger::event::Opening>,
    pub share: Share,
    pub held: Amounts,
    pub attempts: u8,
    pub progress: Option<Progress>,
}

/// How far a request has come, as the journal knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Unknown,
    Begun,
    Ended,
    Charged,
}

pub struct World {
    pub seed: u64,
    pub rng: Rng,
    pub planted: Planted,
    /// What time it really is, and how far the clock is off.
    pub time: u64,
    pub skew: i64,
    pub book: Book,
    pub database: Database,
    pub model: Model,
    pub payers: Payers,
    pub running: Vec<Running>,
    pub ended: Vec<Ended>,
    pub stages: Vec<Stage>,
    pub tally: Tally,
}

pub type Checked = Result<(), String>;

/// What must be so; else the step fails with these words.
#[macro_export]
macro_rules! must {
    ($is_so:expr, $($words:tt)+) => {
        if !$is_so {
            return Err(format!($($words)+));
        }
    };
}

impl World {
    pub fn new(seed: u64, planted: Planted) -> Self {
        let mut rng = Rng::with_seed(seed);
        let payers = Payers::new(&mut rng);
        Self {
            seed,
            rng,
            planted,
            time: NEW_YEAR,
            skew: 0,
            book: Book::new(),
            database: Database::default(),
            model: Model::new(),
            payers,
            running: Vec::new(),
            ended: Vec::new(),
            stages: Vec::new(),
            tally: Tally::default(),
        }
    }

    pub fn run(mut self, operations: u64) -> Result<Tally, String> {
        let seed = self.seed;
        let failed = |at: u64, why: String| format!("seed {seed}, operation {at}: {why}");
        for at in 0..operations {
            self.step().map_err(|why| failed(at, why))?;
            if at % 1_024 == 0 {
                self.check_everything().map_err(|why| failed(at, why))?;
            }
        }
        self.finish().map_err(|why| failed(operations, why))?;
        self.tally.operations = operations;
        Ok(self.tally)
    }

    /// What the clock shows.
    pub fn now(&self) -> u64 {
        self.time.saturating_add_signed(self.skew)
    }

    fn step(&mut self) -> Checked {
        self.time += self.rng.u64(0..200_000);
        match self.rng.u16(0..1_000) {
            0..300 if self.running.len() < MOST_OPEN => self.open(),
            300..520 => self.begin(),
            520..620 => self.extend(),
            620..670 => self.checkpoint(),
            670..850 => self.settle(),
            850..890 => self.void(),
            890..905 => self.abandon(),
            905..945 => self.repeat(),
            945..965 => self.adjust(),
            965..968 => self.reset(),
            968..975 => self.jump(),
            975..992 => self.project(),
            992..995 => self.crash(),
            _ => Ok(()),
        }
    }

    /// The clock goes wrong, or right again; midnight comes now and then to the millisecond.
    fn jump(&mut self) -> Checked {
        let hour = DAY.cast_signed() / 24;
        self.skew = match self.rng.u8(0..12) {
            0 => -hour,
            1 => hour,
            2 => -365 * DAY.cast_signed(),
            3 => DAY.cast_signed() / 2,
            _ => 0,
        };
        if self.rng.u8(0..3) == 0 {
            self.time = self.time / DAY * DAY + DAY - 1;
        }
        Ok(())
    }

    fn project(&mut self) -> Checked {
        let count = self.rng.usize(0..=self.database.tail.len());
        self.project_first(count)
    }

    pub fn project_first(&mut self, count: usize) -> Checked {
        for request in self.database.project(count) {
            let stage = &mut self.stages[number_of(request)];
            must!(*stage == Stage::Ended, "{request} has a charge at {stage:?}");
            *stage = Stage::Charged;
        }
        Ok(())
    }

    /// Keeps an event; what administrators do is safe from power cuts at once.
    pub fn keep(&mut self, event: Event) -> Checked {
        let is_administration = event.request().is_none();
        if let Some(request) = event.request() {
            let stage = &mut self.stages[number_of(request)];
            match &event {
                Event::Ended(_) => {
                    must!(*stage != Stage::Ended && *stage != Stage::Charged, "{request} ends twice");
                    *stage = Stage::Ended;
                }
                Event::Opened { .. } => *stage = Stage::Begun,
                _ => must!(*stage == Stage::Begun, "{request} goes on at {stage:?}"),
            }
        }
        self.database.tail.push(event);
        if is_administration || self.rng.u8(0..8) == 0 {
            self.database.synced = self.database.tail.len();
        }
        Ok(())
    }

    pub fn remember(&mut self, ended: Ended) {
        if self.ended.len() < REMEMBERED {
            self.ended.push(ended);
        } else {
            let at = self.rng.usize(0..REMEMBERED);
            self.ended[at] = ended;
        }
    }

    /// The process ends at once, sometimes with the machine; then another one starts.
    fn crash(&mut self) -> Checked {
        self.tally.crashes += 1;
        if self.rng.bool() {
            self.tally.power_cuts += 1;
            let survive = self.rng.usize(self.database.synced..=self.database.tail.len());
            let lost = self.database.tail.split_off(survive);
            lost.iter().rev().for_each(|event| self.undo(event));
        }
        self.database.synced = self.database.tail.len();
        self.restore();
        self.model_forgets_holds();
        self.end_orphans()?;
        must!(self.book.open().next().is_none(), "something is open after a start");
        self.check_everything()
    }

    fn restore(&mut self) {
        let mut restoration = Restoration::new(&self.database.balances(), &self.database.windows());
        for event in self.database.unended() {
            restoration.recall(event, true);
        }
        let mut tail: Vec<&Event> = self.database.tail.iter().collect();
        if self.planted == Planted::LosesAnEndInACrash {
            let end = tail.iter().position(|event| matches!(event, Event::Ended(_)));
            end.map(|at| tail.remove(at));
        }
        // Shards are read one after the other, and a segment may have been written twice.
        if self.rng.bool() {
            self.rng.shuffle(&mut tail);
        }
        for event in tail {
            restoration.recall(event, false);
            if matches!(event, Event::Ended(_)) && self.rng.u8(0..16) == 0 {
                restoration.recall(event, false);
            }
        }
        let mut book = restoration.finish();
        std::mem::swap(&mut self.book, &mut book);
    }

    /// Everybody ends; then every request that began has exactly one charge, and nothing is held.
    fn finish(&mut self) -> Checked {
        while !self.running.is_empty() {
            self.settle()?;
            self.void()?;
        }
        self.check_everything()?;
        self.project_first(self.database.tail.len())?;
        for (number, stage) in self.stages.iter().enumerate() {
            must!(*stage != Stage::Begun && *stage != Stage::Ended, "request {number} is left at {stage:?}");
        }
        for (owner, account) in self.book.accounts() {
            must!(account.wallet().held == 0, "{owner}'s wallet holds {:?}", account.wallet());
            must!(account.cells().iter().all(|cell| cell.held == 0), "{owner} holds {:?}", account.cells());
        }
        Ok(())
    }
}

pub fn attempt(number: u8) -> AttemptStart {
    AttemptStart { number, account: if number.is_multiple_of(2) { "x" } else { "y" }.into() }
}

/// Requests are numbered; the number is their only chance.
pub fn request(number: usize) -> RequestId {
    let mut chance = [0; 10];
    chance[4..].copy_from_slice(&(number as u64).to_be_bytes()[2..]);
    RequestId::mint(1, chance)
}

pub fn number_of(request: RequestId) -> usize {
    let text = request.to_string();
    usize::from_str_radix(&text[text.len() - 12..], 16).expect("a number")
}
