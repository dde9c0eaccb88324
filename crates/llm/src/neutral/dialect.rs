//! The dialects in which a model is talked to, and what each calls the fields that all of them know.

use model::resource::ModelDialect;

/// A dialect of chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// OpenAI Chat Completions, and everything compatible with it.
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Anthropic Messages.
    AnthropicMessages,
    /// Gemini's generateContent.
    Gemini,
    /// Bedrock Converse: spoken by providers only.
    BedrockConverse,
}

impl From<ModelDialect> for Dialect {
    fn from(named: ModelDialect) -> Self {
        match named {
            ModelDialect::OpenAiChat => Self::OpenAiChat,
            ModelDialect::OpenAiResponses => Self::OpenAiResponses,
            ModelDialect::AnthropicMessages => Self::AnthropicMessages,
            ModelDialect::Gemini => Self::Gemini,
            ModelDialect::BedrockConverse => Self::BedrockConverse,
        }
    }
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 5] = [
        Self::OpenAiChat,
        Self::OpenAiResponses,
        Self::AnthropicMessages,
        Self::Gemini,
        Self::BedrockConverse,
    ];

    /// The name in records and documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai_chat",
            Self::OpenAiResponses => "openai_responses",
            Self::AnthropicMessages => "anthropic_messages",
            Self::Gemini => "gemini",
            Self::BedrockConverse => "bedrock_converse",
        }
    }

    /// What it calls a field, for those who are told about it.
    #[must_use]
    pub fn field(self, field: Field) -> &'static str {
        field.names()[self as usize]
    }
}

/// A field of a request that more than one dialect has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// What comes before the first turn.
    Instructions,
    /// The conversation.
    Turns,
    /// The tools offered.
    Tools,
    /// Which of them must be used.
    ToolChoice,
    /// Whether several calls may come at once.
    ParallelTools,
    /// The longest answer.
    MaxOutput,
    /// Sampling temperature.
    Temperature,
    /// Nucleus sampling.
    TopP,
    /// Sampling among the most likely.
    TopK,
    /// Texts that end the answer.
    StopSequences,
    /// Repeatable sampling.
    Seed,
    /// Penalty on what has occurred.
    PresencePenalty,
    /// Penalty on what has occurred often.
    FrequencyPenalty,
    /// How many answers.
    Choices,
    /// The form of the answer.
    Format,
    /// How much to think.
    Reasoning,
    /// Marks for the provider's prompt cache.
    Cache,
    /// The service tier.
    Tier,
    /// Whom the request is for.
    Caller,
    /// How long-winded the answer is.
    Verbosity,
    /// How likely tokens were.
    Logprobs,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 21] = [
        Self::Instructions,
        Self::Turns,
        Self::Tools,
        Self::ToolChoice,
        Self::ParallelTools,
        Self::MaxOutput,
        Self::Temperature,
        Self::TopP,
        Self::TopK,
        Self::StopSequences,
        Self::Seed,
        Self::PresencePenalty,
        Self::FrequencyPenalty,
        Self::Choices,
        Self::Format,
        Self::Reasoning,
        Self::Cache,
        Self::Tier,
        Self::Caller,
        Self::Verbosity,
        Self::Logprobs,
    ];

    /// The names, in the order of [`Dialect::ALL`]. A table of one-line entries.
    #[rustfmt::skip]
    fn names(self) -> [&'static str; 5] {
        match self {
            Self::Instructions => ["messages", "instructions", "system", "systemInstruction", "system"],
            Self::Turns => ["messages", "input", "messages", "contents", "messages"],
            Self::Tools => ["tools", "tools", "tools", "tools", "toolConfig.tools"],
            Self::ToolChoice => ["tool_choice", "tool_choice", "tool_choice", "toolConfig", "toolConfig.toolChoice"],
            Self::ParallelTools => ["parallel_tool_calls", "parallel_tool_calls", "tool_choice.disable_parallel_tool_use", "parallel_tool_calls", "parallel_tool_calls"],
            Self::MaxOutput => ["max_completion_tokens", "max_output_tokens", "max_tokens", "generationConfig.maxOutputTokens", "inferenceConfig.maxTokens"],
            Self::Temperature => ["temperature", "temperature", "temperature", "generationConfig.temperature", "inferenceConfig.temperature"],
            Self::TopP => ["top_p", "top_p", "top_p", "generationConfig.topP", "inferenceConfig.topP"],
            Self::TopK => ["top_k", "top_k", "top_k", "generationConfig.topK", "additionalModelRequestFields.top_k"],
            Self::StopSequences => ["stop", "stop", "stop_sequences", "generationConfig.stopSequences", "inferenceConfig.stopSequences"],
            Self::Seed => ["seed", "seed", "seed", "generationConfig.seed", "seed"],
            Self::PresencePenalty => ["presence_penalty", "presence_penalty", "presence_penalty", "generationConfig.presencePenalty", "presence_penalty"],
            Self::FrequencyPenalty => ["frequency_penalty", "frequency_penalty", "frequency_penalty", "generationConfig.frequencyPenalty", "frequency_penalty"],
            Self::Choices => ["n", "n", "n", "generationConfig.candidateCount", "n"],
            Self::Format => ["response_format", "text.format", "output_config.format", "generationConfig.responseJsonSchema", "outputConfig.textFormat"],
            Self::Reasoning => ["reasoning_effort", "reasoning", "thinking", "generationConfig.thinkingConfig", "additionalModelRequestFields.thinking"],
            Self::Cache => ["cache_control", "prompt_cache_key", "cache_control", "cachedContent", "cachePoint"],
            Self::Tier => ["service_tier", "service_tier", "service_tier", "serviceTier", "serviceTier"],
            Self::Caller => ["user", "user", "metadata.user_id", "labels", "requestMetadata"],
            Self::Logprobs => ["logprobs", "include", "logprobs", "generationConfig.responseLogprobs", "logprobs"],
            Self::Verbosity => ["verbosity", "text.verbosity", "verbosity", "verbosity", "verbosity"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_name_in_every_dialect() {
        for field in Field::ALL {
            for dialect in Dialect::ALL {
                assert!(!dialect.field(field).is_empty(), "{field:?} in {}", dialect.name());
            }
        }
    }
}
