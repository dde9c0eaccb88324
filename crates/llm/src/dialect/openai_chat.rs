//! Streams of Chat Completions and Completions, with the deviations of compatible providers
//! (dialects reference §1.7).

use super::said::{DELTA, ERROR, FINISH_REASON, TEXT, USAGE, may_say_usage_or_error, text_bytes};
use super::{Findings, Verdict};
use crate::failure::UpstreamFailure;
use crate::members;

/// Choices beyond this number are not followed one by one; providers allow at most 128.
const CHOICE_LIMIT: usize = 128;

/// Members of a delta, or of a choice of Completions, that are something generated.
const GENERATED: [&str; 11] = [
    "content",
    "text",
    "tool_calls",
    "function_call",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "refusal",
    "audio",
    "images",
    "annotations",
];

/// Reads chunk after chunk.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    ends_without_done: bool,
    choices: usize,
    done: bool,
    seen: Vec<u64>,
    finished: Vec<u64>,
}

/// One chunk, as raw values.
#[derive(Default)]
struct Chunk<'a> {
    choices: Option<&'a str>,
    usage: Option<&'a str>,
    failure: Option<UpstreamFailure>,
}

impl Reader {
    pub(super) fn new(ends_without_done: bool, choices: u32) -> Self {
        Self {
            ends_without_done,
            choices: usize::try_from(choices).map_or(CHOICE_LIMIT, |n| n.min(CHOICE_LIMIT)),
            done: false,
            seen: Vec::new(),
            finished: Vec::new(),
        }
    }

    pub(super) fn event(&mut self, name: &[u8], data: &[u8], findings: &mut Findings) -> Verdict {
        if self.done || data.is_empty() {
            return Verdict::Pass;
        }
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            findings.terminal = true;
            return Verdict::Pass;
        }
        findings.content.add(self.generated_bytes(data));
        if findings.content_begun && !self.needs_parsing(name, data) {
            return Verdict::Pass;
        }
        match std::str::from_utf8(data) {
            Ok(text) => self.chunk(name, text, findings),
            Err(_) => Verdict::Pass,
        }
    }

    /// Bytes generated in a chunk: of the deltas, or of the texts where it has none (Completions).
    fn generated_bytes(&self, data: &[u8]) -> u64 {
        let mut deltas = DELTA.values(data);
        let Some(first) = deltas.next().map(text_bytes) else {
            return TEXT.values(data).map(text_bytes).sum();
        };
        if self.choices <= 1 {
            return first;
        }
        first + deltas.map(text_bytes).sum::<u64>()
    }

    fn needs_parsing(&self, name: &[u8], data: &[u8]) -> bool {
        name == b"error"
            || may_say_usage_or_error(data) && (USAGE.is_said(data) || ERROR.is_said(data))
            || self.ends_without_done && FINISH_REASON.is_said(data)
    }

    fn chunk(&mut self, name: &[u8], text: &str, findings: &mut Findings) -> Verdict {
        let Some(chunk) = Chunk::read(name, text, findings) else {
            return Verdict::Pass;
        };
        let choices = chunk.choices.map(members::elements).unwrap_or_default();
        let failed = chunk.failure.is_some();
        for (place, choice) in choices.iter().enumerate() {
            let generated = self.choice(place, choice, findings);
            findings.content_begun |= generated && !failed;
        }
        findings.failure = findings.failure.take().or(chunk.failure);
        findings.terminal |= self.ends_without_done && self.all_finished();
        let nothing_else = chunk.choices.is_some_and(members::is_empty_array);
        match chunk.usage {
            Some(usage) if nothing_else && usage.starts_with('{') => Verdict::UsageOnly,
            _ => Verdict::Pass,
        }
    }

    /// Reads one choice; says whether it has anything generated or a reason to finish.
    fn choice(&mut self, place: usize, raw: &str, findings: &mut Findings) -> bool {
        let (mut index, mut finished, mut generated) = (place, false, false);
        let _ = members::each(raw, |key, value| match key {
            "index" => index = value.parse().unwrap_or(place),
            "finish_reason" if value == NETWORK_ERROR => {
                findings.failure.get_or_insert_with(broken_off);
            }
            "finish_reason" => finished = members::is_said(value),
            "delta" => generated |= is_generated(value),
            // Moonshot.
            "usage" => findings.read_usage(value),
            _ => generated |= GENERATED.contains(&key) && members::is_said(value),
        });
        mark(&mut self.seen, index);
        if finished {
            mark(&mut self.finished, index);
        }
        generated || finished
    }

    /// Whether as many choices as were asked for have been seen, and every one seen is finished.
    fn all_finished(&self) -> bool {
        let seen: u32 = self.seen.iter().map(|bits| bits.count_ones()).sum();
        usize::try_from(seen).is_ok_and(|seen| seen >= self.choices.max(1)) && self.seen == self.finished
    }
}

