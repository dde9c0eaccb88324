//! What each command does. A command returns what it has to say; it is printed in one place, `main`.

pub mod audit;
pub mod completions;
pub mod config;
pub mod data;
pub mod db;
pub mod serve;
pub mod user;

use std::path::Path;

use model::Secret;
use serde_json::json;

use crate::cli::{Cli, Command};
use crate::config::{Inputs, Loaded};
use crate::nouns;
use crate::problem::Problem;
use crate::signing;

/// Runs a command to its end and returns its output, without the last line feed.
///
/// # Errors
/// What the operator has to change: exit code 1.
pub fn run(cli: Cli) -> Result<String, Vec<Problem>> {
    match cli.command {
        Command::Serve(flags) => {
            let loaded = load(flags.config.as_deref(), flags.settings())?;
            let options = serve::Options { demo: flags.demo, ready_json: flags.ready_json };
            serve::run(loaded, options).map(|()| String::new()).map_err(|problem| vec![problem])
        }
        Command::Config(command) => config::run(&command, cli.json),
        Command::Noun(command) => nouns::run(&command, cli.json),
        Command::Sign(sign) => signing::run(&sign, cli.json),
        Command::Audit(command) => audit::run(&command, cli.json),
        Command::Db(command) => db::run(command, cli.json),
        Command::Completions { shell } => Ok(completions::script(shell)),
        Command::Version => Ok(version(cli.json)),
    }
}

/// Reads and checks the configuration of a command.
///
/// # Errors
/// Every problem found.
pub fn load(config: Option<&Path>, flags: Vec<(&'static str, String)>) -> Result<Loaded, Vec<Problem>> {
    Inputs::gather(config, flags).map_err(|problem| vec![problem])?.load()
}

/// Problems as `main` prints them: on standard error for people, on standard output as JSON.
#[must_use]
pub fn report(problems: &[Problem], as_json: bool) -> String {
    if as_json {
        let problems: Vec<_> = problems.iter().map(Problem::to_json).collect();
        return json!({"ok": false, "problems": problems}).to_string();
    }
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// A secret from a file, or from standard input for `-`, without the line end.
///
/// # Errors
/// The file cannot be read, or holds nothing.
pub fn secret_file(path: &Path) -> Result<Secret<String>, Problem> {
    let read = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin().lock())
    } else {
        std::fs::read_to_string(path)
    };
    let failed = |cause: String| {
        Problem::new(
            format!("cannot read the secret in {}", path.display()),
            cause,
            "give a file that holds it alone",
        )
    };
    let text = Secret::new(read.map_err(|error| failed(error.to_string()))?);
    match text.expose().trim_end_matches(['\r', '\n']) {
        "" => Err(failed("it is empty".to_owned())),
        secret => Ok(Secret::new(secret.to_owned())),
    }
}

fn version(as_json: bool) -> String {
    let version = env!("CARGO_PKG_VERSION");
    if as_json { json!({"version": version}).to_string() } else { format!("yumen {version}") }
}
