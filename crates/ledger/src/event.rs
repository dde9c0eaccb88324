//! What happened to money: the facts that the journal keeps, and nothing that it does not need.
//!
//! Events are plain values with their time as a field. Those that change what is used or owned carry the
//! change itself, never a state: they may be applied in any order, so that the journal's shards need no
//! order among each other. A request's [`Event::Opened`] must stay readable until its [`Event::Ended`] is
//! projected: a start without an end is settled as an estimate.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use model::clock::EpochMs;
use model::entry::EntryState;
use model::quota::{Amounts, Owner, Period, Quota, Unit};
use model::{Code, NanoUsd, Rejection, RequestId, Usage};

use crate::meter::{AttemptCharge, AttemptStart, Facts, Payer, Progress};

/// What is held for a request: who pays, out of which windows, and how much was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Whose request.
    pub facts: Facts,
    /// Who pays; empty when nobody does.
    pub payers: Arc<[Payer]>,
    /// When the windows began that pay: one for each quota of each payer, in their order. A request is
    /// charged to the windows in which it was opened, even if it ends after theirs.
    pub began: Box<[EpochMs]>,
    /// What it was expected to use.
    pub expected: Amounts,
    /// When it was opened.
    pub at: EpochMs,
    /// When it is settled as an estimate if nobody has ended it.
    pub expires: EpochMs,
}

impl Opening {
    /// The windows that pay: the payer's place, the quota, and when its window began.
    pub fn windows(&self) -> impl Iterator<Item = (usize, Quota, EpochMs)> {
        let quotas = self.payers.iter().enumerate();
        let quotas = quotas.flat_map(|(place, payer)| payer.quotas.iter().map(move |quota| (place, *quota)));
        quotas.zip(self.began.iter()).map(|((place, quota), began)| (place, quota, *began))
    }

    /// The place of the payer whose wallet pays: the first one that has one.
    #[must_use]
    pub fn wallet(&self) -> Option<usize> {
        self.payers.iter().position(|payer| payer.wallet)
    }
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request is about to reach an upstream for the first time. Its windows and wallet hold what it is
    /// expected to use.
    Opened {
        /// What is held.
        opening: Arc<Opening>,
        /// The first attempt.
        attempt: AttemptStart,
        /// When.
        at: EpochMs,
    },
    /// A request is about to reach another upstream.
    Attempted {
        /// Which request.
        request: RequestId,
        /// The further attempt.
        attempt: AttemptStart,
        /// When.
        at: EpochMs,
    },
    /// How much of an answer was relayed so far: what a request is charged that nobody ends.
    Checkpointed {
        /// Which request.
        request: RequestId,
        /// What it has used so far.
        progress: Progress,
        /// When.
        at: EpochMs,
    },
    /// A request has ended, for good: its one terminal fact. It can be understood without its start.
    Ended(Box<Ended>),
    /// An administrator put money into a wallet, or took some out.
    Adjusted(Adjustment),
    /// An administrator declared a window unused.
    WindowReset(WindowReset),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was settled.
    Settled,
    /// No upstream worked for it.
    Voided,
    /// Its hold was dropped: charged as estimated.
    Abandoned,
    /// Its hold expired: charged as estimated.
    Expired,
    /// The process ended first: charged as estimated at the next start.
    Orphaned,
}

impl Ending {
    /// Why there are figures other than the upstream's, as the entry says it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Voided => "no upstream worked",
            Self::Abandoned => "abandoned: nobody settled the request",
            Self::Expired => "expired: nobody settled the request in time",
            Self::Orphaned => "the process ended before the request did",
        }
    }
}

/// The end of a request, and all that changes by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What was held, and for whom.
    pub opening: Arc<Opening>,
    /// How it ended.
    pub ending: Ending,
    /// How the figures are known.
    pub state: EntryState,
    /// What was used.
    pub usage: Usage,
    /// What its payers owe; `None` when the model has no price.
    pub cost: Option<NanoUsd>,
    /// What is added to the windows named by `opening`.
    pub charged: Amounts,
    /// What is taken out of the wallet; never more than it holds.
    pub paid: NanoUsd,
    /// How much of `cost` nobody had covered: what the wallet lacked, or, without a wallet, by how much a
    /// quota was exceeded.
    pub overshoot: NanoUsd,
    /// Why, unless it was settled.
    pub reason: Option<Cow<'static, str>>,
    /// What each attempt cost us, in their order.
    pub attempts: Vec<AttemptCharge>,
    /// When.
    pub at: EpochMs,
}

