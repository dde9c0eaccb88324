//! `cargo xtask test`: the binary, then every test of the workspace, then the totals.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::command::{command, root, run};
use crate::setup;

/// Runs the tests whose names contain one of the filters, or all; `--nightly` adds the long ones.
pub fn run_command(arguments: &[String]) -> Result<()> {
    setup::install()?;
    run(&mut command("cargo build -p yumen --profile quick"))?;
    let totals = run_with(&root().join("target/quick/yumen"), arguments)?;
    println!("{totals}");
    Ok(())
}

/// Runs the tests against a binary that is built already; at least one must run, and all must pass.
pub fn run_with(binary: &Path, arguments: &[String]) -> Result<Totals> {
    let nightly = arguments.iter().any(|argument| argument == "--nightly");
    let filters: Vec<&String> = arguments.iter().filter(|argument| *argument != "--nightly").collect();
    let mut cargo = command("cargo test --workspace --no-fail-fast");
    cargo.arg("--").args(filters).env("YUMEN_BIN", absolute(binary)).stdout(Stdio::piped());
    if nightly {
        cargo.env("YUMEN_NIGHTLY", "1");
    }
    let start = Instant::now();
    println!("$ cargo test --workspace");
    let mut child = cargo.spawn().context("cannot start cargo")?;
    let mut totals = Totals::default();
    for line in BufReader::new(child.stdout.take().context("cargo has an output")?).lines() {
        let line = line.context("cannot read what cargo printed")?;
        println!("{line}");
        totals.add(&line);
    }
    let status = child.wait().context("cannot wait for cargo")?;
    println!("\ntests took {:.0} s", start.elapsed().as_secs_f64());
    if !status.success() {
        bail!("the tests failed: {totals}");
    }
    if totals.passed == 0 {
        bail!("no test ran");
    }
    Ok(totals)
}

fn absolute(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_path_buf() } else { root().join(path) }
}

/// The sum of cargo's `test result:` lines.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    passed: u64,
    failed: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} passed, {} failed", self.passed, self.failed)
    }
}

impl Totals {
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        self.passed += count(result, "passed");
        self.failed += count(result, "failed");
    }
}

fn count(result: &str, word: &str) -> u64 {
    let words: Vec<&str> = result.split([' ', ';']).collect();
    let at = words.iter().position(|found| *found == word);
    at.and_then(|at| words.get(at.checked_sub(1)?)?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_what_cargo_prints() {
        let mut totals = Totals::default();
        totals.add(
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.1s",
        );
        totals.add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        totals.add("test a::passed ... ok");
        assert_eq!(totals, Totals { passed: 13, failed: 2 });
    }
}
