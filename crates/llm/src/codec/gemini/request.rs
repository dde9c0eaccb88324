//! Reads a request.

use model::Rejection;

use super::{OWN, content, each, member, member_text, schema_in};
use crate::codec::{Addressed, invalid, read, unsupported};
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{
    Block, Effort, Ext, Format, Part, Raw, Request, Role, Thinking, Tool, ToolChoice, ToolKind, Turn,
};

/// Reads a request to Gemini.
pub(super) fn decode(body: &str, addressed: &Addressed<'_>) -> Result<Request, Rejection> {
    let mut request = Request::new(OWN, addressed.model);
    request.stream = addressed.stream;
    request.include_usage = true;
    let (mut contents, mut cached) = (None, false);
    each(body, |key, name, value| match key {
        _ if value == "null" => {}
        "contents" => contents = Some(value),
        "cachedcontent" => cached = true,
        "systeminstruction" => instructions(value, &mut request),
        "tools" => members::elements(value).into_iter().for_each(|raw| tools(raw, &mut request)),
        "toolconfig" => tool_config(value, &mut request),
        "generationconfig" => config(value, &mut request),
        "servicetier" => request.tier = read::text_if(value).map(|word| tier(&word)),
        "model" => {}
        _ => request.ext.keep(OWN, name, value),
    })
    .map_err(|_| invalid("The request body is not a JSON object.", ""))?;
    if cached {
        let message = "`cachedContent` needs an account that speaks Gemini and keeps the content.";
        return Err(unsupported(message, "cachedContent"));
    }
    let contents = contents.ok_or_else(|| invalid("The field `contents` is missing.", "contents"))?;
    match contents.as_bytes().first() {
        Some(b'[') => {
            for (place, raw) in members::elements(contents).into_iter().enumerate() {
                add(&mut request, content::turn(raw, place));
            }
        }
        Some(b'{') => add(&mut request, content::turn(contents, 0)),
        _ => return Err(invalid("The field `contents` must be an array.", "contents")),
    }
    Ok(request)
}

/// A turn; instructions that lead are that, wherever they stand.
fn add(request: &mut Request, turn: Turn) {
    let instructs = turn.role == Role::System && request.turns.is_empty();
    if instructs { request.instructions.push(turn) } else { request.turns.push(turn) }
}

fn instructions(raw: &str, request: &mut Request) {
    let parts = match read::text_if(raw) {
        Some(text) => vec![Part::text(text)],
        None => content::parts(member(raw, "parts").unwrap_or("[]")),
    };
    let said = |part: &Part| !matches!(&part.block, Block::Text(text) if text.text.is_empty());
    let parts: Vec<Part> = parts.into_iter().filter(said).collect();
    if !parts.is_empty() {
        request.instructions.push(Turn::new(Role::System, parts, 0));
    }
}

/// The tier as others say it: in small letters, without the name of the list it is of.
fn tier(word: &str) -> String {
    let word = word.to_ascii_lowercase();
    match word.strip_prefix("service_tier_").unwrap_or(&word) {
        "unspecified" => "auto".to_owned(),
        tier => tier.to_owned(),
    }
}

fn blank(name: &str, kind: ToolKind) -> Tool {
    Tool {
        kind,
        name: name.to_owned(),
        description: None,
        schema: None,
        strict: None,
        cache: None,
        ext: Ext::default(),
    }
}

/// One entry of `tools`: functions, or one of Google's own.
fn tools(raw: &str, request: &mut Request) {
    let _ = each(raw, |key, name, value| match key {
        _ if value == "null" => {}
        "functiondeclarations" => {
            request.tools.extend(members::elements(value).into_iter().map(function));
        }
        "googlesearch" | "googlesearchretrieval" => {
            let mut tool = blank("google_search", ToolKind::WebSearch);
            let _ = members::each(value, |name, value| tool.ext.keep(OWN, name, value));
            request.tools.push(tool);
        }
        _ => {
            let mut whole = JsonWriter::new();
            whole.object(|json| json.raw_member(name, value));
            let whole = whole.into_string();
            request.tools.push(blank(name, ToolKind::Foreign(OWN, Raw::new(whole))));
        }
    });
}

