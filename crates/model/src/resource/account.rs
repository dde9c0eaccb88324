//! An account: one credential at one provider.

use serde::{Deserialize, Serialize};

use crate::clock::EpochMs;
use crate::id::ResourceId;
use crate::secret::Secret;

/// Priority of an account that names none; lower goes first.
pub const DEFAULT_PRIORITY: u32 = 50;
/// Weight of an account that names none.
pub const DEFAULT_WEIGHT: u32 = 1;

/// First segments of paths that mean something else, so that no family may have such a name (access contract, §1);
/// the last four are prefixes of the gateway's own.
const RESERVED_SEGMENTS: [&str; 18] = [
    "v1",
    "v1beta",
    "api",
    "admin",
    "external",
    "internal",
    "passthrough",
    "console",
    "metrics",
    "health",
    "healthz",
    "models",
    "responses",
    "chat",
    "actuator",
    "anthropic",
    "codex",
    "cursor",
];
/// The longest name of a family.
const LONGEST_FAMILY: usize = 32;

/// Whether a family may have this name: it is the first segment of paths.
#[must_use]
pub fn can_be_family(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST_FAMILY).contains(&name.len())
        && name.bytes().all(is_plain)
        && !name.starts_with('-')
        && !RESERVED_SEGMENTS.contains(&name)
}

/// A model that an account offers: the same name on both sides, or a public name mapped to the upstream's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum ModelEntry {
    /// Offered under its own name.
    Same(String),
    /// Offered under `name`, called `upstream` there.
    Mapped {
        /// What callers ask for.
        name: String,
        /// What the provider is asked for.
        upstream: String,
        /// The one dialect of its provider's in which it is called; `None` for whichever fits the caller. For
        /// models that a provider of several dialects has in one of them alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dialect: Option<ModelDialect>,
    },
}

/// A dialect of chat, as a model's entry names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ModelDialect {
    /// OpenAI Chat Completions.
    #[serde(rename = "openai_chat")]
    OpenAiChat,
    /// OpenAI Responses.
    #[serde(rename = "openai_responses")]
    OpenAiResponses,
    /// Anthropic Messages.
    #[serde(rename = "anthropic_messages")]
    AnthropicMessages,
    /// Gemini's generateContent.
    #[serde(rename = "gemini")]
    Gemini,
    /// Bedrock Converse.
    #[serde(rename = "bedrock_converse")]
    BedrockConverse,
}

impl ModelEntry {
    /// What callers ask for.
    #[must_use]
    pub fn public(&self) -> &str {
        match self {
            Self::Same(name) | Self::Mapped { name, .. } => name,
        }
    }

    /// What the provider is asked for.
    #[must_use]
    pub fn upstream(&self) -> &str {
        match self {
            Self::Same(name) => name,
            Self::Mapped { upstream, .. } => upstream,
        }
    }

    /// The one dialect in which it is called, where the administrator named one.
    #[must_use]
    pub fn dialect(&self) -> Option<ModelDialect> {
        match self {
            Self::Same(_) => None,
            Self::Mapped { dialect, .. } => *dialect,
        }
    }
}

/// An account as stored and pushed, its credential unsealed for this process only.
#[derive(Clone)]
pub struct Account {
    /// Its id.
    pub id: ResourceId,
    /// The administrator's name for it; unique within the tenant.
    pub name: String,
    /// The preset's id (`openai`, `deepseek`, …).
    pub provider: String,
    /// The base URL in place of the preset's.
    pub base_url: Option<String>,
    /// Azure's `api-version`.
    pub api_version: Option<String>,
    /// The API key; `None` for providers that take none (a local Ollama).
    pub credential: Option<Secret<String>>,
    /// What it offers; empty means the preset's list.
    pub models: Vec<ModelEntry>,
    /// Lower goes first.
    pub priority: u32,
    /// Share among accounts of the same priority; 0 takes no new requests.
    pub weight: u32,
    /// Requests in flight at one time; `None` is unlimited.
    pub concurrency: Option<u32>,
    /// Whether plain http and private addresses are allowed for its base URL.
    pub allow_private: bool,
    /// Whether it may be chosen.
    pub enabled: bool,
    /// The tenant.
    pub tenant_id: String,
    /// The group that may use it.
    pub group_id: String,
    /// The operator's label for accounts that belong together: `/{family}/v1/…` goes to them alone.
    pub family: Option<String>,
    /// When it was created.
    pub created_at: EpochMs,
    /// When it was last changed.
    pub updated_at: EpochMs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_a_segment_of_a_path_that_means_nothing_else() {
        for name in ["antigravity", "eu-1", "0"] {
            assert!(can_be_family(name), "{name}");
        }
        for name in
            ["", "-a", "A", "a/b", "a.b", "ä", "a".repeat(33).as_str()].into_iter().chain(RESERVED_SEGMENTS)
        {
            assert!(!can_be_family(name), "{name}");
        }
    }
}