impl<'a> Chunk<'a> {
    /// Reads the members of a chunk, usage into `findings`; `None` when it is not an object.
    fn read(name: &[u8], text: &'a str, findings: &mut Findings) -> Option<Self> {
        let mut chunk = Self::default();
        let read = members::each(text, |key, value| match key {
            "choices" => chunk.choices = Some(value),
            "usage" => {
                findings.read_usage(value);
                chunk.usage = Some(value);
            }
            "service_tier" => findings.counts.read_tier(value),
            "error" if members::is_said(value) => chunk.failure = Some(UpstreamFailure::of_error(value)),
            "x_groq" => read_groq(value, findings, &mut chunk.failure),
            "base_resp" => chunk.failure = chunk.failure.take().or(failed_base_response(value)),
            // vLLM.
            "object" if value == "\"error\"" => chunk.failure = Some(UpstreamFailure::of_error(text)),
            _ => {}
        });
        if name == b"error" && chunk.failure.is_none() {
            chunk.failure = Some(UpstreamFailure::of_error(text));
        }
        (read.is_ok() || chunk.failure.is_some()).then_some(chunk)
    }
}

/// Groq's own member: usage in the last chunk, an error in place of it.
fn read_groq(raw: &str, findings: &mut Findings, failure: &mut Option<UpstreamFailure>) {
    let _ = members::each(raw, |key, value| match key {
        "usage" => findings.read_usage(value),
        "error" if members::is_said(value) => *failure = Some(UpstreamFailure::of_error(value)),
        _ => {}
    });
}

/// Zhipu's reason to finish where its own machines have failed: the answer is not whole.
const NETWORK_ERROR: &str = "\"network_error\"";

/// The failure that `NETWORK_ERROR` stands for.
pub(crate) fn broken_off() -> UpstreamFailure {
    UpstreamFailure {
        status: Some(502),
        code: Some("network_error".to_owned()),
        message: "The provider broke the answer off.".to_owned(),
        ..UpstreamFailure::default()
    }
}

/// MiniMax reports failures with HTTP 200: `base_resp.status_code` other than 0.
pub(crate) fn failed_base_response(raw: &str) -> Option<UpstreamFailure> {
    let mut status = 0;
    let _ = members::each(raw, |key, value| {
        if key == "status_code" {
            status = value.parse().unwrap_or(0);
        }
    });
    let status: i64 = status;
    (status != 0).then(|| UpstreamFailure::of_error(raw))
}

fn is_generated(delta: &str) -> bool {
    let mut generated = false;
    let _ = members::each(delta, |key, value| {
        generated |= GENERATED.contains(&key) && members::is_said(value);
    });
    generated
}

fn mark(bits: &mut Vec<u64>, index: usize) {
    let index = index.min(CHOICE_LIMIT - 1);
    let word = index / 64;
    if bits.len() <= word {
        bits.resize(word + 1, 0);
    }
    bits[word] |= 1 << (index % 64);
}
