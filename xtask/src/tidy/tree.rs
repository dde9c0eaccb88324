//! What tidy reads: the repository's own files, sorted into sources, manifests and other texts.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};

use super::scrub;
use crate::command;

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub path: String,
    pub line: usize,
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// One text file, addressed from the repository's root.
pub struct File {
    pub path: String,
    pub text: String,
}

/// One Rust file, with its comments and literals blanked and its test lines marked.
pub struct Source {
    pub path: String,
    pub text: String,
    /// The text with comments and the insides of literals replaced by spaces; the lines stay.
    pub code: String,
    /// For each line, whether it belongs to a test.
    pub test: Vec<bool>,
}

/// One crate's manifest.
pub struct Manifest {
    pub path: String,
    /// The folder's name; for `crates/x` also the package's.
    pub name: String,
    pub text: String,
    pub table: toml::Table,
}

/// The repository's own files.
pub struct Tree {
    pub files: Vec<File>,
    pub sources: Vec<Source>,
    pub manifests: Vec<Manifest>,
}

impl Tree {
    /// Reads every file that git tracks or would track; files that are not text are left out.
    pub fn read(root: &Path) -> Result<Self> {
        let listed = command::output(&mut command::command("git ls-files -co --exclude-standard"))?;
        let mut files = Vec::new();
        for path in listed.lines() {
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                files.push(File { path: path.to_owned(), text });
            }
        }
        Self::sorted(files)
    }

    fn sorted(files: Vec<File>) -> Result<Self> {
        let mut sources = Vec::new();
        let mut manifests = Vec::new();
        for File { path, text } in &files {
            // Not of the workspace: no rule about its crates is about this one.
            if path.starts_with("fuzz/") {
                continue;
            }
            let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
            if extension == Some("rs") {
                sources.push(Source::new(path, text));
            }
            if let Some(folder) = path.strip_suffix("/Cargo.toml") {
                let name = folder.rsplit('/').next().unwrap_or(folder).to_owned();
                let table = text.parse().with_context(|| format!("{path} is not TOML"))?;
                manifests.push(Manifest { path: path.clone(), name, text: text.clone(), table });
            }
        }
        mark_files_of_test_modules(&mut sources);
        Ok(Self { files, sources, manifests })
    }

    /// How many files were read.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// A tree of given files, for the rules' own tests.
    #[cfg(test)]
    pub fn planted(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File { path: (*path).into(), text: (*text).into() });
        Self::sorted(files.collect()).expect("planted files parse")
    }
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let code = scrub::scrub(text);
        let mut test = scrub::test_lines(&code);
        if path.contains("/tests/")
            || path.contains("/benches/")
            || path.contains("/examples/")
            || path.starts_with("crates/e2e/")
        {
            test.fill(true);
        }
        Self { path: path.to_owned(), text: text.to_owned(), code, test }
    }

    /// The crate's folder name: `policy` for `crates/policy/src/lib.rs`, `xtask` for `xtask/src/main.rs`.
    pub fn crate_name(&self) -> &str {
        let path = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        path.split('/').next().unwrap_or_default()
    }

    /// The code of each line, with its number and whether it belongs to a test.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        self.code
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line, self.test.get(index).copied().unwrap_or_default()))
    }

    /// A finding in this file.
    pub fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }
}

/// `#[cfg(test)] mod tests;` makes `tests.rs` beside it a test file as a whole.
fn mark_files_of_test_modules(sources: &mut [Source]) {
    let mut test_files = Vec::new();
    for source in sources.iter() {
        for (_, line, test) in source.lines() {
            if test && let Some(module) = scrub::module_declared(line) {
                test_files.extend(scrub::module_files(&source.path, module));
            }
        }
    }
    for source in sources.iter_mut().filter(|source| test_files.contains(&source.path)) {
        source.test.fill(true);
    }
}
