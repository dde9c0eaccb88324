//! What answers repeat of the request.

use super::{OWN, request_out, tools};
use crate::json_writer::JsonWriter;
use crate::neutral::{Ext, Losses, Raw, Request};

/// The members of a request that the response object repeats, in OpenAI's order, defaults filled in.
pub(in crate::codec) fn echo(request: &Request) -> Ext {
    let mut ext = Ext::default();
    if request.origin != OWN {
        return ext;
    }
    let number = |raw: &Option<Raw>, usual: &str| raw.as_ref().map_or(usual, Raw::text).to_owned();
    let most = request.max_output.map_or_else(|| "null".to_owned(), |most| most.to_string());
    let own = |name: &str, usual: &str| request.ext.get(OWN, name).map_or(usual, Raw::text).to_owned();
    let choice = written(|json| match &request.tool_choice {
        Some(choice) => tools::write_choice(json, choice, request),
        None => json.text("auto"),
    });
    let offered = written(|json| {
        let mut losses = Losses::default();
        json.array(|json| {
            request.tools.iter().for_each(|tool| tools::write_tool(json, tool, request, &mut losses));
        });
    });
    let text = written(|json| {
        json.object(|json| {
            if request.format == crate::neutral::Format::Text {
                json.raw_member("format", r#"{"type":"text"}"#);
            }
            request_out::write_format(json, &request.format);
            json.text_member_if("verbosity", request.verbosity.as_deref());
        });
    });
    let reasoning = written(|json| {
        json.object(|json| {
            let effort = request.reasoning.effort.map(crate::neutral::Effort::name);
            json.key("effort");
            match effort {
                Some(effort) => json.text(effort),
                None => json.raw("null"),
            }
        });
    });
    for (name, value) in [
        ("instructions", instructions(request)),
        ("max_output_tokens", most),
        ("metadata", own("metadata", "{}")),
        ("parallel_tool_calls", request.parallel_tools.unwrap_or(true).to_string()),
        ("previous_response_id", "null".to_owned()),
        ("reasoning", reasoning),
        ("store", own("store", "false")),
        ("temperature", number(&request.sampling.temperature, "1")),
        ("text", text),
        ("tool_choice", choice),
        ("tools", offered),
        ("top_p", number(&request.sampling.top_p, "1")),
        ("truncation", own("truncation", "\"disabled\"")),
    ] {
        ext.keep(OWN, name, &value);
    }
    ext
}

/// The instructions, where they came as such and as one text.
fn instructions(request: &Request) -> String {
    let first = request.instructions.first().filter(|turn| turn.role == crate::neutral::Role::System);
    let text = first.and_then(|turn| match &turn.parts[..] {
        [crate::neutral::Part { block: crate::neutral::Block::Text(text), .. }] => Some(&text.text),
        _ => None,
    });
    written(|json| match text {
        Some(text) => json.text(text),
        None => json.raw("null"),
    })
}

fn written(write: impl FnOnce(&mut JsonWriter)) -> String {
    let mut json = JsonWriter::new();
    write(&mut json);
    json.into_string()
}
