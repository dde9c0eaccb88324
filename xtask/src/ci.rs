//! `cargo xtask ci`: everything that a change must pass, cheapest first, the tests last.
//!
//! The clean release build that is measured here is the first command of the README; its binary is
//! then the one under test, so that CI compiles the product once less.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::command::{command, output, root, run, step};
use crate::{codegen, deny, setup, test, tidy};

/// The budget: every crate more makes the first command of the README slower.
const MOST_CRATES: usize = 400;

/// The budget on two idle cores.
const BUILD_BUDGET: Duration = Duration::from_mins(8);

/// Where a run fails: machines of CI are shared, and their clock is not the product's fault.
const BUILD_LIMIT: Duration = Duration::from_mins(16);

/// Runs every check and prints what each one took.
pub fn run_command() -> Result<()> {
    let start = Instant::now();
    let mut times = Vec::new();
    let mut timed = |name: &'static str, work: &mut dyn FnMut() -> Result<()>| {
        step(name, work).map(|((), took)| times.push((name, took)))
    };
    timed("setup", &mut setup::install)?;
    timed("format", &mut || run(&mut command("cargo fmt --all --check")))?;
    timed("tidy", &mut tidy::run)?;
    timed("crates", &mut count_crates)?;
    timed("deny", &mut deny::check)?;
    timed("clippy", &mut || {
        run(&mut command("cargo clippy --workspace --all-targets --locked -- -D warnings"))
    })?;
    timed("codegen", &mut codegen::check)?;
    timed("clean release build", &mut build_release)?;
    let mut totals = test::Totals::default();
    timed("tests", &mut || {
        totals = test::run_with(&release_binary(), &[])?;
        Ok(())
    })?;
    println!();
    for (name, took) in times {
        println!("{name:>20} {:7.1} s", took.as_secs_f64());
    }
    println!("{:>20} {:7.1} s", "all", start.elapsed().as_secs_f64());
    println!("{totals}");
    Ok(())
}

/// Counts the crates that the binary is built from, build scripts' and macros' included.
fn count_crates() -> Result<()> {
    let listed =
        output(&mut command("cargo tree --locked -p yumen -e normal,build --prefix none --no-dedupe"))?;
    let crates: BTreeSet<&str> =
        listed.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty()).collect();
    println!("crates: {} of at most {MOST_CRATES}", crates.len());
    if crates.len() > MOST_CRATES {
        bail!("{} crates are {} too many", crates.len(), crates.len() - MOST_CRATES);
    }
    Ok(())
}

fn build_release() -> Result<()> {
    let folder = release_folder();
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    run(&mut command("cargo fetch --locked"))?;
    let start = Instant::now();
    run(command("cargo build --release --locked -p yumen --target-dir").arg(&folder))?;
    let took = start.elapsed();
    println!(
        "clean release build: {:.0} s, budget {} s on two idle cores",
        took.as_secs_f64(),
        BUILD_BUDGET.as_secs()
    );
    if took > BUILD_LIMIT {
        bail!("the clean release build took more than {} minutes", BUILD_LIMIT.as_secs() / 60);
    }
    Ok(())
}

fn release_folder() -> PathBuf {
    root().join("target/clean-release")
}

fn release_binary() -> PathBuf {
    release_folder().join("release/yumen")
}
