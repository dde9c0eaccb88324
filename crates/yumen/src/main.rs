//! The `yumen` binary: reads the command line, runs the command, prints what it says.
//!
//! Exit code 0: done. 1: a problem was found. 2: bad usage, clap's own or a value that is not of its form.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser as _;
use yumen::cli::Cli;
use yumen::{commands, startup};

/// The system's allocator gives memory of finished streams back late; this one keeps idle memory small.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    startup::keep_memory_out_of_dumps();
    let cli = Cli::parse();
    let as_json = cli.json;
    match commands::run(cli) {
        Ok(output) => {
            say(std::io::stdout(), &output);
            ExitCode::SUCCESS
        }
        Err(problems) => {
            let report = commands::report(&problems, as_json);
            if as_json {
                say(std::io::stdout(), &report);
            } else {
                say(std::io::stderr(), &report);
            }
            ExitCode::from(if problems.iter().all(|problem| problem.is_misuse) { 2 } else { 1 })
        }
    }
}

/// Prints a text and a line feed. A reader that has gone away is no failure of the command.
fn say(mut to: impl Write, text: &str) {
    if !text.is_empty() {
        let _ = writeln!(to, "{text}");
    }
}
