//! The project's automation: `cargo xtask <command>`.
//!
//! Depends on nothing of the product, so that it compiles in seconds and can judge a tree that
//! does not. Each command is one file; this one only chooses between them.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its terminal")]

mod bench;
mod ci;
mod clients;
mod codegen;
mod command;
mod deny;
mod dist;
mod fuzz;
mod release;
mod setup;
mod test;
mod tidy;
mod trust;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask <command>

  setup                              install what the tests need
  test [--nightly] [filter...]       build the binary, run the tests
  test --clients [--binary PATH]     install real client programs, run them, write docs/clients.md
  trust-report                       write docs/trust-report.md from what the tests last proved
  tidy                               check layers, sizes and names
  codegen [--check]                  write the generated reference pages, or fail when they are stale
  bench [case...] [--rounds N] [--quick] [--enforce] [--write]
                                     measure against nginx and the targets
  dist [--train]                     build what is measured, arranged by a profile of its loads
  fuzz [target...] [--seconds N]     look for input that breaks readers and translators
  fuzz --coverage [target...]        which of their lines the seeds and what was found reach
  release [--profile NAME]           build what is shipped twice, compare, list what is in it
  ci                                 everything that a change must pass
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("setup") => setup::run_command(),
        Some("test") if rest.first().is_some_and(|first| first == "--clients") => match &rest[1..] {
            [] => clients::run_command(None),
            [option, path] if option == "--binary" => clients::run_command(Some(path)),
            _ => {
                eprint!("{USAGE}");
                return ExitCode::from(2);
            }
        },
        Some("test") => test::run_command(rest),
        Some("trust-report") => trust::run_command(),
        Some("tidy") => tidy::run(),
        Some("codegen") => codegen::run_command(rest),
        Some("bench") => bench::run_command(rest),
        Some("dist") => dist::run_command(rest),
        Some("fuzz") => fuzz::run_command(rest),
        Some("release") => match rest {
            [] => release::run_command(None),
            [option, profile] if option == "--profile" => release::run_command(Some(profile)),
            _ => {
                eprint!("{USAGE}");
                return ExitCode::from(2);
            }
        },
        Some("ci") => ci::run_command(),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
