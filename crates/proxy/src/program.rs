//! What client programs say of themselves in headers of their own, for the record and for the wording of
//! refusals (clients reference §1.1, §1.3).

use http::HeaderMap;
use llm::Program;
use model::record::ProgramFacts;

/// What Claude Code calls itself in `User-Agent`.
const CLAUDE_CODE: &str = "claude-cli";

/// The longest value that is kept.
const VALUE_LIMIT: usize = 128;

/// A header and what it is called in records. The first of several that say the same counts.
const HEADERS: [(&str, &str); 17] = [
    ("x-claude-code-session-id", "session"),
    ("x-claude-code-agent-id", "agent"),
    ("x-claude-code-parent-agent-id", "parent_agent"),
    ("x-claude-code-agent-type", "agent_type"),
    ("x-claude-code-request-class", "request_class"),
    ("x-claude-1p-request-class", "request_class"),
    ("x-claude-code-prompt-id", "prompt"),
    ("x-claude-code-managed-settings-checksum", "settings"),
    ("originator", "program"),
    ("session-id", "session"),
    ("session_id", "session"),
    ("x-session-id", "session"),
    ("thread-id", "thread"),
    ("x-codex-parent-thread-id", "parent_thread"),
    ("x-openai-subagent", "agent_type"),
    ("x-codex-window-id", "window"),
    ("x-codex-turn-metadata", "request_class"),
];

/// What the caller's program says; `None` where it says nothing.
pub(crate) fn facts(headers: &HeaderMap) -> Option<Box<ProgramFacts>> {
    let mut facts = ProgramFacts::default();
    for (name, value) in headers {
        let text = name.as_str();
        // Nearly no header is one of these, and few of the others begin so.
        if !matches!(text.as_bytes(), [b'x' | b's' | b't' | b'o', ..]) {
            continue;
        }
        let Some((_, ours)) = HEADERS.iter().find(|(known, _)| *known == text) else {
            continue;
        };
        let value = value.to_str().unwrap_or_default();
        let value = if text == "x-codex-turn-metadata" { request_kind(value) } else { value };
        if !value.is_empty() && value.len() <= VALUE_LIMIT && facts.get(ours).is_none() {
            facts.0.push((ours, value.into()));
        }
    }
    let named = product(headers);
    if facts.0.is_empty() && named != Some(CLAUDE_CODE) {
        return None;
    }
    if facts.get("program").is_none() {
        // Behind another program's agent it is still Claude Code that reads the answer.
        let name = if is_claude_code(headers) { Some(CLAUDE_CODE) } else { named };
        facts.0.extend(name.map(|name| ("program", name.into())));
    }
    Some(Box::new(facts))
}

/// Whether a header is there that only Claude Code sends.
fn is_claude_code(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("x-claude-code-"))
}

/// The product that `User-Agent` names first, without its version.
fn product(headers: &HeaderMap) -> Option<&str> {
    let agent = headers.get(http::header::USER_AGENT)?.to_str().ok()?;
    let name = agent.split(['/', ' ']).next()?;
    (1..=VALUE_LIMIT).contains(&name.len()).then_some(name)
}

/// What a turn of Codex is for, of the JSON object in which it says so.
fn request_kind(metadata: &str) -> &str {
    let after = metadata.split_once("\"request_kind\":\"").map_or("", |(_, after)| after);
    after.split('"').next().unwrap_or_default()
}

/// The program that the facts are of, as far as its reading of refusals is known.
pub(crate) fn of(facts: Option<&ProgramFacts>) -> Program {
    match facts.and_then(|facts| facts.get("program")) {
        Some(CLAUDE_CODE) => Program::ClaudeCode,
        Some(name) if name.starts_with("codex") => Program::Codex,
        _ => Program::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn read(headers: &[(&'static str, &'static str)]) -> Option<Box<ProgramFacts>> {
        let map = headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        facts(&map.collect())
    }

    #[test]
    fn programs_are_known_by_their_headers() {
        let claude = read(&[
            ("user-agent", "claude-cli/2.1.329 (external, cli)"),
            ("x-claude-code-session-id", "s"),
            ("x-claude-code-agent-id", "a"),
            ("x-claude-code-request-class", "subagent"),
            ("x-claude-1p-request-class", "other"),
            ("x-stainless-lang", "js"),
        ])
        .unwrap();
        assert_eq!(of(Some(&claude)), Program::ClaudeCode);
        let said = ["session", "agent", "request_class", "program"].map(|name| claude.get(name).unwrap());
        assert_eq!(said, ["s", "a", "subagent", "claude-cli"]);
        let codex = read(&[
            ("originator", "codex_exec"),
            ("session-id", "s"),
            ("thread-id", "t"),
            ("x-codex-turn-metadata", r#"{"turn_id":"1","request_kind":"turn","model":"m"}"#),
        ])
        .unwrap();
        assert_eq!(of(Some(&codex)), Program::Codex);
        let said = ["thread", "request_class", "program"].map(|name| codex.get(name).unwrap());
        assert_eq!(said, ["t", "turn", "codex_exec"]);
    }

    #[test]
    fn claude_code_is_known_by_its_agent_or_by_its_headers_alone() {
        for headers in [
            vec![("user-agent", "claude-cli/2.1.329 (external, cli)")],
            vec![("x-claude-code-session-id", "s")],
            vec![("user-agent", "python-httpx/0.28"), ("x-claude-code-session-id", "s")],
        ] {
            assert_eq!(of(read(&headers).as_deref()), Program::ClaudeCode, "{headers:?}");
        }
    }

    #[test]
    fn others_say_nothing_and_nothing_odd_is_kept() {
        let sdk = [("user-agent", "OpenAI/Python 2.54.0"), ("x-stainless-lang", "python")];
        assert_eq!(read(&sdk), None);
        assert_eq!(of(None), Program::Other);
        let long: &'static str = Box::leak("x".repeat(500).into_boxed_str());
        assert_eq!(read(&[("session-id", long), ("x-codex-turn-metadata", "{}")]), None);
        let plain = read(&[("x-session-id", "s")]).unwrap();
        assert_eq!((plain.get("program"), of(Some(&plain))), (None, Program::Other));
    }
}
