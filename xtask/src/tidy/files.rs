//! Rules over files: their length, their name, their place in a crate, their first line.

use std::collections::BTreeSet;

use super::scrub::{module_declared, module_files};
use super::tree::{Finding, Source, Tree};

/// The ceiling for a file, without its test modules.
const LONGEST_FILE: usize = 500;

/// The ceiling for a file of tests.
const LONGEST_TEST_FILE: usize = 1_000;

/// What the first line of a file says that may be longer than others.
const TABLE_MARK: &str = "able of one-line entries";

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "manager", "managers", "service", "services", "misc",
    "v2", "base", "stuff",
];

/// A file that cannot be read in one sitting is two files.
pub fn files_stay_short(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let tests = source.test.iter().filter(|test| **test).count();
        let product = source.test.len() - tests;
        let table = source.text.lines().next().is_some_and(|first| first.contains(TABLE_MARK));
        if product > LONGEST_FILE && !table {
            let message = format!("{product} lines without tests; the ceiling is {LONGEST_FILE}");
            findings.push(source.finding(LONGEST_FILE, message));
        } else if tests > LONGEST_TEST_FILE {
            let message = format!("{tests} lines of tests; the ceiling is {LONGEST_TEST_FILE}");
            findings.push(source.finding(LONGEST_TEST_FILE, message));
        }
    }
    findings
}

/// A file is named for its main item.
pub fn files_have_honest_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let folders = source.path.trim_end_matches(".rs").split('/');
        if let Some(word) = folders.flat_map(|part| part.split('_')).find(|word| EMPTY_NAMES.contains(word)) {
            findings
                .push(source.finding(1, format!("`{word}` says nothing: name the file for its main item")));
        }
    }
    findings
}

/// A file that no `mod` line names is not compiled, however finished it looks.
pub fn every_file_is_listed(tree: &Tree) -> Vec<Finding> {
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut waiting: Vec<&Source> = tree.sources.iter().filter(|source| is_root(&source.path)).collect();
    while let Some(source) = waiting.pop() {
        if !reached.insert(&source.path) {
            continue;
        }
        for module in modules(source) {
            waiting.extend(tree.sources.iter().filter(|other| module.contains(&other.path)));
        }
    }
    let unlisted = tree.sources.iter().filter(|source| !reached.contains(source.path.as_str()));
    unlisted.map(|source| source.finding(1, "no `mod` line names this file")).collect()
}

/// The places of every module that a file declares, `#[path]` included.
fn modules(source: &Source) -> Vec<Vec<String>> {
    let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let texts: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (number, line, _) in source.lines() {
        let Some(name) = module_declared(line) else {
            continue;
        };
        let above = number.checked_sub(2).and_then(|index| texts.get(index)).copied().unwrap_or_default();
        let path = above.trim().strip_prefix("#[path = \"").and_then(|path| path.strip_suffix("\"]"));
        found.push(path.map_or_else(
            || module_files(&source.path, name).to_vec(),
            |path| vec![normalised(&format!("{folder}/{path}"))],
        ));
    }
    found
}

fn normalised(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Files that cargo finds by itself.
fn is_root(path: &str) -> bool {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let in_source = folder.ends_with("/src") && matches!(file, "lib.rs" | "main.rs");
    let beside = ["/tests", "/benches", "/examples", "/src/bin"].iter().any(|place| folder.ends_with(place));
    let main_of_folder =
        file == "main.rs" && ["/tests/", "/examples/", "/src/bin/"].iter().any(|place| path.contains(place));
    in_source || beside || main_of_folder || file == "build.rs"
}

/// The module's documentation comes first and says what the file is for.
pub fn every_file_says_what_it_is_for(tree: &Tree) -> Vec<Finding> {
    let silent = tree.sources.iter().filter(|source| {
        let first = source.text.lines().find(|line| !line.starts_with("#!") && !line.trim().is_empty());
        !first.is_some_and(|first| first.starts_with("//! ") && first.len() > 12)
    });
    silent.map(|source| source.finding(1, "say in a `//!` line what this file is for")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn finds_a_long_file_but_not_long_tests_or_a_table() {
        let long = "fn a() {}\n".repeat(501);
        let table = format!("//! A table of one-line entries: codes.\n{long}");
        let tests = format!("fn b() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        let files = [
            ("crates/proxy/src/a.rs", long.as_str()),
            ("crates/proxy/src/b.rs", &table),
            ("crates/proxy/src/c.rs", &tests),
        ];
        check(files_stay_short, &files, &["crates/proxy/src/a.rs:500"]);
    }

    #[test]
    fn finds_a_file_of_tests_that_nobody_reads() {
        let long = "fn a() {}\n".repeat(1_001);
        check(files_stay_short, &[("crates/e2e/tests/a.rs", &long)], &["crates/e2e/tests/a.rs:1000"]);
    }

    #[test]
    fn finds_names_that_say_nothing() {
        let files = [
            ("crates/proxy/src/utils.rs", ""),
            ("crates/proxy/src/pool_manager.rs", ""),
            ("crates/proxy/src/common/a.rs", ""),
            ("crates/proxy/src/pool.rs", ""),
        ];
        let places = [
            "crates/proxy/src/utils.rs:1",
            "crates/proxy/src/pool_manager.rs:1",
            "crates/proxy/src/common/a.rs:1",
        ];
        check(files_have_honest_names, &files, &places);
    }

    #[test]
    fn finds_a_file_that_no_module_line_names() {
        let files = [
            ("crates/llm/src/lib.rs", "pub mod dialect;\n// mod lost;\n"),
            (
                "crates/llm/src/dialect/mod.rs",
                "mod chat;\n#[cfg(test)]\n#[path = \"../golden.rs\"]\nmod golden;\n",
            ),
            ("crates/llm/src/dialect/chat.rs", "mod request;\n"),
            ("crates/llm/src/dialect/chat/request.rs", ""),
            ("crates/llm/src/golden.rs", ""),
            ("crates/llm/src/lost.rs", ""),
            ("crates/llm/tests/corpus.rs", "mod recorded;\n"),
            ("crates/llm/tests/recorded/mod.rs", ""),
        ];
        check(every_file_is_listed, &files, &["crates/llm/src/lost.rs:1"]);
    }

    #[test]
    fn finds_a_file_that_does_not_say_what_it_is_for() {
        let files = [
            ("crates/llm/src/a.rs", "use b;\n"),
            ("crates/llm/src/c.rs", "//! Reads the terminal event of a stream.\nuse b;\n"),
        ];
        check(every_file_says_what_it_is_for, &files, &["crates/llm/src/a.rs:1"]);
    }
}
