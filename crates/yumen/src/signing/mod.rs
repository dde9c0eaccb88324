//! `yumen sign`: signs a request, shows each step of it, or checks somebody's signature. Offline: it talks to
//! nobody and looks nothing up.

mod explain;
mod flags;
mod request;
mod verify;

pub use flags::Sign;

use serde_json::{Value, json};

use crate::problem::Problem;
use crate::system_clock::SystemClock;
use request::Draft;

/// Runs the command.
///
/// # Errors
/// What is missing or malformed; with `--verify`, why the signature does not hold.
pub fn run(sign: &Sign, as_json: bool) -> Result<String, Vec<Problem>> {
    let now_ms = model::Clock::now_ms(&SystemClock);
    act(sign, as_json, now_ms).map_err(|problem| vec![problem])
}

fn act(sign: &Sign, as_json: bool, now_ms: u64) -> Result<String, Problem> {
    let draft = Draft::of(sign)?;
    if sign.verify {
        return verify::verify(sign, &draft, now_ms).map(|report| said(&report, as_json));
    }
    let signed = draft.sign(sign, now_ms)?;
    if sign.explain {
        return Ok(said(&explain::signed(&draft, &signed), as_json));
    }
    if as_json {
        let headers: serde_json::Map<String, Value> =
            signed.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        return Ok(json!({"scheme": sign.scheme.name(), "headers": headers}).to_string());
    }
    if sign.curl {
        return Ok(signed.curl(&draft, sign));
    }
    Ok(signed.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n"))
}

/// A report, line by line: what each step is called and what came of it.
type Report = Vec<(&'static str, String)>;

fn said(report: &Report, as_json: bool) -> String {
    if as_json {
        let members: serde_json::Map<String, Value> = report
            .iter()
            .map(|(name, value)| (name.replace(' ', "_"), Value::String(value.clone())))
            .collect();
        return Value::Object(members).to_string();
    }
    let indented = |value: &str| value.replace('\n', "\n    ");
    report
        .iter()
        .map(|(name, value)| format!("{name}:\n    {}", indented(value)))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests;
