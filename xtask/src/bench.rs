//! `cargo xtask bench`: builds the shipped binary and the tools, then lets crates/bench measure.
//!
//! This command knows nothing of cases or targets; it only builds and passes arguments on.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command::{command, root, run};
use crate::{dist, setup};

/// Measures; `--quick` takes the daily optimised build, which compiles faster than the shipped one.
pub fn run_command(arguments: &[String]) -> Result<()> {
    let (profile, binary) = if arguments.iter().any(|argument| argument == "--quick") {
        run(&mut command("cargo build -p yumen --profile quick"))?;
        ("quick", root().join("target/quick/yumen"))
    } else {
        ("dist", dist::build(false)?)
    };
    let mut bench = measuring(&binary, profile)?;
    run(bench.args(arguments.iter().filter(|argument| *argument != "--quick")))
}

/// Builds the tools, and gives the command that measures `binary`; cases and options follow.
pub fn measuring(binary: &Path, profile: &str) -> Result<Command> {
    setup::install()?;
    run(&mut command("cargo build -p bench --bin bench --profile quick"))?;
    let mut bench = Command::new(root().join("target/quick/bench"));
    bench.current_dir(root()).args(["measure", "--profile", profile, "--yumen"]).arg(binary);
    Ok(bench)
}
