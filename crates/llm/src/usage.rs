//! Turns the usage that upstreams state into the product's disjoint counters.
//!
//! Whether a provider's prompt count contains the cached part, and its answer count the reasoning,
//! differs per provider and even per host; the conventions come from the preset, and the figures
//! themselves overrule them where they cannot be meant otherwise.

use model::{ServiceTier, Usage, UsageSource};
use serde::Deserialize;

use crate::members;

/// Largest count that is believed. No context is near it; it keeps products of counts and prices
/// within range.
const COUNT_LIMIT: u64 = 1_000_000_000_000;

/// Whether the prompt count contains the tokens read from and written to the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheConvention {
    /// It does: OpenAI and nearly everyone.
    #[default]
    InInput,
    /// It does not: Anthropic, and Grok at Azure.
    BesideInput,
}

/// Whether the answer count contains the reasoning tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningConvention {
    /// It does: OpenAI, Anthropic and nearly everyone.
    #[default]
    InOutput,
    /// It does not, the reasoning count stands beside it: xAI.
    BesideOutput,
    /// It does not, and only the total reveals it: Google's compatible endpoint.
    OnlyInTotal,
}

/// The two conventions of a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conventions {
    pub cache: CacheConvention,
    pub reasoning: ReasoningConvention,
}

/// The counts that an answer has stated so far; of a count stated several times the last holds,
/// because streams state running totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    stated: bool,
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_5m: Option<u64>,
    cache_write_1h: Option<u64>,
    reasoning: Option<u64>,
    audio_in: Option<u64>,
    audio_out: Option<u64>,
    web_searches: Option<u64>,
    /// Tokens that tools have put into the prompt, counted beside it (Gemini).
    tool_prompt: Option<u64>,
    tier: Option<ServiceTier>,
    /// Whether a count that nobody can mean was stated.
    absurd: bool,
}

/// The usage objects of an answer as its provider wrote them, for whoever must check the counters: the first and
/// the last, because streams state running totals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stated {
    first: Option<Box<str>>,
    last: Option<Box<str>>,
}

/// A longer object is nobody's usage (the longest seen has some 700 bytes), and is not kept.
const STATED_BYTES: usize = 2_048;

impl Stated {
    /// Keeps one raw usage object.
    pub(crate) fn note(&mut self, raw: &str) {
        if !raw.starts_with('{') || raw.len() > STATED_BYTES {
            return;
        }
        let place = if self.first.is_none() { &mut self.first } else { &mut self.last };
        *place = Some(raw.into());
    }

    /// The object, or the list of both; `None` where none was stated.
    pub(crate) fn json(&self) -> Option<Box<str>> {
        match (&self.first, &self.last) {
            (Some(first), Some(last)) if first != last => Some(format!("[{first},{last}]").into()),
            (first, _) => first.clone(),
        }
    }
}

impl Counts {
    /// Reads one raw usage object, of any dialect. Anything else states nothing.
    pub(crate) fn read(&mut self, raw: &str) {
        if !raw.starts_with('{') {
            return;
        }
        let read = members::each(raw, |key, value| self.read_member(key, value));
        self.stated |= read.is_ok();
    }

    /// Reads the `meta` object of a rerank answer in Cohere's shape. Searches that are billed per
    /// unit count no tokens.
    pub(crate) fn read_rerank_meta(&mut self, raw: &str) {
        let _ = members::each(raw, |key, value| {
            if matches!(key, "billed_units" | "tokens") {
                self.read(value);
            }
        });
    }

