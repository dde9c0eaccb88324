//! Names of tools where a dialect forbids the caller's: sent under a derived name, which is the same in
//! every turn, and given back under the caller's own.

use super::ids;
use crate::neutral::{Block, Dialect, Request, ToolChoice};

/// Whether a dialect accepts a tool's name.
fn accepts(dialect: Dialect, name: &str) -> bool {
    let (most, extra) = match dialect {
        Dialect::AnthropicMessages => (128, "_-"),
        Dialect::Gemini => (64, "_-.:"),
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::BedrockConverse => (64, "_-"),
    };
    let begins = dialect != Dialect::Gemini
        || name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    (1..=most).contains(&name.len())
        && begins
        && name.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

/// The name that stands for `name`: what of it is allowed, and a mark of the whole.
fn derived(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let kept: String = name.chars().take(40).map(allowed).collect();
    let prefix = if kept.starts_with(|first: char| first.is_ascii_alphabetic()) { "" } else { "t_" };
    format!("{prefix}{kept}_{}", ids::mark(name))
}

/// Renames the tools of `request` that `dialect` does not accept, wherever they are named. Returns the
/// names sent, each with the caller's own.
#[must_use]
pub fn fit(request: &mut Request, dialect: Dialect) -> Vec<(String, String)> {
    let mut renamed: Vec<(String, String)> = Vec::new();
    let own = request.tools.iter().map(|tool| &tool.name);
    let called = request.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match &part.block {
        Block::ToolCall(call) => Some(&call.name),
        _ => None,
    });
    for name in own.chain(called).filter(|name| !name.is_empty() && !accepts(dialect, name)) {
        if !renamed.iter().any(|(_, known)| known == name) {
            renamed.push((derived(name), name.clone()));
        }
    }
    if renamed.is_empty() {
        return renamed;
    }
    let rename = |name: &mut String| {
        if let Some((sent, _)) = renamed.iter().find(|(_, own)| own == name) {
            name.clone_from(sent);
        }
    };
    request.tools.iter_mut().for_each(|tool| rename(&mut tool.name));
    for part in request.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        match &mut part.block {
            Block::ToolCall(call) => rename(&mut call.name),
            Block::ToolResult(result) => result.name.iter_mut().for_each(rename),
            _ => {}
        }
    }
    match &mut request.tool_choice {
        Some(ToolChoice::Named(name)) => rename(name),
        Some(ToolChoice::Among { names, .. }) => names.iter_mut().for_each(rename),
        _ => {}
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neutral::{Part, Role, ToolCall, Turn};

    #[test]
    fn a_name_that_is_forbidden_is_sent_under_another_everywhere() {
        let mut request = Request::new(Dialect::AnthropicMessages, "m");
        let long = format!("mcp__{}", "x".repeat(70));
        let call = ToolCall { name: long.clone(), ..ToolCall::default() };
        request.turns = vec![Turn::new(Role::Assistant, vec![Part::from(Block::ToolCall(call))], 0)];
        request.tool_choice = Some(ToolChoice::Named(long.clone()));
        let renamed = fit(&mut request, Dialect::OpenAiChat);
        assert_eq!(renamed.len(), 1);
        let (sent, own) = &renamed[0];
        assert_eq!(*own, long);
        assert!(accepts(Dialect::BedrockConverse, sent), "{sent}");
        assert_eq!(request.tool_choice, Some(ToolChoice::Named(sent.clone())));
        assert!(matches!(&request.turns[0].parts[0].block, Block::ToolCall(call) if call.name == *sent));
        assert!(fit(&mut Request::new(Dialect::Gemini, "m"), Dialect::OpenAiChat).is_empty());
    }
}
