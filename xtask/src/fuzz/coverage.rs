//! `cargo xtask fuzz --coverage`: which lines of the modules that a target is for it reaches with its seeds and
//! with what it has found. Builds the targets once more, with the compiler's own counters.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Chosen, FLAGS, Folders, host};
use crate::command::{command, output, root, run};

/// Of a hundred lines of each target's modules, so many are to be reached.
const GOAL: f64 = 85.0;

/// The modules that each target is for, below `crates/llm/src`: a file, or a folder.
const MODULES: [(&str, &[&str]); 7] = [
    ("scanner", &["scanner.rs", "scanner/", "sse.rs", "array.rs", "dialect/"]),
    ("peek", &["peek.rs", "json.rs"]),
    ("chat", &["codec/chat/"]),
    ("responses", &["codec/responses/"]),
    ("messages", &["codec/messages/"]),
    ("gemini", &["codec/gemini/"]),
    ("converse", &["codec/converse/"]),
];

/// Lines of a target's modules: all, and those that were reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    all: u64,
    reached: u64,
}

impl Lines {
    #[expect(clippy::cast_precision_loss, reason = "lines of code are far fewer than 2^52")]
    fn percent(self) -> f64 {
        if self.all == 0 { 0.0 } else { 100.0 * self.reached as f64 / self.all as f64 }
    }
}

/// Prints the table of the targets chosen.
///
/// # Errors
/// When one reaches less than the goal.
pub(super) fn measure(chosen: &Chosen) -> Result<()> {
    let (host, tools) = (host()?, tools()?);
    let folder = root().join("target/fuzz-coverage");
    let mut build = command("cargo build --manifest-path fuzz/Cargo.toml --release --bins --target");
    build.arg(&host).env("RUSTFLAGS", format!("{FLAGS} -Cinstrument-coverage"));
    run(build.env("CARGO_TARGET_DIR", &folder))?;
    let mut table = Vec::new();
    for (name, words) in chosen {
        let binary = folder.join(&host).join("release").join(name);
        let inputs = Folders::of(name, words)?;
        let profile = folder.join(format!("{name}.profraw"));
        let mut target = Command::new(&binary);
        target.args(inputs.read()).args(["-runs=0", "-verbosity=0"]).env("LLVM_PROFILE_FILE", &profile);
        run(&mut target)?;
        let lines = lines(&tools, &binary, &profile, name)?;
        table.push((*name, lines));
    }
    println!("\n| target | lines | reached | of a hundred |\n|---|---|---|---|");
    for (name, lines) in &table {
        println!("| {name} | {} | {} | {:.1} |", lines.all, lines.reached, lines.percent());
    }
    let short: Vec<&str> =
        table.iter().filter(|(_, lines)| lines.percent() < GOAL).map(|(name, _)| *name).collect();
    if !short.is_empty() {
        bail!("below {GOAL} of a hundred: {}", short.join(", "));
    }
    Ok(())
}

/// The folder of the compiler's own tools (`rustup component add llvm-tools`).
fn tools() -> Result<PathBuf> {
    let libraries = output(&mut command("rustc --print target-libdir"))?;
    let folder = Path::new(libraries.trim()).with_file_name("bin");
    if !folder.join("llvm-cov").is_file() {
        bail!("llvm-cov is not there: `rustup component add llvm-tools` installs it");
    }
    Ok(folder)
}

fn lines(tools: &Path, binary: &Path, profile: &Path, target: &str) -> Result<Lines> {
    let merged = profile.with_extension("profdata");
    let mut merge = Command::new(tools.join("llvm-profdata"));
    run(merge.args(["merge", "-sparse"]).arg(profile).arg("-o").arg(&merged))?;
    let mut export = Command::new(tools.join("llvm-cov"));
    export.args(["export", "-summary-only"]).arg(binary).arg(format!("-instr-profile={}", merged.display()));
    let report: Value = serde_json::from_str(&output(&mut export)?).context("llvm-cov wrote no JSON")?;
    let (_, modules) = MODULES.iter().find(|(name, _)| *name == target).context("no modules are listed")?;
    Ok(count(&report, modules))
}

/// Adds up the files of the modules.
fn count(report: &Value, modules: &[&str]) -> Lines {
    let files = report["data"][0]["files"].as_array();
    let mut lines = Lines::default();
    for file in files.into_iter().flatten() {
        let path = file["filename"].as_str().unwrap_or_default();
        let Some((_, within)) = path.split_once("crates/llm/src/") else { continue };
        let is_one = |module: &&str| {
            if module.ends_with('/') { within.starts_with(*module) } else { within == *module }
        };
        if modules.iter().any(is_one) {
            lines.all += file["summary"]["lines"]["count"].as_u64().unwrap_or(0);
            lines.reached += file["summary"]["lines"]["covered"].as_u64().unwrap_or(0);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fuzz::TARGETS;

    #[test]
    fn every_target_has_modules_that_are_there() {
        let names = |list: &[(&'static str, &[&str])]| list.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(names(&MODULES), names(&TARGETS));
        for module in MODULES.iter().flat_map(|(_, modules)| *modules) {
            assert!(root().join("crates/llm/src").join(module).exists(), "{module}");
        }
    }

    #[test]
    fn lines_of_the_modules_alone_are_added_up() {
        let file = |name: &str, count: u64, covered: u64| {
            json!({"filename": format!("/x/crates/llm/src/{name}"), "summary": {"lines":
                {"count": count, "covered": covered}}})
        };
        let files = [file("scanner.rs", 10, 5), file("scanner/a.rs", 6, 6), file("scanner_not.rs", 9, 9)];
        let other =
            json!({"filename": "/x/other/scanner.rs", "summary": {"lines": {"count": 1, "covered": 1}}});
        let report = json!({"data": [{"files": [files[0], files[1], files[2], other]}]});
        let lines = count(&report, &["scanner.rs", "scanner/"]);
        assert_eq!(lines, Lines { all: 16, reached: 11 });
        assert!((lines.percent() - 68.75).abs() < 1e-9);
    }
}