    fn read_member(&mut self, key: &str, value: &str) {
        match key {
            "prompt_tokens" | "input_tokens" | "inputTokens" => set(&mut self.absurd, &mut self.input, value),
            "completion_tokens" | "output_tokens" | "outputTokens" => {
                set(&mut self.absurd, &mut self.output, value);
            }
            "total_tokens" | "totalTokens" => set(&mut self.absurd, &mut self.total, value),
            // Prompt details of OpenAI's Chat, OpenAI's Responses, and Mistral's second spelling.
            "prompt_tokens_details" | "input_tokens_details" | "prompt_token_details" => {
                self.read_details(value, Direction::In);
            }
            "completion_tokens_details" | "output_tokens_details" => self.read_details(value, Direction::Out),
            // Anthropic; DeepSeek; Moonshot; Mistral.
            "cache_read_input_tokens" | "prompt_cache_hit_tokens" | "cached_tokens" | "num_cached_tokens" => {
                set(&mut self.absurd, &mut self.cache_read, value);
            }
            "cache_creation_input_tokens" | "cacheWriteInputTokens" => {
                set(&mut self.absurd, &mut self.cache_write, value);
            }
            "cacheReadInputTokens" => set(&mut self.absurd, &mut self.cache_read, value),
            "cacheDetails" => self.read_cache_details(value),
            "cache_creation" => self.read_cache_creation(value),
            // Gemini; `cachedContentTokenCount` is within the prompt's count.
            "promptTokenCount" => set(&mut self.absurd, &mut self.input, value),
            "candidatesTokenCount" => set(&mut self.absurd, &mut self.output, value),
            "thoughtsTokenCount" => set(&mut self.absurd, &mut self.reasoning, value),
            "cachedContentTokenCount" => set(&mut self.absurd, &mut self.cache_read, value),
            "toolUsePromptTokenCount" => set(&mut self.absurd, &mut self.tool_prompt, value),
            "totalTokenCount" => set(&mut self.absurd, &mut self.total, value),
            "promptTokensDetails" => set_modality(&mut self.absurd, &mut self.audio_in, value),
            "candidatesTokensDetails" => set_modality(&mut self.absurd, &mut self.audio_out, value),
            "reasoning_tokens" => set(&mut self.absurd, &mut self.reasoning, value),
            "server_tool_use" => self.read_server_tools(value),
            // Anthropic; Gemini; Vertex.
            "service_tier" | "serviceTier" | "trafficType" => self.read_tier(value),
            _ => {}
        }
    }

    /// Reads the raw name of the tier in which the answer was made.
    pub(crate) fn read_tier(&mut self, raw: &str) {
        self.tier = members::string(raw).and_then(|word| ServiceTier::named(&word)).or(self.tier);
    }

    fn read_details(&mut self, raw: &str, direction: Direction) {
        let _ = members::each(raw, |key, value| match (direction, key) {
            (Direction::In, "cached_tokens") => set(&mut self.absurd, &mut self.cache_read, value),
            (Direction::In, "cache_write_tokens" | "cache_creation_input_tokens") => {
                set(&mut self.absurd, &mut self.cache_write, value);
            }
            (Direction::In, "audio_tokens") => set(&mut self.absurd, &mut self.audio_in, value),
            (Direction::Out, "reasoning_tokens" | "thinking_tokens") => {
                set(&mut self.absurd, &mut self.reasoning, value);
            }
            (Direction::Out, "audio_tokens") => set(&mut self.absurd, &mut self.audio_out, value),
            _ => {}
        });
    }

    fn read_cache_creation(&mut self, raw: &str) {
        let _ = members::each(raw, |key, value| match key {
            "ephemeral_5m_input_tokens" => set(&mut self.absurd, &mut self.cache_write_5m, value),
            "ephemeral_1h_input_tokens" => set(&mut self.absurd, &mut self.cache_write_1h, value),
            _ => {}
        });
    }

    /// Bedrock's list of what was written to the cache, by lifetime.
    fn read_cache_details(&mut self, raw: &str) {
        for detail in members::elements(raw) {
            let (mut hour, mut tokens) = (false, None);
            let _ = members::each(detail, |key, value| match key {
                "ttl" => hour = value == "\"1h\"",
                "inputTokens" => set(&mut self.absurd, &mut tokens, value),
                _ => {}
            });
            let count = if hour { &mut self.cache_write_1h } else { &mut self.cache_write_5m };
            *count = tokens.map(|tokens| tokens.saturating_add(count.unwrap_or(0))).or(*count);
        }
    }

    fn read_server_tools(&mut self, raw: &str) {
        let _ = members::each(raw, |key, value| {
            if key == "web_search_requests" {
                set(&mut self.absurd, &mut self.web_searches, value);
            }
        });
    }

