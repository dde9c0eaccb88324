//! `cargo xtask codegen`: reference pages derived from the tables of the product.
//!
//! The pages are printed by the `reference` program of crates/bench, which may name the product's
//! crates; this command only keeps the files in step with it.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::command::{command, output, root};

/// THE list of generated files, each with the argument that prints it.
const PAGES: &[(&str, &str)] = &[
    ("docs/reference/codes.md", "codes"),
    ("docs/reference/metrics.md", "metrics"),
    ("docs/reference/openapi.json", "openapi"),
];

/// Writes the pages, or with `--check` fails when one is stale.
pub fn run_command(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--check") {
        return check();
    }
    for (path, page) in PAGES {
        let text = generate(page)?;
        let path = root().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Fails when a committed page differs from what its table says.
pub fn check() -> Result<()> {
    for (path, page) in PAGES {
        let committed = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        if committed != generate(page)? {
            bail!("{path} is stale: run `cargo xtask codegen` and commit it");
        }
        println!("{path} is current");
    }
    Ok(())
}

fn generate(page: &str) -> Result<String> {
    output(command("cargo run --quiet --locked -p bench --bin reference --").arg(page))
}
