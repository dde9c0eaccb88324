//! A table: faults of the event stream, with their nearest kin for answers that are not streamed.

use super::{Case, ERROR, Expectation, Fault};
use crate::canned;
use crate::script::Script;
use crate::surface::Dialect;

pub(super) const FAULTS: &[Fault] = &[
    Fault::new("mixes its line ends", mixed_line_ends, |_| Expectation::whole()),
    Fault::new("says that it is done twice", done_twice, whole_or_either),
    Fault::new("sends data after it was done", data_after_done, whole_or_either),
    Fault::new("sends comments between its frames", comments, |_| Expectation::whole()),
    Fault::new("sends fields that nobody knows", unknown_fields, |_| Expectation::whole()),
    Fault::new("reports an error before any content", error_first, |_| Expectation::bad_gateway(ERROR)),
    Fault::new("reports an error after content", error_after, |case| {
        if case.stream { Expectation::broken_off(ERROR) } else { Expectation::bad_gateway(ERROR) }
    }),
    Fault::new("opens and closes without content", opens_and_closes, |_| {
        Expectation::broken_off(&["UPSTREAM_ERROR", "UPSTREAM_INVALID_RESPONSE"])
    }),
];

/// Without a stream the same bytes are trailing garbage, which may be refused.
fn whole_or_either(case: &Case) -> Expectation {
    if case.stream { Expectation::whole() } else { Expectation::either(&["UPSTREAM_INVALID_RESPONSE"]) }
}

fn sized(case: &Case, body: String) -> Script {
    case.sized_head(body.len()).send(body)
}

fn mixed_line_ends(case: &Case) -> Script {
    let ends = ["\n", "\r\n", "\r"];
    let mixed = |(number, frame): (usize, &String)| frame.replace('\n', ends[number % ends.len()]);
    let body: String = case.frames().iter().enumerate().map(mixed).collect();
    // A terminal frame that ends in a lone CR is complete only once the next byte is known.
    sized(case, if case.stream { body + "\n" } else { body })
}

fn done_twice(case: &Case) -> Script {
    let frames = case.frames();
    let last = frames.last().cloned().unwrap_or_default();
    sized(case, frames.concat() + &last)
}

fn data_after_done(case: &Case) -> Script {
    let after = if case.stream { "data: {\"late\":true}\n\n" } else { "\n\n" };
    sized(case, case.frames().concat() + after)
}

fn comments(case: &Case) -> Script {
    if !case.stream {
        let spaced = case.frames().concat().replace("\":", "\" :\n\t");
        return sized(case, spaced);
    }
    let frames = case.frames();
    let commented = frames.iter().map(|frame| format!(": PROCESSING\n\n{frame}"));
    sized(case, commented.collect())
}

fn unknown_fields(case: &Case) -> Script {
    let whole = case.frames().concat();
    if case.stream {
        return sized(
            case,
            whole.replace("data: {", "id: 7\nretry: 10\nx-field: y\ndata: {\"x_unknown\":[1e400],"),
        );
    }
    sized(case, whole.replacen('{', "{\"x_unknown\":{\"deep\":[[[null]]]},", 1))
}

fn error_first(case: &Case) -> Script {
    let dialect = case.surface.dialect;
    let kind = error_kind(dialect);
    if case.stream {
        sized(case, case.opening() + &canned::error_frame(dialect, kind, "it broke"))
    } else {
        canned::json_answer(200, &[], &canned::error_body(dialect, kind, "it broke"))
    }
}

fn error_after(case: &Case) -> Script {
    let dialect = case.surface.dialect;
    let kind = error_kind(dialect);
    if case.stream {
        sized(case, case.beginning() + &canned::error_frame(dialect, kind, "it broke"))
    } else {
        canned::json_answer(500, &[], &canned::error_body(dialect, kind, "it broke"))
    }
}

fn error_kind(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi | Dialect::Gemini => "server_error",
        Dialect::Anthropic => "api_error",
    }
}

fn opens_and_closes(case: &Case) -> Script {
    let beginning = if case.stream { case.opening() } else { "{".to_owned() };
    case.chunked_head().chunk(beginning).last_chunk()
}
