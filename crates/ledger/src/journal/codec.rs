//! Events as bytes. Numbers are variable-length, texts have their length before them; there are no names
//! and no padding. Reading believes nothing: any bytes give an event or nothing, never a panic, and never
//! take more memory than a small multiple of their length.

use std::borrow::Cow;
use std::sync::Arc;

use model::clock::EpochMs;
use model::entry::EntryState;
use model::quota::{Amounts, Owner, OwnerKind, Period, Quota, Unit};
use model::{NanoUsd, RequestId, ResourceId, Usage, UsageSource};

use crate::event::{Adjustment, Ended, Ending, Event, Opening, WindowReset};
use crate::meter::{AttemptCharge, AttemptStart, Facts, Payer, Progress};

/// The first byte of each kind of event. A number that was once used means the same for ever.
mod kind {
    pub const OPENED: u8 = 1;
    pub const ATTEMPTED: u8 = 2;
    pub const CHECKPOINTED: u8 = 3;
    pub const ENDED: u8 = 4;
    pub const ADJUSTED: u8 = 5;
    pub const WINDOW_RESET: u8 = 6;
}

const ENDINGS: [Ending; 5] =
    [Ending::Settled, Ending::Voided, Ending::Abandoned, Ending::Expired, Ending::Orphaned];
const SOURCES: [UsageSource; 3] = [UsageSource::Measured, UsageSource::Estimated, UsageSource::None];

/// Appends an event.
pub fn write(event: &Event, to: &mut Vec<u8>) {
    let mut to = Writer(to);
    match event {
        Event::Opened { opening, attempt, at } => {
            to.byte(kind::OPENED);
            to.opening(opening);
            to.attempt(attempt);
            to.number(*at);
        }
        Event::Attempted { request, attempt, at } => {
            to.byte(kind::ATTEMPTED);
            to.bytes(&request.to_bytes());
            to.attempt(attempt);
            to.number(*at);
        }
        Event::Checkpointed { request, progress, at } => {
            to.byte(kind::CHECKPOINTED);
            to.bytes(&request.to_bytes());
            to.usage(&progress.usage);
            to.money(progress.cost);
            to.number(*at);
        }
        Event::Ended(ended) => {
            to.byte(kind::ENDED);
            to.ended(ended);
        }
        Event::Adjusted(adjusted) => {
            to.byte(kind::ADJUSTED);
            to.adjusted(adjusted);
        }
        Event::WindowReset(reset) => {
            to.byte(kind::WINDOW_RESET);
            to.window_reset(reset);
        }
    }
}

/// Reads an event that takes up all of `bytes`; `None` when they are none.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Event> {
    let mut from = Reader(bytes);
    let event = match from.byte()? {
        kind::OPENED => {
            Event::Opened { opening: from.opening()?, attempt: from.attempt()?, at: from.number()? }
        }
        kind::ATTEMPTED => {
            Event::Attempted { request: from.request()?, attempt: from.attempt()?, at: from.number()? }
        }
        kind::CHECKPOINTED => {
            let request = from.request()?;
            let progress = Progress { usage: from.usage()?, cost: from.money()? };
            Event::Checkpointed { request, progress, at: from.number()? }
        }
        kind::ENDED => Event::Ended(Box::new(from.ended()?)),
        kind::ADJUSTED => Event::Adjusted(from.adjusted()?),
        kind::WINDOW_RESET => Event::WindowReset(from.window_reset()?),
        _ => return None,
    };
    from.0.is_empty().then_some(event)
}

/// What a record about a request is, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An [`Event::Opened`].
    Opened,
    /// An [`Event::Attempted`].
    Attempted,
    /// An [`Event::Checkpointed`].
    Checkpointed,
    /// An [`Event::Ended`].
    Ended,
}

impl Step {
    /// What `event` is, and of which request; `None` when it is about none.
    #[must_use]
    pub fn of(event: &Event) -> Option<(Self, RequestId)> {
        let step = match event {
            Event::Opened { .. } => Self::Opened,
            Event::Attempted { .. } => Self::Attempted,
            Event::Checkpointed { .. } => Self::Checkpointed,
            Event::Ended(_) => Self::Ended,
            Event::Adjusted(_) | Event::WindowReset(_) => return None,
        };
        Some((step, event.request()?))
    }

