//! Looks through the texts of a binary for what must not be shipped: places of the machine that built it, hosts that
//! crates came from, secrets.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{command, output, root};
use crate::tidy::documents::MACHINE_PATHS;

/// The shortest run of printable characters that is taken for a text.
const SHORTEST: usize = 6;
/// The shortest value of a variable that is looked for: shorter ones are words.
const SHORTEST_SECRET: usize = 12;

/// Where things lie on any machine that builds, and where crates come from. In lower case.
const WORDS: &[&str] = &[
    ".cargo/",
    ".rustup/",
    "registry/src",
    "crates.io",
    "github.com-",
    "rsproxy",
    "ustc.edu",
    "tuna.tsinghua",
    "mirrors.aliyun",
    "artifactory",
    "nexus",
];

/// How secrets begin, and how many letters, digits, `-` or `_` must follow for it to be one.
const SECRETS: &[(&str, usize)] = &[
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 35),
    ("ghp_", 36),
    ("gho_", 36),
    ("ghs_", 36),
    ("github_pat_", 22),
    ("glpat-", 20),
    ("npm_", 36),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("sk-ym-", 40),
    ("sk-ant-", 20),
    ("sk-proj-", 20),
    ("trial_", 40),
    ("eyJhbGciOi", 20),
];
/// The end of the first line of a private key; in a program that reads keys nothing but that line stands.
const PRIVATE_KEY: &str = "PRIVATE KEY-----";

/// What is of the machine that builds.
pub struct Place {
    /// Paths and names, in lower case.
    names: Vec<String>,
    /// Values of variables whose names say that they are secret.
    secrets: Vec<String>,
}

impl Place {
    /// This machine.
    #[expect(clippy::disallowed_methods, reason = "what the build could have picked up comes from here")]
    pub fn here() -> Self {
        let host = output(&mut command("uname -n")).unwrap_or_default().trim().to_lowercase();
        let paths = [Some(root()), cargo_home().ok()].into_iter().flatten();
        let mut names: Vec<String> = paths.map(|path| path.display().to_string().to_lowercase()).collect();
        names.extend(Some(host).filter(|host| host.len() >= SHORTEST && host != "localhost"));
        let secret = |(name, value): (String, String)| {
            let is_secret = ["TOKEN", "SECRET", "PASSWORD", "_KEY"].iter().any(|word| name.contains(word));
            (is_secret && value.len() >= SHORTEST_SECRET).then_some(value)
        };
        Self { names, secrets: std::env::vars().filter_map(secret).collect() }
    }
}

/// Cargo's folder: `CARGO_HOME`, else below the home.
#[expect(clippy::disallowed_methods, reason = "cargo itself reads it from here")]
pub fn cargo_home() -> Result<PathBuf> {
    if let Ok(folder) = std::env::var("CARGO_HOME") {
        return Ok(folder.into());
    }
    let home = std::env::var("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo"))
}

/// Looks through the texts of a binary; how many there are. What it must find is planted in a copy first: a search that
/// misses it shows nothing.
pub fn check(binary: &[u8], place: &Place) -> Result<usize> {
    for planted in planted(place) {
        if find(planted.as_bytes(), place).is_empty() {
            bail!("the search misses {planted:?}");
        }
    }
    let found = find(binary, place);
    if !found.is_empty() {
        bail!("{} texts must not be shipped:\n{}", found.len(), found.join("\n"));
    }
    Ok(texts(binary).count())
}

/// One text for each rule that it must find.
fn planted(place: &Place) -> Vec<String> {
    let tokens =
        SECRETS.iter().map(|(start, length)| format!("x {start}{}", "a1B2".repeat(length.div_ceil(4))));
    let words = words().map(|word| format!("x{word}x"));
    let own = place.names.iter().chain(&place.secrets).map(|name| format!("x{name}x"));
    let key = format!("-----BEGIN {PRIVATE_KEY}\n{}", "MC4CAQAwBQYDK2VwBCIEIA".repeat(2));
    tokens.chain(words).chain(own).chain([key]).collect()
}

