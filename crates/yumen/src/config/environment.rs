//! Reads the environment and `.env` into given values. An unknown `YUMEN_` name is a problem.

use super::given::{Given, Layer};
use super::nearest::nearest;
use super::table::{SETTINGS, Setting};
use crate::problem::{Problem, Reason};

/// A variable: its name, its value, and its line when it comes from `.env`.
pub type Variable = (String, String, Option<usize>);

/// Names that begin with `YUMEN_` but are not settings of a running process: the server that commands ask, and
/// what tests read (the path of the corpus, the binary under test, the tier).
const NOT_SETTINGS: &[&str] = &["YUMEN_BIN", "YUMEN_CORPUS", "YUMEN_NIGHTLY", "YUMEN_URL"];

/// Names that other versions of this program or its predecessors read, and what holds instead.
const WITHOUT_EFFECT: &[(&str, &str)] =
    &[("REDIS_URL", "this version keeps limits and circuits in its own memory")];

/// Adds what the variables give to `given` and what is wrong with them to `problems`.
pub fn read(variables: &[Variable], layer: Layer, given: &mut Vec<Given>, problems: &mut Vec<Problem>) {
    for (name, value, line) in variables {
        let place = match line {
            Some(line) => format!(".env line {line}"),
            None => format!("environment variable {name}"),
        };
        match named(name) {
            _ if is_service_link(name, value) => {}
            // Platforms that cannot unset a variable set it to nothing. A secret that protects something is no such
            // thing: whoever set it to nothing believes that something is protected.
            Some(setting) if !value.trim().is_empty() || setting.protects() => {
                given.push(Given::new(setting.name, value.trim(), layer, place));
            }
            None if is_strange(name) => problems.push(unknown(name, &place)),
            Some(_) | None => {}
        }
    }
    refuse_postgres(variables, layer, given);
}

/// Sentences about variables that are set and do nothing.
pub fn without_effect(variables: &[Variable]) -> Vec<String> {
    let known = |name: &str| WITHOUT_EFFECT.iter().find(|(prefix, _)| name.starts_with(prefix));
    let set = variables.iter().filter(|(_, value, _)| !value.is_empty());
    set.filter_map(|(name, _, _)| {
        known(name).map(|(_, instead)| format!("{name} is set but not used: {instead}"))
    })
    .collect()
}

/// Reads `.env`: `NAME=value` lines, optional `export`, quotes, `#` comments.
pub fn parse_dotenv(text: &str, problems: &mut Vec<Problem>) -> Vec<Variable> {
    let mut variables = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let assignment = line.strip_prefix("export ").unwrap_or(line);
        match assignment.split_once('=').and_then(|(name, value)| Some((name.trim(), unquote(value.trim())?)))
        {
            Some((name, value)) => variables.push((name.to_owned(), value, Some(i + 1))),
            None => problems.push(Problem::refusal(
                Reason::DotEnv,
                format!(".env line {} cannot be read", i + 1),
                "it is not NAME=value, or a quote is not closed",
                "write NAME=value, with quotes around a value that holds spaces or #",
            )),
        }
    }
    variables
}

/// The value without its quotes or its trailing comment; `None` when a quote is not closed.
fn unquote(value: &str) -> Option<String> {
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let (inner, rest) = value[1..].split_once(quote)?;
            let rest = rest.trim();
            (rest.is_empty() || rest.starts_with('#')).then(|| inner.to_owned())
        }
        _ => Some(value.split(" #").next().unwrap_or(value).trim_end().to_owned()),
    }
}

fn named(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.plain.contains(&name) || setting.variable() == name)
}

/// Whether the name claims to be a setting and is none.
fn is_strange(name: &str) -> bool {
    name.starts_with("YUMEN_") && !NOT_SETTINGS.contains(&name)
}

/// Kubernetes gives every pod such variables for a Service that is called `yumen`
/// (kubernetes.io, "Accessing the Service", environment variables).
fn is_service_link(name: &str, value: &str) -> bool {
    name.starts_with("YUMEN_SERVICE_")
        || name.starts_with("YUMEN_PORT_")
        || (name == "YUMEN_PORT" && value.contains("://"))
}

/// The variables of PostgreSQL's image mean that somebody expects that database to be used.
fn refuse_postgres(variables: &[Variable], layer: Layer, given: &mut Vec<Given>) {
    let has_url = given.iter().any(|value| value.name == "database.url" && value.layer == layer);
    let postgres = variables.iter().find(|(name, value, _)| {
        matches!(name.as_str(), "POSTGRES_HOST" | "POSTGRES_DB" | "POSTGRES_URL") && !value.is_empty()
    });
    if let (false, Some((name, _, _))) = (has_url, postgres) {
        let place = format!("environment variable {name}");
        given.push(Given::new("database.url", "postgresql:", layer, place));
    }
}

fn unknown(name: &str, place: &str) -> Problem {
    let names: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
    let fix = match nearest(name, names.iter().map(String::as_str)) {
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