    /// The same of a sound record: its kind and the request's id come first.
    #[must_use]
    pub fn of_record(bytes: &[u8]) -> Option<(Self, RequestId)> {
        let mut from = Reader(bytes);
        let step = match from.byte()? {
            kind::OPENED => Self::Opened,
            kind::ATTEMPTED => Self::Attempted,
            kind::CHECKPOINTED => Self::Checkpointed,
            kind::ENDED => Self::Ended,
            _ => return None,
        };
        Some((step, from.request()?))
    }
}

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Seven bits a byte, the lowest first; the top bit says that more follow.
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.byte(value.to_le_bytes()[0]);
    }

    /// Small numbers of either sign are short: the sign is the lowest bit.
    fn signed(&mut self, value: i64) {
        self.number(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// The place of `value` in the list of all values.
    fn one_of<T: PartialEq>(&mut self, value: &T, all: &[T]) {
        self.count(all.iter().position(|one| one == value).unwrap_or(usize::MAX));
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.byte(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn money(&mut self, amount: Option<NanoUsd>) {
        self.byte(u8::from(amount.is_some()));
        if let Some(NanoUsd(nanos)) = amount {
            self.signed(nanos);
        }
    }

    fn owner(&mut self, owner: &Owner) {
        self.one_of(&owner.kind, &OwnerKind::ALL);
        self.text(&owner.id);
    }

    fn usage(&mut self, usage: &Usage) {
        let counts = [
            usage.input,
            usage.output,
            usage.cache_read,
            usage.cache_write_5m,
            usage.cache_write_1h,
            usage.reasoning,
            usage.audio_in,
            usage.audio_out,
            usage.web_searches,
        ];
        counts.iter().for_each(|count| self.number(*count));
        // Readers of before knew the sources alone: usual usage is written as it was for them.
        let source = SOURCES.iter().position(|one| *one == usage.source).unwrap_or_default();
        self.number(source as u64 + SOURCES.len() as u64 * usage.marks());
    }

    fn amounts(&mut self, amounts: &Amounts) {
        [amounts.requests, amounts.tokens, amounts.cost.0].iter().for_each(|part| self.signed(*part));
    }

    fn attempt(&mut self, attempt: &AttemptStart) {
        self.byte(attempt.number);
        self.text(&attempt.account);
    }

    fn opening(&mut self, opening: &Opening) {
        let Facts { request, key, user, tenant, model } = &opening.facts;
        self.bytes(&request.to_bytes());
        self.optional(key.as_ref().map(ResourceId::as_str));
        self.optional(user.as_ref().map(ResourceId::as_str));
        self.text(tenant);
        self.text(model);
        self.count(opening.payers.len());
        for payer in &*opening.payers {
            self.owner(&payer.owner);
            self.byte(u8::from(payer.wallet));
            self.count(payer.quotas.len());
            for quota in &*payer.quotas {
                self.one_of(&quota.unit, &Unit::ALL);
                self.one_of(&quota.period, &Period::ALL);
                self.signed(quota.limit);
            }
        }
        self.count(opening.began.len());
        opening.began.iter().for_each(|began| self.number(*began));
        self.amounts(&opening.expected);
        self.number(opening.at);
        self.number(opening.expires);
    }

    fn ended(&mut self, ended: &Ended) {
        self.opening(&ended.opening);
        self.one_of(&ended.ending, &ENDINGS);
        self.one_of(&ended.state, &EntryState::ALL);
        self.usage(&ended.usage);
        self.money(ended.cost);
        self.amounts(&ended.charged);
        self.signed(ended.paid.0);
        self.signed(ended.overshoot.0);
        self.optional(ended.reason.as_deref());
        self.count(ended.attempts.len());
        for attempt in &ended.attempts {
            self.byte(attempt.number);
            self.text(&attempt.account);
            self.usage(&attempt.usage);
            self.money(attempt.cost);
        }
        self.number(ended.at);
    }

    fn adjusted(&mut self, adjusted: &Adjustment) {
        self.owner(&adjusted.owner);
        self.text(&adjusted.tenant);
        self.signed(adjusted.change.0);
        self.text(&adjusted.reason);
        self.text(&adjusted.actor);
        self.number(adjusted.at);
    }

    fn window_reset(&mut self, reset: &WindowReset) {
        self.owner(&reset.owner);
        self.text(&reset.tenant);
        self.one_of(&reset.unit, &Unit::ALL);
        self.one_of(&reset.period, &Period::ALL);
        self.number(reset.began);
        self.signed(reset.change);
        self.text(&reset.reason);
        self.text(&reset.actor);
        self.number(reset.at);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for place in 0..10 {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if place == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * place);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// How many of something follow. Each takes a byte at least, so no more than are left can follow, and
    /// nobody can make us set memory aside for what is not there.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.count()?;
        (0..count).map(|_| one(self)).collect()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        all.get(usize::try_from(self.number()?).ok()?).copied()
    }

    fn text(&mut self) -> Option<&'a str> {
        let count = self.count()?;
        std::str::from_utf8(self.bytes(count)?).ok()
    }

    fn optional(&mut self) -> Option<Option<&'a str>> {
        if self.flag()? { self.text().map(Some) } else { Some(None) }
    }

    fn money(&mut self) -> Option<Option<NanoUsd>> {
        if self.flag()? { self.signed().map(|nanos| Some(NanoUsd(nanos))) } else { Some(None) }
    }

    fn request(&mut self) -> Option<RequestId> {
        Some(RequestId::from_bytes(self.bytes(16)?.try_into().ok()?))
    }

    fn resource(&mut self) -> Option<Option<ResourceId>> {
        match self.optional()? {
            Some(text) => ResourceId::parse(text).map(Some),
            None => Some(None),
        }
    }

    fn owner(&mut self) -> Option<Owner> {
        Some(Owner { kind: self.one_of(&OwnerKind::ALL)?, id: self.text()?.into() })
    }

    fn usage(&mut self) -> Option<Usage> {
        let counted = Usage {
            input: self.number()?,
            output: self.number()?,
            cache_read: self.number()?,
            cache_write_5m: self.number()?,
            cache_write_1h: self.number()?,
            reasoning: self.number()?,
            audio_in: self.number()?,
            audio_out: self.number()?,
            web_searches: self.number()?,
            ..Usage::default()
        };
        let (how, known) = (self.number()?, SOURCES.len() as u64);
        let source = *SOURCES.get(usize::try_from(how % known).ok()?)?;
        Usage { source, ..counted }.marked(how / known)
    }

    fn amounts(&mut self) -> Option<Amounts> {
        Some(Amounts { requests: self.signed()?, tokens: self.signed()?, cost: NanoUsd(self.signed()?) })
    }

    fn attempt(&mut self) -> Option<AttemptStart> {
        Some(AttemptStart { number: self.byte()?, account: self.text()?.into() })
    }

    fn quota(&mut self) -> Option<Quota> {
        let (unit, period) = (self.one_of(&Unit::ALL)?, self.one_of(&Period::ALL)?);
        Some(Quota { unit, period, limit: self.signed()? })
    }

    fn payer(&mut self) -> Option<Payer> {
        let (owner, wallet) = (self.owner()?, self.flag()?);
        Some(Payer { owner, wallet, quotas: self.many(Self::quota)?.into() })
    }

    fn opening(&mut self) -> Option<Arc<Opening>> {
        let facts = Facts {
            request: self.request()?,
            key: self.resource()?,
            user: self.resource()?,
            tenant: self.text()?.into(),
            model: self.text()?.into(),
        };
        let payers = self.many(Self::payer)?.into();
        let began: Box<[EpochMs]> = self.many(Self::number)?.into();
        let expected = self.amounts()?;
        let (at, expires) = (self.number()?, self.number()?);
        Some(Arc::new(Opening { facts, payers, began, expected, at, expires }))
    }

    fn charge(&mut self) -> Option<AttemptCharge> {
        let AttemptStart { number, account } = self.attempt()?;
        Some(AttemptCharge { number, account, usage: self.usage()?, cost: self.money()? })
    }

    fn ended(&mut self) -> Option<Ended> {
        Some(Ended {
            opening: self.opening()?,
            ending: self.one_of(&ENDINGS)?,
            state: self.one_of(&EntryState::ALL)?,
            usage: self.usage()?,
            cost: self.money()?,
            charged: self.amounts()?,
            paid: NanoUsd(self.signed()?),
            overshoot: NanoUsd(self.signed()?),
            reason: self.optional()?.map(|reason| Cow::Owned(reason.to_owned())),
            attempts: self.many(Self::charge)?,
            at: self.number()?,
        })
    }

    fn adjusted(&mut self) -> Option<Adjustment> {
        Some(Adjustment {
            owner: self.owner()?,
            tenant: self.text()?.into(),
            change: NanoUsd(self.signed()?),
            reason: self.text()?.into(),
            actor: self.text()?.into(),
            at: self.number()?,
        })
    }

    fn window_reset(&mut self) -> Option<WindowReset> {
        Some(WindowReset {
            owner: self.owner()?,
            tenant: self.text()?.into(),
            unit: self.one_of(&Unit::ALL)?,
            period: self.one_of(&Period::ALL)?,
            began: self.number()?,
            change: self.signed()?,
            reason: self.text()?.into(),
            actor: self.text()?.into(),
            at: self.number()?,
        })
    }
}
