//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md and STYLE.md, read off manifests and sources.
//!
//! Each rule is a function from the tree to findings, with a planted violation in its tests. Rules
//! know nothing of cargo or the compiler: what clippy can hold is held there.

pub mod documents;
mod files;
mod manifests;
mod scrub;
mod sources;
mod tree;

use anyhow::{Result, bail};

use crate::command;
use tree::{Finding, Tree};

type Rule = fn(&Tree) -> Vec<Finding>;

/// THE list of rules.
const RULES: &[Rule] = &[
    manifests::crates_depend_downwards,
    manifests::settings_come_from_the_workspace,
    manifests::codecs_have_no_runtime,
    sources::the_data_plane_never_names_the_store,
    sources::no_statement_is_put_together,
    sources::codecs_have_no_sockets_and_no_clock,
    sources::only_yumen_reads_the_environment,
    sources::only_egress_connects,
    sources::a_secret_cannot_be_printed,
    sources::money_is_never_a_float,
    sources::no_crate_has_unsafe_code,
    sources::nothing_is_unfinished,
    sources::no_test_is_ignored,
    sources::no_test_sleeps,
    sources::nothing_unwraps_outside_tests,
    files::files_stay_short,
    files::files_have_honest_names,
    files::every_file_is_listed,
    files::every_file_says_what_it_is_for,
    documents::no_text_names_a_machine,
    documents::links_lead_somewhere,
];

/// Prints every finding as `file:line: message`; any finding is a failure.
pub fn run() -> Result<()> {
    let tree = Tree::read(&command::root())?;
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    println!("tidy: {} rules, {} files", RULES.len(), tree.len());
    Ok(())
}

/// Asserts that a rule finds a planted violation at `expected` (`file:line`) and nothing else.
#[cfg(test)]
fn check(rule: Rule, files: &[(&str, &str)], expected: &[&str]) {
    let findings = rule(&Tree::planted(files));
    let places: Vec<String> =
        findings.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect();
    assert_eq!(places, expected, "{findings:?}");
}