/// Money put into a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// Whose wallet.
    pub owner: Owner,
    /// In which tenant the entry is listed.
    pub tenant: Arc<str>,
    /// What is added; negative when it is taken out.
    pub change: NanoUsd,
    /// Why.
    pub reason: Box<str>,
    /// Who did it.
    pub actor: Box<str>,
    /// When.
    pub at: EpochMs,
}

/// A window declared unused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowReset {
    /// Whose.
    pub owner: Owner,
    /// In which tenant the entry is listed.
    pub tenant: Arc<str>,
    /// Of what.
    pub unit: Unit,
    /// For how long.
    pub period: Period,
    /// When it began.
    pub began: EpochMs,
    /// What is added to what is used of it; not positive.
    pub change: i64,
    /// Why.
    pub reason: Box<str>,
    /// Who did it.
    pub actor: Box<str>,
    /// When.
    pub at: EpochMs,
}

impl Event {
    /// The request that it is about.
    #[must_use]
    pub fn request(&self) -> Option<RequestId> {
        match self {
            Self::Opened { opening, .. } => Some(opening.facts.request),
            Self::Attempted { request, .. } | Self::Checkpointed { request, .. } => Some(*request),
            Self::Ended(ended) => Some(ended.opening.facts.request),
            Self::Adjusted(_) | Self::WindowReset(_) => None,
        }
    }

    /// Whether it belongs to a request that already runs, and so may use the space kept in reserve.
    #[must_use]
    pub fn may_use_reserve(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Checkpointed { .. })
    }
}

/// Where events are kept.
pub trait JournalWriter: Send + Sync {
    /// Appends an event. `need` says what the answer has to promise.
    ///
    /// # Errors
    /// A fault when the event is not in the journal and will never be read from it.
    fn append(&self, event: &Event, need: Need) -> Result<Written, JournalFault>;

    /// Why events cannot be kept at present, in words; `None` when all is well.
    fn fault(&self) -> Option<String>;
}

/// What [`JournalWriter::append`] has to promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// What the gateway's durability asks for: to survive the process, or a power cut.
    Usual,
    /// To survive a power cut, whatever the gateway's durability.
    Power,
}

/// Why an event could not be kept, in words for operators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal cannot be written: {0}")]
pub struct JournalFault(pub Arc<str>);

impl From<JournalFault> for Rejection {
    fn from(fault: JournalFault) -> Self {
        Self::new(Code::ServiceDegraded).caused_by(fault)
    }
}

type Durable = Pin<Box<dyn Future<Output = Result<(), JournalFault>> + Send>>;

/// A record on its way into the journal: as durable as was asked for once [`Written::wait`] says so.
#[must_use = "the record may not be durable yet"]
pub struct Written(Option<Durable>);

impl Written {
    /// A record that is as durable as was asked for.
    pub fn done() -> Self {
        Self(None)
    }

    /// A record that is durable when `durable` has resolved.
    pub fn after(durable: impl Future<Output = Result<(), JournalFault>> + Send + 'static) -> Self {
        Self(Some(Box::pin(durable)))
    }

    /// Whether there is nothing to wait for.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.is_none()
    }

    /// Waits until the record is durable.
    ///
    /// # Errors
    /// `SERVICE_DEGRADED` when it will never be.
    pub async fn wait(self) -> Result<(), Rejection> {
        Ok(self.durable().await?)
    }

    /// Waits until the record is durable.
    ///
    /// # Errors
    /// The fault when it will never be; whether it can be read back is not known then.
    pub async fn durable(self) -> Result<(), JournalFault> {
        match self.0 {
            Some(durable) => durable.await,
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Written({})", if self.is_done() { "done" } else { "on its way" })
    }
}
