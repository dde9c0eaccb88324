//! What is known about each provider: dialects, address, authentication, deviations, models.
//!
//! Data, read once from `providers.toml`; how an address is put together is in [`endpoint()`].

mod endpoint;

use std::sync::LazyLock;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

pub use endpoint::{credential_check, endpoint};

use crate::neutral::Dialect;
use crate::surface::{Family, Surface};
use crate::usage::{CacheConvention, Conventions, ReasoningConvention};

/// The version that Anthropic's API wants named in `anthropic-version`, for callers that name none
/// (the only one since 2023, docs.anthropic.com "Versions").
pub const ANTHROPIC_VERSION: &str = "2023-06-01";

/// A provider as accounts refer to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The id in an account's `provider`.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// The dialects it speaks; the first is the one that an account's own base URL is for.
    pub families: Vec<Family>,
    /// Its base URL; `None` when every account has its own.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Its base URL for Anthropic's dialect, where it speaks that besides OpenAI's.
    #[serde(default)]
    pub anthropic_base_url: Option<String>,
    /// Its base URL for OpenAI's dialect, where that is not its first one.
    #[serde(default)]
    pub openai_base_url: Option<String>,
    /// Its base URL for Gemini's dialect, where that is not its first one.
    #[serde(default)]
    pub gemini_base_url: Option<String>,
    /// Whether it has OpenAI's Responses besides Chat Completions.
    #[serde(default)]
    pub responses: bool,
    /// How the credential is sent.
    pub auth: AuthStyle,
    /// Whether an account must have a credential.
    #[serde(default = "yes")]
    pub credential_required: bool,
    /// What it offers where an account lists nothing.
    #[serde(default)]
    pub models: Vec<String>,
    /// Where it deviates from its dialect.
    #[serde(default)]
    pub quirks: Quirks,
    /// Why no account of it can be used yet, for the administrator; `None` when it can.
    #[serde(default)]
    pub unavailable: Option<String>,
}

fn yes() -> bool {
    true
}

/// How a credential is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthStyle {
    /// `Authorization: Bearer …`.
    Bearer,
    /// `x-api-key: …`, Anthropic.
    XApiKey,
    /// `api-key: …`, Azure.
    ApiKey,
    /// `x-goog-api-key: …`, Google; a bearer key for its OpenAI-compatible endpoint.
    XGoogApiKey,
    /// Not at all.
    None,
}

/// Where a provider deviates from what its dialect's inventor does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// It understands `stream_options.include_usage`, and states usage in a stream only when asked.
    pub takes_include_usage: bool,
    /// Its streams may end without `[DONE]`; finished choices make them whole.
    pub ends_without_done: bool,
    /// Whether its prompt count contains the cached part.
    pub cache_in_input: CacheConvention,
    /// Whether its answer count contains the reasoning.
    pub reasoning_in_output: ReasoningConvention,
    /// How it is asked to think.
    pub thinking: ThinkingStyle,
    /// Whether and how it takes its thoughts back.
    pub reasoning_replay: ReasoningReplay,
    /// It takes Anthropic's marks for the prompt cache on the parts of Chat.
    pub takes_cache_marks: bool,
    /// Its thoughts stand in the text, between `<think>` and `</think>`, unless `reasoning_split` asks for
    /// them apart.
    pub thinks_in_text: bool,
    /// It refuses to be told that some tool must be called.
    pub requires_no_tool: bool,
    /// Its temperatures end at 1, and where it is asked for several answers they begin at 0.3.
    pub narrow_temperature: bool,
}

/// How a provider of OpenAI's dialect is asked to think.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThinkingStyle {
    /// `reasoning_effort`: OpenAI and most.
    #[default]
    Effort,
    /// `thinking: {type}`: DeepSeek, Moonshot, Zhipu, Volcengine.
    Thinking,
    /// `enable_thinking` and `thinking_budget`: Qwen.
    EnableThinking,
    /// `reasoning: {effort, max_tokens}`: OpenRouter.
    Object,
    /// Not at all.
    None,
}

/// Whether and how a provider of OpenAI's dialect takes its thoughts back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningReplay {
    /// It refuses or ignores them: OpenAI and most.
    #[default]
    None,
    /// In `reasoning_content`: Zhipu, Qwen, Volcengine.
    Content,
    /// In `reasoning_content`, without which a turn that calls a tool is refused: DeepSeek, Moonshot.
    Demanded,
    /// In `reasoning_details`, with their seals: OpenRouter.
    Details,
}