    /// The counters, or `None` when the answer stated no usage.
    pub(crate) fn usage(&self, conventions: Conventions) -> Option<Usage> {
        if !self.stated {
            return None;
        }
        let (cache_write_5m, cache_write_1h) = self.cache_writes();
        let prompt = self.prompt();
        let (output, reasoning) = self.answer(prompt, conventions.reasoning);
        let cache_read = self.cache_read.unwrap_or(0);
        let cache_write = cache_write_5m + cache_write_1h;
        Some(Usage {
            input: uncached(prompt, cache_read, cache_write, conventions.cache),
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
            audio_in: self.audio_in.unwrap_or(0),
            audio_out: self.audio_out.unwrap_or(0),
            web_searches: self.web_searches.unwrap_or(0),
            source: UsageSource::Measured,
            tier: self.tier,
            capped: self.absurd,
        })
    }

    /// Cache writes by lifetime; what is not broken down lives five minutes.
    fn cache_writes(&self) -> (u64, u64) {
        let (short, long) = (self.cache_write_5m.unwrap_or(0), self.cache_write_1h.unwrap_or(0));
        let undivided = self.cache_write.unwrap_or(0).saturating_sub(short + long);
        (short + undivided, long)
    }

    /// The prompt count; an embeddings or rerank answer may state only a total.
    fn prompt(&self) -> u64 {
        let from_total = || self.total.unwrap_or(0).saturating_sub(self.output.unwrap_or(0));
        self.input.unwrap_or_else(from_total) + self.tool_prompt.unwrap_or(0)
    }

    /// The answer count with reasoning in it, and the reasoning.
    fn answer(&self, prompt: u64, convention: ReasoningConvention) -> (u64, u64) {
        let (output, reasoning) = (self.output.unwrap_or(0), self.reasoning.unwrap_or(0));
        let hidden = self.total.unwrap_or(0).saturating_sub(prompt + output);
        if convention == ReasoningConvention::OnlyInTotal && hidden > reasoning {
            return (output + hidden, hidden);
        }
        let beside = match self.total {
            _ if reasoning > output => true,
            Some(_) if reasoning > 0 && hidden == reasoning => true,
            Some(total) if total == prompt + output => false,
            _ => convention != ReasoningConvention::InOutput,
        };
        (if beside { output + reasoning } else { output }, reasoning)
    }
}

#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

/// The prompt tokens outside the cache. A cached part larger than the whole can only stand beside it.
fn uncached(prompt: u64, cache_read: u64, cache_write: u64, convention: CacheConvention) -> u64 {
    if convention == CacheConvention::BesideInput || cache_read > prompt {
        return prompt;
    }
    let unread = prompt - cache_read;
    unread.checked_sub(cache_write).unwrap_or(unread)
}

/// Sets `count` to the audio tokens of Gemini's list by modality.
fn set_modality(absurd: &mut bool, count: &mut Option<u64>, raw: &str) {
    for detail in members::elements(raw) {
        let (mut audio, mut tokens) = (false, "0");
        let _ = members::each(detail, |key, value| match key {
            "modality" => audio = value == "\"AUDIO\"",
            "tokenCount" => tokens = value,
            _ => {}
        });
        if audio {
            set(absurd, count, tokens);
        }
    }
}

