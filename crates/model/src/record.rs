//! What is kept of every request, so that its story can be told afterwards.
//!
//! Built on the request path, so its parts are small and mostly shared; written behind, in batches.

use std::sync::Arc;

use serde::Serialize;

use crate::clock::EpochMs;
use crate::code::Code;
use crate::id::{RequestId, ResourceId, TraceId};
use crate::money::NanoUsd;
use crate::usage::Usage;

/// One request, from acceptance to settlement.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// The request's id.
    pub request_id: RequestId,
    /// What the caller may search by.
    pub trace_id: TraceId,
    /// When it was accepted.
    pub at: EpochMs,
    /// The matched route: method and path pattern.
    pub route: &'static str,
    /// The endpoint kind (`openai_chat`, `anthropic_messages`, …).
    pub surface: &'static str,
    /// The key used, once known.
    pub key_id: Option<ResourceId>,
    /// The key's owner.
    pub user_id: Option<ResourceId>,
    /// The tenant.
    pub tenant_id: Arc<str>,
    /// The caller's address.
    pub client_ip: Option<std::net::IpAddr>,
    /// The model asked for; empty until the body was read.
    pub model: Arc<str>,
    /// The model name sent upstream.
    pub upstream_model: Option<Arc<str>>,
    /// The account that answered, by name.
    pub upstream: Option<Arc<str>>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The HTTP status the caller saw (499 when the caller left first).
    pub status: u16,
    /// The code of the refusal or failure, if any.
    pub code: Option<Code>,
    /// Why, for the operator.
    pub cause: Option<Box<str>>,
    /// The numbers that each check looked at.
    pub checks: Vec<Check>,
    /// Every account considered and why it was taken or skipped.
    pub candidates: Vec<Candidate>,
    /// Every call made.
    pub attempts: Vec<Attempt>,
    /// What was used, and how that is known.
    pub usage: Usage,
    /// The same as the provider wrote it, JSON: one object, or the first and the last of a stream; `None` where it
    /// stated none.
    pub stated_usage: Option<Box<str>>,
    /// What it costs the caller; `None` when the model has no price.
    pub cost: Option<NanoUsd>,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// Milliseconds from acceptance to the first byte of the answer.
    pub first_byte_ms: Option<u32>,
    /// Milliseconds from acceptance to the end.
    pub latency_ms: u32,
    /// Part of the latency that was spent here and not waiting for an upstream, in microseconds.
    pub own_us: u32,
    /// The configuration revision that decided.
    pub revision: u64,
    /// What the caller's program says of itself; `None` where it says nothing.
    pub program: Option<Box<ProgramFacts>>,
    /// How it was translated, if the account speaks another dialect than the caller.
    pub translation: Option<Box<Translation>>,
    /// Which step of checking a signature refused the request.
    pub signature: Option<Box<SignatureNote>>,
}

/// How a request was translated for the account that answered last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Translation {
    /// The account's dialect (`anthropic_messages`, `bedrock_converse`, …).
    pub dialect: &'static str,
    /// What was not carried over.
    pub losses: Vec<Lost>,
    /// Why the answer ended, in the provider's own word, where it said one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_finish_reason: Option<Box<str>>,
}

/// Something that a translation could not carry over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Where it stood, in the caller's words.
    pub path: Box<str>,
    /// Why.
    pub reason: &'static str,
    /// Whether the answer may be another one for it; if not, it concerns cost, caching or bookkeeping.
    pub matters: bool,
}

/// What a client program says of itself and of what a request is for, in headers of its own: names of ours
/// and values of its, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramFacts(pub Vec<(&'static str, Box<str>)>);

impl ProgramFacts {
    /// What is said under `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }
}

impl Serialize for ProgramFacts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// What was found while a signature was checked that was refused, so that its signer can be told which step
/// differs. Never a secret, nor anything that a secret could be found from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignatureNote {
    /// The scheme: `hmac-v1` or `rfc9421`.
    pub scheme: &'static str,
    /// The step that refused: `headers`, `key`, `frozen`, `address`, `timestamp`, `digest`, `signature`, `nonce`.
    pub step: &'static str,
    /// By how many seconds the signer's clock is ahead of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew_s: Option<i64>,
    /// SHA-256 of the body as it came, in lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_body_sha256: Option<Box<str>>,
    /// SHA-256 of the body in its canonical form, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical_body_sha256: Option<Box<str>>,
}

/// One check and the numbers it looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Which check (`key`, `ip`, `model`, `rpm`, …).
    pub name: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// The limit, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What was used of it before this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}

/// An account that was considered.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// The account's name.
    pub account: Arc<str>,
    /// Whether it was among those that could be called.
    pub eligible: bool,
    /// Why it was skipped or in which place it stood.
    pub reason: CandidateReason,
}

/// Why an account was or was not a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CandidateReason {
    /// It could be called.
    Eligible,
    /// Switched off by an administrator.
    Disabled,
    /// Blocked for a time after an answer of its own.
    Cooling,
    /// Its circuit is open.
    CircuitOpen,
    /// It is at its concurrency limit.
    AtCapacity,
    /// It speaks another dialect than the caller.
    OtherDialect,
    /// It belongs to another group.
    OtherGroup,
    /// Its weight is 0.
    Drained,
    /// What the request goes on from is kept at another account.
    KeptElsewhere,
    /// It could be called, and the request's session goes on there.
    SessionKept,
    /// It could be called; the request's session leaves it, because it fails or is slow.
    SessionLeft,
}

impl CandidateReason {
    /// Whether the account could be called.
    #[must_use]
    pub fn is_eligible(self) -> bool {
        matches!(self, Self::Eligible | Self::SessionKept | Self::SessionLeft)
    }

    /// The name in records and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eligible => "eligible",
            Self::Disabled => "disabled",
            Self::Cooling => "cooling",
            Self::CircuitOpen => "circuit_open",
            Self::AtCapacity => "at_capacity",
            Self::OtherDialect => "other_dialect",
            Self::OtherGroup => "other_group",
            Self::Drained => "drained",
            Self::KeptElsewhere => "kept_elsewhere",
            Self::SessionKept => "session_kept",
            Self::SessionLeft => "session_left",
        }
    }
}

/// One call to an upstream.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// The account's name.
    pub account: Arc<str>,
    /// The upstream's HTTP status, when one came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How it ended: `ok`, `refused`, `ambiguous`, `begun`, `caller`, `cancelled`.
    pub class: &'static str,
    /// What went wrong, for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<str>>,
    /// The upstream's own request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_request_id: Option<Box<str>>,
    /// Whether the connection had been used before.
    pub reused: bool,
    /// Milliseconds to the answer's head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u32>,
    /// Milliseconds the attempt took in all.
    pub total_ms: u32,
}