/// Runs of printable characters; a line end belongs to a run, so that a key of several lines is one.
fn texts(binary: &[u8]) -> impl Iterator<Item = &str> {
    let printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t');
    let runs = binary.split(move |byte| !printable(byte)).filter(|run| run.len() >= SHORTEST);
    runs.filter_map(|run| std::str::from_utf8(run).ok())
}

/// Everything that must not be there on any machine.
fn words() -> impl Iterator<Item = &'static str> {
    WORDS.iter().chain(MACHINE_PATHS).copied()
}

/// Everything that must not be there, each with what is around it.
fn find(binary: &[u8], place: &Place) -> Vec<String> {
    let mut found = Vec::new();
    for text in texts(binary) {
        let lower = text.to_lowercase();
        let words = WORDS.iter().copied().chain(place.names.iter().map(String::as_str));
        found.extend(words.filter_map(|word| lower.find(word).map(|at| around(text, at))));
        // As they are written: some differ from paths of our own only by a capital letter.
        found.extend(MACHINE_PATHS.iter().filter_map(|path| text.find(path)).map(|at| around(text, at)));
        let values = place.secrets.iter().filter(|secret| text.contains(secret.as_str()));
        found.extend(values.map(|_| "a secret of the environment".to_owned()));
        found.extend(SECRETS.iter().filter_map(|rule| token(text, *rule)).map(|at| around(text, at)));
        found.extend(private_key(text).map(|at| around(text, at)));
    }
    found
}

/// Where a secret of this form stands.
fn token(text: &str, (start, length): (&str, usize)) -> Option<usize> {
    let follows = |at: usize| {
        let rest = text[at + start.len()..].bytes();
        let digits = text[at..].bytes().take(start.len() + length).any(|byte| byte.is_ascii_digit());
        // Names of a program have words of lower-case letters; a token has digits among them.
        digits
            && rest.take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)).count() >= length
    };
    text.match_indices(start).map(|(at, _)| at).find(|at| follows(*at))
}

/// Where the body of a private key stands.
fn private_key(text: &str) -> Option<usize> {
    let body = |at: usize| {
        let rest = text[at + PRIVATE_KEY.len()..].trim_start();
        rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)).count() >= 32
    };
    text.match_indices(PRIVATE_KEY).map(|(at, _)| at).find(|at| body(*at))
}

/// At most 60 characters before and after.
fn around(text: &str, at: usize) -> String {
    let (from, to) = (at.saturating_sub(60), (at + 60).min(text.len()));
    text.get(from..to).unwrap_or(text).replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { names: vec!["/somewhere/tree".into()], secrets: vec!["value-of-a-variable".into()] }
    }

    #[test]
    fn each_rule_finds_what_is_planted_between_other_bytes() {
        let all = planted(&place());
        assert_eq!(all.len(), SECRETS.len() + words().count() + 2 + 1);
        for planted in all {
            let binary = [b"\x7fELF\0\x01", planted.as_bytes(), b"\0\xff\xfe"].concat();
            assert!(!find(&binary, &place()).is_empty(), "{planted}");
        }
    }

    #[test]
    fn what_a_program_says_of_itself_is_no_finding() {
        for text in [
            "/crates/tokio-1.54.0/src/runtime/mod.rs",
            "/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/core/src/str/mod.rs",
            "-----BEGIN PRIVATE KEY-----\0-----END PRIVATE KEY-----",
            "keys of the form sk-ym-<id>-<secret> and trial_<id>_<secret>",
            "use sk-ant-your-key-of-the-provider-goes-here",
            "eyJhbGciOi",
            "crates/control/src/api/users/totp.rs",
            "https://dashscope.aliyuncs.com/compatible-mode/v1",
        ] {
            assert_eq!(find(text.as_bytes(), &place()), Vec::<String>::new(), "{text}");
        }
    }
}
