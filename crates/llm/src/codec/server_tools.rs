//! Tools that a vendor's service runs itself, in requests for a provider of another dialect (dialects
//! reference §2.5). A web search is put into the provider's words where it has one; any other such tool is
//! refused by name, because an answer without it is not what was asked for. None becomes a function: nobody
//! would run it.

use model::Rejection;

use super::{Target, gemini, read, unsupported};
use crate::members;
use crate::neutral::{Dialect, Field, Losses, Request, Tool, ToolChoice, ToolKind};
use crate::program::Program;

/// What is said where a tool is left out.
const MISSING: &str = "the provider has no such tool";

/// Sees to such tools in `request` for `target`, which speaks `dialect`. Codex offers them to every model
/// without its user's doing, so that there they are a loss and not a refusal.
///
/// # Errors
/// `UNSUPPORTED_FEATURE`, naming the tool.
pub fn server_tools(
    request: &mut Request,
    (dialect, target): (Dialect, &Target<'_>),
    program: Program,
    losses: &mut Losses,
) -> Result<(), Rejection> {
    if request.origin == dialect {
        return Ok(());
    }
    let list = request.origin.field(Field::Tools);
    let is_function = |tool: &Tool| matches!(tool.kind, ToolKind::Function | ToolKind::Custom(_));
    let provider = Provider { dialect, target, program, functions: request.tools.iter().any(is_function) };
    let mut kept = Vec::with_capacity(request.tools.len());
    for tool in std::mem::take(&mut request.tools) {
        let path = format!("{list}.{}", tool.name);
        match provider.fate(&tool) {
            Fate::Kept => kept.push(tool),
            Fate::Needless => losses.advisory(path, "every tool is offered at once"),
            Fate::Missing if program == Program::Codex => losses.meaning(path, MISSING),
            Fate::Missing => {
                let message = format!(
                    "unsupported_tool: the provider of this model does not run `{}`.",
                    kind_of(&tool)
                );
                return Err(unsupported(message, &path));
            }
        }
    }
    request.tools = kept;
    if request
        .ext
        .get(Dialect::AnthropicMessages, "mcp_servers")
        .is_some_and(|raw| members::is_said(raw.text()))
    {
        let message = "unsupported_tool: the provider of this model calls no MCP servers.";
        return Err(unsupported(message, "mcp_servers"));
    }
    choose(request, dialect, losses);
    Ok(())
}

/// What becomes of a tool.
enum Fate {
    Kept,
    /// It finds tools that are not offered at first; they all are.
    Needless,
    Missing,
}

struct Provider<'a> {
    dialect: Dialect,
    target: &'a Target<'a>,
    program: Program,
    /// Whether the request has functions too.
    functions: bool,
}

impl Provider<'_> {
    fn fate(&self, tool: &Tool) -> Fate {
        match &tool.kind {
            ToolKind::Function | ToolKind::Custom(_) => Fate::Kept,
            ToolKind::WebSearch if self.searches(tool) => Fate::Kept,
            ToolKind::Foreign(origin, _) if *origin == self.dialect => Fate::Kept,
            ToolKind::Foreign(_, raw) if kind_of(tool).starts_with("tool_search") => {
                // Run by the caller it finds what the request does not have.
                match read::member_text(raw.text(), "execution").as_deref() {
                    Some("client") => Fate::Kept,
                    _ => Fate::Needless,
                }
            }
            ToolKind::WebSearch | ToolKind::Foreign(..) => Fate::Missing,
        }
    }

    fn searches(&self, tool: &Tool) -> bool {
        let access = tool.ext.get(Dialect::OpenAiResponses, "external_web_access");
        if access.is_some_and(|access| access.text() == "false") {
            // Only OpenAI searches without looking at the web.
            return false;
        }
        match self.dialect {
            Dialect::OpenAiResponses | Dialect::AnthropicMessages => true,
            // Most models refuse it there: it is asked of them only by those who mean it.
            Dialect::OpenAiChat => self.program != Program::Codex || self.target.model.contains("search"),
            // Older models either search or call functions.
            Dialect::Gemini => !self.functions || gemini::is_newer(self.target.model),
            Dialect::BedrockConverse => false,
        }
    }
}

/// What a tool is called by those who run it.
fn kind_of(tool: &Tool) -> String {
    let kind = match &tool.kind {
        ToolKind::Foreign(_, raw) => read::member_text(raw.text(), "type"),
        ToolKind::Function | ToolKind::Custom(_) | ToolKind::WebSearch => None,
    };
    kind.unwrap_or_else(|| tool.name.clone())
}

/// Puts a choice of the web search into the words of `dialect`, where it has any.
fn choose(request: &mut Request, dialect: Dialect, losses: &mut Losses) {
    let Some(ToolChoice::Named(name)) = &request.tool_choice else { return };
    let named = request.tools.iter().find(|tool| tool.name == *name);
    let is_gone = named.is_none() && name == "web_search";
    if !is_gone && named.is_none_or(|tool| tool.kind != ToolKind::WebSearch) {
        return;
    }
    let can = matches!(dialect, Dialect::AnthropicMessages | Dialect::OpenAiResponses) && !is_gone;
    request.tool_choice = can.then(|| ToolChoice::Named("web_search".to_owned()));
    if !can {
        losses.meaning(request.origin.field(Field::ToolChoice), "the provider cannot be made to search");
    }
}

#[cfg(test)]
mod tests;
