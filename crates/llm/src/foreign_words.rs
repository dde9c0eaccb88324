//! What a provider says of a failure, for callers of another dialect: without what only the operator is to know,
//! and with the words by which a client program knows what it can mend by itself.

use std::borrow::Cow;

use crate::failure::UpstreamFailure;
use crate::neutral::Dialect;

/// What stands for what is not told.
const MASK: &str = "***";
/// By this Claude Code knows that it has to shorten the conversation (clients reference §1.1, A 6).
const TOO_LONG: &str = "capability_rejected: prompt_too_long";
/// The same in Bedrock's case, in the words that it looks for there.
const TOO_LONG_AT_BEDROCK: &str = "Input is too long.";

/// The message of a failure at a provider of the dialect `provider`, for callers of `caller`.
#[must_use]
pub fn foreign_words(failure: &UpstreamFailure, provider: Dialect, caller: Dialect) -> String {
    let words = masked(&failure.message);
    let is_known = words.to_ascii_lowercase().contains("prompt is too long");
    if caller != Dialect::AnthropicMessages || is_known || !is_too_long(failure) {
        return words.into_owned();
    }
    match provider {
        Dialect::BedrockConverse => TOO_LONG_AT_BEDROCK.to_owned(),
        _ => format!("{TOO_LONG}: {words}"),
    }
}

/// Whether a failure says that the conversation does not fit into the model's context.
fn is_too_long(failure: &UpstreamFailure) -> bool {
    const SIGNS: [&str; 7] = [
        "maximum context length",
        "context length",
        "context window",
        "input is too long",
        "input token count",
        "exceeds the maximum number of tokens",
        "too many input tokens",
    ];
    let message = failure.message.to_ascii_lowercase();
    failure.code.as_deref() == Some("context_length_exceeded")
        || SIGNS.iter().any(|sign| message.contains(sign))
}

/// `text` without the names of resources, accounts and projects of the clouds that models run in.
#[must_use]
pub fn masked(text: &str) -> Cow<'_, str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_:/.*".contains(c);
    let mut out = String::new();
    let mut rest = text;
    loop {
        let Some((at, kept)) = first_secret(rest) else {
            return if out.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(out + rest) };
        };
        out.push_str(&rest[..at + kept]);
        out.push_str(MASK);
        let behind = &rest[at + kept..];
        // A point or a colon at the end belongs to the sentence.
        let name = behind.find(|c| !is_name(c)).map_or(behind, |end| &behind[..end]);
        let length = name.trim_end_matches(['.', ':']).len().max(1).min(behind.len());
        rest = &behind[length..];
    }
}

/// Where the first name begins that is not told, and how much of it is.
fn first_secret(text: &str) -> Option<(usize, usize)> {
    const MARKS: [&str; 5] = ["arn:aws", "projects/", "project_number:", "project_id:", "project number "];
    let marked = MARKS.iter().filter_map(|mark| {
        let kept = if *mark == "arn:aws" { "arn:".len() } else { mark.len() };
        let at = text.find(mark)?;
        // What has been masked, or names nothing.
        let named = text[at + kept..].chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        named.then_some((at, kept))
    });
    marked.chain(account_id(text).map(|at| (at, 0))).min()
}

/// Where a number of twelve digits stands, which is what accounts of Amazon's have for a name.
fn account_id(text: &str) -> Option<usize> {
    let mut start = 0;
    for run in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        if run.len() == 12 && run.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(start);
        }
        // The character that ended it.
        start += run.len();
        start += text[start..].chars().next().map_or(0, char::len_utf8);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: Option<&str>, message: &str) -> UpstreamFailure {
        UpstreamFailure {
            code: code.map(str::to_owned),
            message: message.to_owned(),
            ..UpstreamFailure::default()
        }
    }

    #[test]
    fn claude_code_is_told_that_a_prompt_is_too_long_in_words_that_it_knows() {
        let openai = "This model's maximum context length is 128000 tokens.";
        let gemini = "The input token count (9) exceeds the maximum number of tokens allowed (8).";
        let anthropic = "prompt is too long: 9 tokens > 8 maximum";
        let bedrock = "Input is too long for requested model.";
        let told = |provider, failure: &UpstreamFailure| {
            foreign_words(failure, provider, Dialect::AnthropicMessages)
        };
        for (provider, code, message, expected) in [
            (Dialect::OpenAiChat, None, openai, format!("{TOO_LONG}: {openai}")),
            (Dialect::OpenAiResponses, Some("context_length_exceeded"), "no", format!("{TOO_LONG}: no")),
            (Dialect::Gemini, None, gemini, format!("{TOO_LONG}: {gemini}")),
            (Dialect::BedrockConverse, None, bedrock, TOO_LONG_AT_BEDROCK.to_owned()),
            (Dialect::BedrockConverse, None, anthropic, anthropic.to_owned()),
            (Dialect::OpenAiChat, None, anthropic, anthropic.to_owned()),
            (Dialect::OpenAiChat, None, "Unknown parameter: x", "Unknown parameter: x".to_owned()),
        ] {
            assert_eq!(told(provider, &failure(code, message)), expected, "{message}");
            let others = foreign_words(&failure(code, message), provider, Dialect::Gemini);
            assert_eq!(others, message);
        }
    }

    #[test]
    fn names_of_resources_accounts_and_projects_are_not_told() {
        for (before, after) in [
            (
                "User: arn:aws:iam::123456789012:user/x is not authorized to perform: bedrock:InvokeModel",
                "User: arn:*** is not authorized to perform: bedrock:InvokeModel",
            ),
            ("No access to arn:aws:bedrock:us-east-1::foundation-model/m.", "No access to arn:***."),
            ("Account 123456789012 is blocked", "Account *** is blocked"),
            ("Consumer 'project_number:4711' has no quota", "Consumer 'project_number:***' has no quota"),
            ("projects/p-1/locations/us: é 123456789012, arn:aws:x", "projects/***: é ***, arn:***"),
            ("1234567890123 and 12345678901a tokens", "1234567890123 and 12345678901a tokens"),
            ("arn: and projects/ alone", "arn: and projects/ alone"),
            ("", ""),
        ] {
            assert_eq!(masked(before), after);
            assert_eq!(masked(after), after);
        }
    }
}
