//! `cargo xtask test --clients`: installs real client programs, lets each work against a gateway, and writes
//! docs/clients.md from what they did. `--binary <path>` names a gateway that is built already.

use std::fmt::Write as _;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::command::{command, root, run};
use crate::setup;

/// Where the programs are installed: 2 GB that `cargo clean` removes.
const FOLDER: &str = "target/clients";
/// The gateway that is built where none is named.
const BINARY: &str = "target/quick/yumen";
/// What to install.
const SOURCES: [&str; 3] = ["package.json", "requirements.txt", "aider.txt"];
/// Environments of Python, each with the list of what is installed there.
const ENVIRONMENTS: [(&str, &str); 2] = [("venv", "requirements.txt"), ("aider", "aider.txt")];
/// What is written.
const PAGE: &str = "docs/clients.md";
/// What lines of the table begin with in the output of the tests.
const MARK: &str = "CLIENT ";

/// Installs the clients, runs their tests against `binary`, or one built for it, and writes the page.
pub fn run_command(binary: Option<&str>) -> Result<()> {
    setup::install()?;
    install()?;
    if binary.is_none() {
        run(&mut command("cargo build -p yumen --profile quick"))?;
    }
    let binary = root().join(binary.unwrap_or(BINARY));
    let mut cargo = command("cargo test -p e2e clients:: -- --nocapture --test-threads=1");
    let folder = root().join(FOLDER);
    cargo.env("YUMEN_CLIENTS", folder).env("YUMEN_BIN", binary);
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    if !output.status.success() {
        bail!("a client failed");
    }
    let page = page(&text);
    std::fs::write(root().join(PAGE), page).with_context(|| format!("cannot write {PAGE}"))?;
    println!("wrote {PAGE}");
    Ok(())
}

fn install() -> Result<()> {
    let folder = root().join(FOLDER);
    std::fs::create_dir_all(&folder).context("cannot make the folder of the clients")?;
    for source in SOURCES {
        std::fs::copy(root().join("tests/clients").join(source), folder.join(source))
            .with_context(|| format!("cannot copy {source}"))?;
    }
    run(command("npm install --no-audit --no-fund").current_dir(&folder))?;
    for (environment, list) in ENVIRONMENTS {
        let python = format!("{environment}/bin/python");
        if !folder.join(&python).exists() {
            run(command(&format!("python3 -m venv {environment}")).current_dir(&folder))?;
        }
        let pip = format!("{python} -m pip install --quiet --disable-pip-version-check -r {list}");
        run(command(&pip).current_dir(&folder))?;
    }
    Ok(())
}

/// The page, from what the tests printed.
fn page(output: &str) -> String {
    let mut rows: Vec<&str> =
        output.lines().filter_map(|line| line.find(MARK).map(|at| &line[at + MARK.len()..])).collect();
    rows.sort_unstable();
    rows.dedup();
    let mut page = String::from(
        "# Clients\n\nReal client programs and official SDKs, unmodified, each against a gateway whose account \
         speaks the\nprovider dialect of its row. Written by `cargo xtask test --clients`; it says what was \
         true of these versions,\nand is stale when a client or the gateway has changed since.\n\n\
         | client | version | caller dialect | provider dialect | verdict |\n|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(page, "{row}");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_wherever_the_test_runner_puts_them() {
        let output = "test a ... CLIENT | B | 2 | x | y | z |\nnoise\nCLIENT | A | 1 | x | y | z |\nCLIENT | A | 1 | x | y | z |\n";
        let page = page(output);
        assert!(page.ends_with("|---|\n| A | 1 | x | y | z |\n| B | 2 | x | y | z |\n"), "{page}");
    }
}