/// Sets `count` to the number `raw`: negative ones become 0 and those beyond the limit the limit, which is `absurd`.
/// `null` and other types state nothing.
fn set(absurd: &mut bool, count: &mut Option<u64>, raw: &str) {
    let number = raw.parse::<u64>().ok().or_else(|| {
        let number: f64 = raw.parse().ok()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        Some(number as u64)
    });
    if let Some(number) = number {
        *absurd |= number > COUNT_LIMIT || raw.starts_with('-') && raw != "-0";
        *count = Some(number.min(COUNT_LIMIT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(raw: &str, cache: CacheConvention, reasoning: ReasoningConvention) -> Option<Usage> {
        let mut counts = Counts::default();
        counts.read(raw);
        counts.usage(Conventions { cache, reasoning })
    }

    /// Checks input, cache read, cache writes (5 m, 1 h), output and reasoning.
    fn check(raw: &str, cache: CacheConvention, reasoning: ReasoningConvention, expected: [u64; 6]) {
        let u = usage(raw, cache, reasoning).expect(raw);
        let actual = [u.input, u.cache_read, u.cache_write_5m, u.cache_write_1h, u.output, u.reasoning];
        assert_eq!(actual, expected, "{raw}");
        assert_eq!(u.source, UsageSource::Measured);
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table of one entry per case")]
    fn reads_the_shapes_of_every_provider() {
        use CacheConvention::{BesideInput, InInput};
        use ReasoningConvention::{BesideOutput, InOutput, OnlyInTotal};
        for (raw, cache, reasoning, expected) in [
            // OpenAI
            (
                r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":10},"completion_tokens_details":{"reasoning_tokens":20}}"#,
                InInput,
                InOutput,
                [30, 60, 10, 0, 50, 20],
            ),
            // DeepSeek
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6}"#,
                InInput,
                InOutput,
                [6, 4, 0, 0, 5, 0],
            ),
            // Moonshot
            (
                r#"{"prompt_tokens":20,"completion_tokens":3,"cached_tokens":10}"#,
                InInput,
                InOutput,
                [10, 10, 0, 0, 3, 0],
            ),
            // Grok at Azure: the cached part cannot be within the prompt count.
            (
                r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":161}}"#,
                InInput,
                InOutput,
                [10, 161, 0, 0, 2, 0],
            ),
            // xAI, whatever the preset says
            (
                r#"{"prompt_tokens":12,"completion_tokens":1,"total_tokens":303,"prompt_tokens_details":{"cached_tokens":11},"completion_tokens_details":{"reasoning_tokens":290}}"#,
                InInput,
                InOutput,
                [1, 11, 0, 0, 291, 290],
            ),
            (
                r#"{"prompt_tokens":12,"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":5}}"#,
                InInput,
                BesideOutput,
                [12, 0, 0, 0, 14, 5],
            ),
            (
                r#"{"prompt_tokens":12,"completion_tokens":9,"total_tokens":21,"completion_tokens_details":{"reasoning_tokens":5}}"#,
                InInput,
                BesideOutput,
                [12, 0, 0, 0, 9, 5],
            ),
            // Google's compatible endpoint
            (
                r#"{"prompt_tokens":35,"completion_tokens":12,"total_tokens":109}"#,
                InInput,
                OnlyInTotal,
                [35, 0, 0, 0, 74, 62],
            ),
            // Anthropic
            (
                r#"{"input_tokens":7,"cache_read_input_tokens":100,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":9,"output_tokens_details":{"thinking_tokens":4}}"#,
                BesideInput,
                InOutput,
                [7, 100, 10, 20, 9, 4],
            ),
            (
                r#"{"input_tokens":7,"cache_creation_input_tokens":30,"output_tokens":9}"#,
                BesideInput,
                InOutput,
                [7, 0, 30, 0, 9, 0],
            ),
            // Bedrock
            (
                r#"{"inputTokens":7,"outputTokens":9,"totalTokens":146,"cacheReadInputTokens":100,"cacheReadInputTokenCount":100,"cacheWriteInputTokens":30,"cacheDetails":[{"ttl":"5m","inputTokens":10},{"ttl":"1h","inputTokens":20}]}"#,
                BesideInput,
                InOutput,
                [7, 100, 10, 20, 9, 0],
            ),
            // Gemini: thoughts beside the answer, the cache within the prompt, tools' tokens beside it
            (
                r#"{"promptTokenCount":100,"cachedContentTokenCount":60,"toolUsePromptTokenCount":7,"candidatesTokenCount":20,"thoughtsTokenCount":30,"totalTokenCount":157,"promptTokensDetails":[{"modality":"TEXT","tokenCount":100}]}"#,
                InInput,
                BesideOutput,
                [47, 60, 0, 0, 50, 30],
            ),
            (r#"{"promptTokenCount":9,"thoughtsTokenCount":5}"#, InInput, BesideOutput, [9, 0, 0, 0, 5, 5]),
            // embeddings; Jina's rerank
            (r#"{"prompt_tokens":8,"total_tokens":8}"#, InInput, InOutput, [8, 0, 0, 0, 0, 0]),
            (r#"{"total_tokens":815}"#, InInput, InOutput, [815, 0, 0, 0, 0, 0]),
        ] {
            check(raw, cache, reasoning, expected);
        }
    }

    #[test]
    fn figures_are_never_negative_nor_absurd_and_zero_stays_zero() {
        let plain = |raw| usage(raw, CacheConvention::InInput, ReasoningConvention::InOutput);
        let zero = plain(r#"{"prompt_tokens":0,"completion_tokens":0}"#).unwrap();
        assert_eq!((zero.total(), zero.source, zero.capped), (0, UsageSource::Measured, false));
        let odd = plain(r#"{"prompt_tokens":-5,"completion_tokens":1e300,"total_tokens":3.0}"#).unwrap();
        assert_eq!((odd.input, odd.output, odd.capped), (0, COUNT_LIMIT, true));
        assert!(plain(r#"{"prompt_tokens":-5,"completion_tokens":1}"#).unwrap().capped);
        let huge = plain(r#"{"prompt_tokens":18446744073709551615,"completion_tokens":null}"#).unwrap();
        assert_eq!((huge.input, huge.output, huge.capped), (COUNT_LIMIT, 0, true));
        for nothing in ["null", "[]", "7", "\"x\""] {
            assert_eq!(plain(nothing), None);
        }
    }

    #[test]
    fn the_last_statement_of_each_count_holds() {
        let mut counts = Counts::default();
        counts.read(r#"{"input_tokens":9,"cache_read_input_tokens":4,"output_tokens":1}"#);
        counts.read(r#"{"output_tokens":70,"server_tool_use":{"web_search_requests":2}}"#);
        let conventions = Conventions { cache: CacheConvention::BesideInput, ..Conventions::default() };
        let usage = counts.usage(conventions).unwrap();
        assert_eq!((usage.input, usage.cache_read, usage.output, usage.web_searches), (9, 4, 70, 2));
    }

    #[test]
    fn the_tier_is_read_where_it_stands_with_the_usage() {
        let plain = |raw| usage(raw, CacheConvention::InInput, ReasoningConvention::InOutput).unwrap().tier;
        for (raw, tier) in [
            (r#"{"input_tokens":1,"service_tier":"priority"}"#, Some(ServiceTier::Priority)),
            (r#"{"promptTokenCount":1,"serviceTier":"flex"}"#, Some(ServiceTier::Flex)),
            (r#"{"promptTokenCount":1,"trafficType":"ON_DEMAND_PRIORITY"}"#, Some(ServiceTier::Priority)),
            (r#"{"promptTokenCount":1,"trafficType":"PROVISIONED_THROUGHPUT"}"#, None),
            (r#"{"input_tokens":1,"service_tier":null}"#, None),
        ] {
            assert_eq!(plain(raw), tier, "{raw}");
        }
    }

    #[test]
    fn rerank_units_are_read_where_they_are_tokens() {
        let mut counts = Counts::default();
        counts.read_rerank_meta(r#"{"api_version":{"version":"2"},"billed_units":{"search_units":1}}"#);
        assert_eq!(counts.usage(Conventions::default()).map(|u| u.total()), Some(0));
        counts.read_rerank_meta(r#"{"billed_units":{"input_tokens":12}}"#);
        assert_eq!(counts.usage(Conventions::default()).map(|u| u.input), Some(12));
    }

    #[test]
    fn the_first_and_the_last_usage_are_kept_as_they_were_written() {
        let mut stated = Stated::default();
        assert_eq!(stated.json(), None);
        stated.note("null");
        stated.note(r#"{"input_tokens": 9}"#);
        assert_eq!(stated.json().as_deref(), Some(r#"{"input_tokens": 9}"#));
        stated.note(r#"{"output_tokens":1}"#);
        stated.note(r#"{"output_tokens":2}"#);
        stated.note(&format!(r#"{{"long":"{}"}}"#, "x".repeat(STATED_BYTES)));
        assert_eq!(stated.json().as_deref(), Some(r#"[{"input_tokens": 9},{"output_tokens":2}]"#));
    }
}
