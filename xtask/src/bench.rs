//! `cargo xtask bench`: builds the shipped binary and the tools, then lets crates/bench measure.
//!
//! This command knows nothing of cases or targets; it only builds and passes arguments on.

use std::process::Command;

use anyhow::Result;

use crate::command::{command, root, run};
use crate::{dist, setup};

/// Measures; `--quick` takes the daily optimised build, which compiles faster than the shipped one.
pub fn run_command(arguments: &[String]) -> Result<()> {
    setup::install()?;
    let (profile, binary) = if arguments.iter().any(|argument| argument == "--quick") {
        run(&mut command("cargo build -p yumen --profile quick"))?;
        ("quick", root().join("target/quick/yumen"))
    } else {
        ("dist", dist::build(false)?)
    };
    run(&mut command("cargo build -p bench --bin bench --profile quick"))?;
    let mut bench = Command::new(root().join("target/quick/bench"));
    bench.current_dir(root()).arg("measure").arg("--yumen").arg(binary);
    bench.args(["--profile", profile]);
    run(bench.args(arguments.iter().filter(|argument| *argument != "--quick")))
}
