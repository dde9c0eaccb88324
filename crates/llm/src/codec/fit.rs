//! Fits a request to the account that it goes to, before it is written: what only its own dialect knows, the
//! names of its tools, its schemas, and the form of its answer where the model has none. What answers must know of it is in [`Asked`].

use super::subset::{self, Fitted, Subset};
use super::{Asked, Target, answer_tool, messages, names, retold, schema, unsaid};
use crate::neutral::{Dialect, Field, Format, Losses, Raw, Request, Severity, Tool, ToolKind};

/// Fits `request`, and notes in `asked` what its answer must be read with.
pub fn fit(
    request: &mut Request,
    dialect: Dialect,
    target: &Target<'_>,
    asked: &mut Asked,
    losses: &mut Losses,
) {
    unsaid::note(request, dialect, losses);
    retold::retell(request, dialect, target);
    asked.renamed_tools = names::fit(request, dialect);
    let taker = Taker::of(dialect, target);
    tools(request, taker, losses);
    format(request, taker, target, asked, losses);
}

/// Whose schemas they become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taker {
    OpenAi,
    Claude,
    Gemini,
    Nova,
    /// Nothing is known of what it refuses.
    Other,
}

impl Taker {
    fn of(dialect: Dialect, target: &Target<'_>) -> Self {
        match dialect {
            Dialect::OpenAiChat | Dialect::OpenAiResponses
                if matches!(target.provider, "openai" | "azure") =>
            {
                Self::OpenAi
            }
            Dialect::AnthropicMessages | Dialect::BedrockConverse if target.model.contains("claude") => {
                Self::Claude
            }
            Dialect::BedrockConverse if target.model.contains("nova") => Self::Nova,
            Dialect::Gemini => Self::Gemini,
            _ => Self::Other,
        }
    }

    /// What it takes where the schema must be followed.
    fn strict(self) -> Option<&'static Subset> {
        match self {
            Self::OpenAi => Some(&subset::OPENAI),
            Self::Claude => Some(&subset::CLAUDE),
            Self::Gemini => Some(&subset::GEMINI),
            Self::Nova | Self::Other => None,
        }
    }
}

fn tools(request: &mut Request, taker: Taker, losses: &mut Losses) {
    let path = request.origin.field(Field::Tools);
    for (place, tool) in request.tools.iter_mut().enumerate() {
        let (ToolKind::Function, Some(given)) = (&tool.kind, &tool.schema) else { continue };
        let words = schema_words(request.origin);
        let at = |word: &str| format!("{path}[{place}].{words}.{word}");
        let given = schema::of_object(given);
        let fitted = match taker.strict() {
            Some(subset) if tool.strict == Some(true) || taker == Taker::Gemini => subset.fit(&given),
            _ => root(&given, taker),
        };
        let changed = note(fitted, losses, at);
        match changed {
            Ok(Some(schema)) => tool.schema = Some(Raw::new(schema)),
            Ok(None) => {}
            Err(()) => {
                losses.meaning(
                    format_args!("{path}[{place}].strict"),
                    "the provider cannot hold the model to this schema",
                );
                unbind(tool, taker, losses, &at);
            }
        }
    }
}

/// Offers a tool without insisting on its schema.
fn unbind(tool: &mut Tool, taker: Taker, losses: &mut Losses, at: &impl Fn(&str) -> String) {
    tool.strict = Some(false);
    let Some(given) = &tool.schema else { return };
    let fitted = root(&schema::of_object(given), taker);
    if let Ok(Some(schema)) = note(fitted, losses, at) {
        tool.schema = Some(Raw::new(schema));
    }
}

/// Notes what was changed, and hands on the schema, where it is another one; fails where it does not fit.
fn note(fitted: Fitted, losses: &mut Losses, at: impl Fn(&str) -> String) -> Result<Option<String>, ()> {
    if !fitted.fits {
        return Err(());
    }
    for note in &fitted.notes {
        losses.add(at(&note.path), note.reason, note.severity);
    }
    Ok(fitted.schema)
}

/// What the schema of a tool is at its root, for those who are strict about that.
fn root(schema: &str, taker: Taker) -> Fitted {
    match taker {
        Taker::Claude => subset::without_root_union(schema),
        Taker::Nova => subset::only_at_root(schema, &["type", "properties", "required"]),
        Taker::OpenAi | Taker::Gemini | Taker::Other => Fitted::same(),
    }
}

/// Where the schema of a tool stands, in a caller's dialect.
fn schema_words(origin: Dialect) -> &'static str {
    match origin {
        Dialect::OpenAiChat => "function.parameters",
        Dialect::OpenAiResponses | Dialect::Gemini => "parameters",
        Dialect::AnthropicMessages => "input_schema",
        Dialect::BedrockConverse => "toolSpec.inputSchema.json",
    }
}

fn format(request: &mut Request, taker: Taker, target: &Target<'_>, asked: &mut Asked, losses: &mut Losses) {
    let path = request.origin.field(Field::Format);
    let Format::Schema { schema, strict, .. } = &mut request.format else { return };
    let Some(subset) = taker.strict() else { return };
    if taker == Taker::Claude && !messages::answers_in_form(target.model) {
        asked.answer_tool = answer_tool::offer(request, losses);
        return;
    }
    if taker == Taker::OpenAi && *strict != Some(true) {
        return;
    }
    let fitted = subset.fit(schema.text());
    match note(fitted, losses, |word| format!("{path}.{word}")) {
        Ok(Some(changed)) => *schema = Raw::new(changed),
        Ok(None) => {}
        Err(()) if taker == Taker::Claude => asked.answer_tool = answer_tool::offer(request, losses),
        Err(()) => {
            *strict = Some(false);
            losses.add(
                format_args!("{path}.strict"),
                "the provider cannot hold the model to this schema",
                Severity::Meaning,
            );
        }
    }
}

#[cfg(test)]
mod tests;