impl Quirks {
    /// How the usage of answers to `surface` is meant. Anthropic's dialect always counts the cache
    /// beside the prompt, Gemini's the thoughts beside the answer.
    pub(crate) fn conventions(&self, surface: Surface) -> Conventions {
        match surface.family() {
            Family::OpenAi => Conventions { cache: self.cache_in_input, reasoning: self.reasoning_in_output },
            Family::Anthropic | Family::Bedrock => {
                Conventions { cache: CacheConvention::BesideInput, reasoning: ReasoningConvention::InOutput }
            }
            Family::Gemini => {
                Conventions { cache: CacheConvention::InInput, reasoning: ReasoningConvention::BesideOutput }
            }
        }
    }
}

impl Quirks {
    /// None: a provider that does as its dialect's inventor does.
    pub const NONE: Self = Self {
        takes_include_usage: false,
        ends_without_done: false,
        cache_in_input: CacheConvention::InInput,
        reasoning_in_output: ReasoningConvention::InOutput,
        thinking: ThinkingStyle::Effort,
        reasoning_replay: ReasoningReplay::None,
        takes_cache_marks: false,
        thinks_in_text: false,
        requires_no_tool: false,
        narrow_temperature: false,
    };

    /// How the usage of answers in `dialect` is meant: the provider's deviations are those of its first
    /// dialects, the others count as their inventors do.
    pub(crate) fn conventions_of(&self, dialect: Dialect) -> Conventions {
        match dialect {
            Dialect::OpenAiChat | Dialect::OpenAiResponses => {
                Conventions { cache: self.cache_in_input, reasoning: self.reasoning_in_output }
            }
            Dialect::AnthropicMessages | Dialect::BedrockConverse => {
                Conventions { cache: CacheConvention::BesideInput, reasoning: ReasoningConvention::InOutput }
            }
            Dialect::Gemini => {
                Conventions { cache: CacheConvention::InInput, reasoning: ReasoningConvention::BesideOutput }
            }
        }
    }
}

impl Preset {
    /// The base URL for `family`, given the account's own. `None` when the provider does not speak
    /// it, or has no address for it: an account's own address is that of the first family.
    #[must_use]
    pub fn base_for<'a>(&'a self, family: Family, own: Option<&'a str>) -> Option<&'a str> {
        if !self.families.contains(&family) {
            return None;
        }
        if self.families.first() == Some(&family) {
            return own.or(self.base_url.as_deref());
        }
        match (family, own) {
            (Family::OpenAi, None) => self.openai_base_url.as_deref(),
            // Whoever names Google's compatible endpoint means it.
            (Family::OpenAi, Some(own)) if own.trim_end_matches('/').ends_with("/openai") => Some(own),
            (Family::Anthropic, None) => self.anthropic_base_url.as_deref(),
            (Family::Gemini, None) => self.gemini_base_url.as_deref(),
            _ => None,
        }
    }

    /// Whether its models can be called in `dialect` where their entries say so.
    #[must_use]
    pub fn may_speak(&self, dialect: Dialect) -> bool {
        self.families.iter().any(|family| family.dialects().contains(&dialect))
    }

    /// Whether it has the endpoint `surface` at all, whatever its address. A model that is called in `only` one
    /// dialect has that dialect's endpoints, known of the provider or not, and no other's.
    #[must_use]
    pub fn speaks(&self, surface: Surface, only: Option<Dialect>) -> bool {
        let has = match (only, surface.beside()) {
            (Some(only), Some(dialect)) => only == dialect,
            _ => self.responses || !surface.is_responses(),
        };
        has && self.families.contains(&surface.family())
    }
}

/// Every provider, in the order in which they are shown.
#[must_use]
pub fn presets() -> &'static [Preset] {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        preset: Vec<Preset>,
    }
    static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
        let file: File = toml::from_str(include_str!("providers.toml")).expect("a test reads this file");
        file.preset
    });
    &PRESETS
}