fn function(raw: &str) -> Tool {
    let mut tool = blank("", ToolKind::Function);
    let _ = each(raw, |key, name, value| match key {
        _ if value == "null" => {}
        "name" => tool.name = read::text(value),
        "description" => tool.description = read::text_if(value),
        "parametersjsonschema" => tool.schema = read::said(value),
        "parameters" if tool.schema.is_none() => tool.schema = Some(Raw::new(schema_in::json_schema(value))),
        "parameters" => {}
        _ => tool.ext.keep(OWN, name, value),
    });
    tool
}

fn tool_config(raw: &str, request: &mut Request) {
    let Some(calling) = member(raw, "functioncallingconfig") else {
        return request.ext.keep(OWN, "toolConfig", raw);
    };
    let names = read::texts(member(calling, "allowedfunctionnames").unwrap_or("[]"));
    let mode = member_text(calling, "mode").unwrap_or_default().to_ascii_uppercase();
    request.tool_choice = match (mode.as_str(), names.len()) {
        ("NONE", _) => Some(ToolChoice::None),
        ("ANY", 0) => Some(ToolChoice::Required),
        ("ANY", 1) => names.into_iter().next().map(ToolChoice::Named),
        ("ANY", _) => Some(ToolChoice::Among { names, required: true }),
        ("AUTO" | "VALIDATED" | "MODE_UNSPECIFIED", 0) => Some(ToolChoice::Auto),
        (_, 0) => None,
        _ => Some(ToolChoice::Among { names, required: false }),
    };
}

fn config(raw: &str, request: &mut Request) {
    let (mut mime, mut schema, mut likely, mut top) = (None, None, false, None);
    let _ = each(raw, |key, name, value| match key {
        _ if value == "null" => {}
        "maxoutputtokens" => request.max_output = read::count(value),
        "temperature" => request.sampling.temperature = read::said(value),
        "topp" => request.sampling.top_p = read::said(value),
        "topk" => request.sampling.top_k = read::said(value),
        "seed" => request.sampling.seed = read::said(value),
        "presencepenalty" => request.sampling.presence_penalty = read::said(value),
        "frequencypenalty" => request.sampling.frequency_penalty = read::said(value),
        "stopsequences" => request.sampling.stop = read::texts(value),
        "candidatecount" => {
            request.choices = read::count(value).and_then(|n| u32::try_from(n).ok()).unwrap_or(1).max(1);
        }
        "responselogprobs" => likely = value == "true",
        "logprobs" => top = Some(value),
        "responsemimetype" => mime = read::text_if(value),
        "responsejsonschema" => schema = Some(Raw::new(value)),
        "responseschema" => schema = schema.take().or_else(|| Some(Raw::new(schema_in::json_schema(value)))),
        "thinkingconfig" => thinking(value, request),
        _ => request.ext.keep(OWN, &format!("generationConfig.{name}"), value),
    });
    match (likely, top) {
        (true, top) => request.sampling.logprobs = Some(top.and_then(read::count).unwrap_or(0)),
        (false, Some(top)) => request.ext.keep(OWN, "generationConfig.logprobs", top),
        (false, None) => {}
    }
    request.format = match (mime.as_deref(), schema) {
        (_, Some(schema)) => Format::Schema { name: None, description: None, schema, strict: None },
        (Some("application/json"), None) => Format::Json,
        _ => Format::Text,
    };
}

fn thinking(raw: &str, request: &mut Request) {
    let wish = &mut request.reasoning;
    let _ = each(raw, |key, name, value| match key {
        _ if value == "null" => {}
        "includethoughts" => wish.shown = read::flag(value),
        "thinkinglevel" => {
            let word = read::text(value).to_ascii_lowercase();
            wish.effort = Effort::parse(word.trim_start_matches("thinking_level_"));
        }
        "thinkingbudget" => match value.parse::<i64>() {
            Ok(0) => wish.thinking = Some(Thinking::Off),
            Ok(budget) if budget < 0 => wish.thinking = Some(Thinking::Adaptive),
            Ok(budget) => wish.budget = u64::try_from(budget).ok(),
            Err(_) => {}
        },
        _ => wish.ext.keep(OWN, name, value),
    });
}
