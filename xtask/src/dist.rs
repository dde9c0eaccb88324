//! `cargo xtask dist`: builds the binary that is measured, arranged by how it runs under load. What is published
//! is built by `cargo xtask release`, without a profile, because a profile is of one machine.
//!
//! The compiler is told by a profile which branches are taken and which functions are cold, and puts what
//! every request runs close together (profile-guided optimisation). The profile comes from an instrumented
//! build under the loads of `bench`, and is kept: it stays good while the code changes little. It knows functions by
//! their names, and another version or setting of a crate renames all that use it: then a new one is recorded.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::bench;
use crate::command::{command, output, root, run, succeeds};

/// The loads that the binary is arranged for: those of the goals.
const LOADS: &str = "c1k l60 c100k c100k-signed sse-paced sse-burst translated-paced translated-burst";

/// Builds; `--train` records a new profile even if there is one.
pub fn run_command(arguments: &[String]) -> Result<()> {
    let train = match arguments {
        [] => false,
        [option] if option == "--train" => true,
        _ => bail!("usage: cargo xtask dist [--train]"),
    };
    let binary = build(train)?;
    println!("built {}", binary.display());
    Ok(())
}

/// The binary, built with the kept profile, or with a new one.
pub fn build(train: bool) -> Result<PathBuf> {
    let ground = Ground::new()?;
    if train || !ground.profile_fits()? {
        ground.train()?;
    }
    // What changed since the profile was recorded is compiled as if there were none.
    ground.compile(&format!(
        "-Cprofile-use={} -Cllvm-args=-pgo-warn-missing-function=false",
        ground.profile.display()
    ))
}

/// Where it is built, and with what.
struct Ground {
    folder: PathBuf,
    profile: PathBuf,
    host: String,
}

impl Ground {
    fn new() -> Result<Self> {
        let version = output(&mut command("rustc -vV"))?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.context("`rustc -vV` names no host")?.to_owned();
        let folder = root().join("target/tuned");
        Ok(Self { profile: folder.join("yumen.profdata"), folder, host })
    }

    /// Where it stands what the profile's names depend on.
    fn stamp(&self) -> PathBuf {
        self.profile.with_extension("names")
    }

    /// Whether there is a profile that knows the functions by the names which they have now.
    fn profile_fits(&self) -> Result<bool> {
        let known = std::fs::read_to_string(self.stamp()).unwrap_or_default();
        Ok(self.profile.exists() && known == names()?)
    }

    /// Compiles the gateway alone with these flags: with a target named, they do not reach build scripts.
    fn compile(&self, flags: &str) -> Result<PathBuf> {
        let mut cargo = command(&format!("cargo build -p yumen --profile dist --target {}", self.host));
        run(cargo.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", &self.folder))?;
        Ok(self.folder.join(&self.host).join("dist/yumen"))
    }

    /// Records a profile: an instrumented build under load, which leaves its counts when it ends.
    fn train(&self) -> Result<()> {
        let merge = profdata(&self.host)?;
        let counts = self.folder.join("counts");
        if counts.exists() {
            std::fs::remove_dir_all(&counts).context("old counts cannot be removed")?;
        }
        let binary = self.compile(&format!("-Cprofile-generate={}", counts.display()))?;
        let mut bench = bench::measuring(&binary, "instrumented")?;
        run(bench.args(["--rounds", "1"]).args(LOADS.split_whitespace()))?;
        run(Command::new(merge).arg("merge").arg("--output").arg(&self.profile).arg(&counts))?;
        std::fs::write(self.stamp(), names()?).context("cannot write down what the profile is of")
    }
}

/// What functions are named by besides the code: versions and settings of crates, and the compiler.
fn names() -> Result<String> {
    let read = |file: &str| {
        std::fs::read_to_string(root().join(file)).with_context(|| format!("cannot read {file}"))
    };
    Ok([read("Cargo.toml")?, read("Cargo.lock")?, output(&mut command("rustc -vV"))?].concat())
}

/// The toolchain's own tool for profiles: another version's may not read them.
fn profdata(host: &str) -> Result<PathBuf> {
    let libraries = output(&mut command(&format!("rustc --print target-libdir --target {host}")))?;
    let tool = Path::new(libraries.trim()).with_file_name("bin").join("llvm-profdata");
    if !tool.exists() && !succeeds("rustup component add llvm-tools") {
        bail!("{} is missing: `rustup component add llvm-tools` installs it", tool.display());
    }
    Ok(tool)
}