/// The provider with this id.
#[must_use]
pub fn preset(id: &str) -> Option<&'static Preset> {
    presets().iter().find(|preset| preset.id == id)
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const API_KEY: HeaderName = HeaderName::from_static("api-key");
const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// The header that carries `key` to the provider's endpoints of `family`, marked so that it is not
/// printed. `None` when the provider takes no credential, or the key has bytes that no header can carry.
#[must_use]
pub fn authorize(preset: &Preset, family: Family, key: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, text) = match preset.auth {
        AuthStyle::None => return None,
        AuthStyle::XGoogApiKey if family != Family::OpenAi => (X_GOOG_API_KEY, key.to_owned()),
        AuthStyle::Bearer | AuthStyle::XGoogApiKey => (AUTHORIZATION, format!("Bearer {key}")),
        AuthStyle::XApiKey => (X_API_KEY, key.to_owned()),
        AuthStyle::ApiKey => (API_KEY, key.to_owned()),
    };
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of the access contract, §8.
    const CONTRACT: &str = "openai azure anthropic gemini vertex bedrock deepseek qwen moonshot zhipu volcengine \
        minimax openrouter mistral groq xai together perplexity ollama vllm openai-compatible \
        anthropic-compatible demo";

    #[test]
    fn the_presets_are_those_of_the_contract() {
        let ids: Vec<&str> = presets().iter().map(|preset| preset.id.as_str()).collect();
        assert_eq!(ids, CONTRACT.split_whitespace().collect::<Vec<_>>());
        assert!(preset("openai").is_some() && preset("nobody").is_none());
    }

    #[test]
    fn every_preset_is_reachable_or_says_why_not() {
        for preset in presets() {
            assert_eq!(preset.families.is_empty(), preset.unavailable.is_some(), "{}", preset.id);
            for family in &preset.families {
                let own = preset.base_url.is_none().then_some("https://own.example");
                assert!(preset.base_for(*family, own).is_some(), "{}", preset.id);
            }
        }
        let deepseek = preset("deepseek").unwrap();
        assert_eq!(deepseek.base_for(Family::Anthropic, Some("https://own.example/v1")), None);
        assert_eq!(preset("openai").unwrap().base_for(Family::Anthropic, None), None);
        let gemini = preset("gemini").unwrap();
        let compatible = "https://own.example/v1beta/openai";
        assert_eq!(gemini.base_for(Family::OpenAi, Some("https://own.example")), None);
        assert_eq!(gemini.base_for(Family::OpenAi, Some(compatible)), Some(compatible));
    }

    #[test]
    fn responses_are_asked_of_those_who_have_them() {
        let have: Vec<&str> =
            presets().iter().filter(|preset| preset.responses).map(|p| p.id.as_str()).collect();
        assert_eq!(have, ["openai", "azure", "deepseek", "openrouter", "xai", "demo"]);
        let chat_only = preset("groq").unwrap();
        let speaks = |surface| chat_only.speaks(surface, None);
        assert!(speaks(Surface::ChatCompletions) && !speaks(Surface::Responses));
        let speaks = |surface| chat_only.speaks(surface, Some(Dialect::OpenAiResponses));
        assert!(speaks(Surface::Responses) && speaks(Surface::StoredResponse) && speaks(Surface::Embeddings));
        assert!(!speaks(Surface::ChatCompletions) && !speaks(Surface::Messages));
    }

    #[test]
    fn credentials_are_sent_as_each_provider_wants_and_are_not_printed() {
        for (id, family, name, value) in [
            ("openai", Family::OpenAi, "authorization", "Bearer k"),
            ("anthropic", Family::Anthropic, "x-api-key", "k"),
            ("azure", Family::OpenAi, "api-key", "k"),
            ("ollama", Family::OpenAi, "authorization", "Bearer k"),
            ("gemini", Family::Gemini, "x-goog-api-key", "k"),
            ("gemini", Family::OpenAi, "authorization", "Bearer k"),
        ] {
            let (header, sent) = authorize(preset(id).unwrap(), family, "k").unwrap();
            assert_eq!((header.as_str(), sent.to_str().unwrap()), (name, value));
            assert!(sent.is_sensitive());
        }
        assert_eq!(authorize(preset("demo").unwrap(), Family::OpenAi, "k"), None);
        assert_eq!(authorize(preset("openai").unwrap(), Family::OpenAi, "a\nb"), None);
    }
}
