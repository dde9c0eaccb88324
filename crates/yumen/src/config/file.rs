//! Reads `yumen.toml` into given values. An unknown name is a problem with its line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::given::{Given, Layer};
use super::nearest::nearest;
use super::table::{SETTINGS, find};
use crate::problem::{Problem, Reason};

/// The file being read.
struct Source<'a> {
    name: String,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> String {
        let line =
            self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1;
        format!("{} line {line}", self.name)
    }
}

/// Adds what the file gives to `given` and what is wrong with it to `problems`.
pub fn read(path: &Path, text: &str, given: &mut Vec<Given>, problems: &mut Vec<Problem>) {
    let source = Source { name: path.display().to_string(), text };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let place = error.span().map_or_else(|| source.name.clone(), |span| source.place(span.start));
            problems.push(Problem::refusal(
                Reason::NotToml,
                format!("{place} is not TOML"),
                error.message(),
                "write it as KEY = VALUE, text in quotes",
            ));
            return;
        }
    };
    for (key, value) in table.get_ref() {
        match value.get_ref() {
            DeValue::Table(section) => {
                for (inner, value) in section {
                    let name = format!("{}.{}", key.get_ref(), inner.get_ref());
                    take(&source, (&name, inner.span().start), value, (given, problems));
                }
            }
            _ => take(&source, (key.get_ref(), key.span().start), value, (given, problems)),
        }
    }
}

fn take(
    source: &Source<'_>,
    key: (&str, usize),
    value: &Spanned<DeValue<'_>>,
    out: (&mut Vec<Given>, &mut Vec<Problem>),
) {
    let (name, offset) = key;
    let (given, problems) = out;
    let place = source.place(offset);
    let Some(setting) = find(name) else {
        problems.push(unknown(name, &place));
        return;
    };
    match as_text(value.get_ref()) {
        Some(text) => given.push(Given::new(setting.name, &text, Layer::File, place)),
        None => problems.push(Problem::refusal(
            Reason::Setting,
            format!("setting {name} cannot be used ({place})"),
            format!("a {} does not fit", value.get_ref().type_str()),
            "write text in quotes, a number, true or false, or a list of texts",
        )),
    }
}

/// Any plain value as text; lists of texts joined with commas.
fn as_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok().map(|n| n.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
            texts.map(|texts| texts.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

fn unknown(name: &str, place: &str) -> Problem {
    let fix = match nearest(name, SETTINGS.iter().map(|setting| setting.name)) {
        Some(known) => format!("did you mean {known}?"),
        None => "remove it; `yumen config check --help` lists the settings".to_owned(),
    };
    Problem::refusal(
        Reason::UnknownSetting,
        format!("unknown setting {name} ({place})"),
        "there is no setting of that name",
        fix,
    )
}
