//! What a test proved, kept for the trust report: one line of JSON for each tier, below `target/trust`.
//!
//! `cargo xtask trust-report` makes a page of them. A line says which promise was put to the test, by which
//! test, with what figure, from which seed and at which commit.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use model::clock::rfc3339;
use serde_json::json;

use crate::{chance, environment};

/// A promise and the test that puts it to the proof.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// The id of the test, such as `T01`; with a suffix where one id has several tests.
    pub id: &'static str,
    /// The promises it is about, such as `P1`.
    pub promise: &'static str,
    /// What is tested, as a sentence.
    pub test: &'static str,
}

impl Proof {
    /// Names a proof.
    #[must_use]
    pub const fn new(id: &'static str, promise: &'static str, test: &'static str) -> Self {
        Self { id, promise, test }
    }

    /// Writes down that the test held, with its figure. To be called last, when all has been checked.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn held(&self, figure: &str) -> Result<()> {
        self.held_with(chance::seed(), figure)
    }

    /// The same for a test with a seed of its own.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn held_with(&self, seed: u64, figure: &str) -> Result<()> {
        let tier = if environment::nightly() { "nightly" } else { "commit" };
        let line = json!({
            "id": self.id, "promise": self.promise, "test": self.test, "figure": figure, "seed": seed,
            "commit": commit(), "at": now(), "tier": tier,
        });
        let folder = folder();
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.json", self.id));
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        // A short run on a commit does not take the place of the last long one.
        let mut lines: Vec<String> =
            before.lines().filter(|line| !is_of(line, tier)).map(str::to_owned).collect();
        lines.push(line.to_string());
        let temporary = folder.join(format!(".{}-{}", self.id, std::process::id()));
        std::fs::write(&temporary, lines.join("\n") + "\n")?;
        std::fs::rename(&temporary, &path).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn is_of(line: &str, tier: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line["tier"] == tier)
}

fn folder() -> PathBuf {
    environment::repository().join("target/trust")
}

/// The commit that is tested, with a `+` when the tree has changes.
fn commit() -> &'static str {
    static COMMIT: OnceLock<String> = OnceLock::new();
    COMMIT.get_or_init(|| {
        let mut git = Command::new("git");
        git.args(["describe", "--always", "--dirty=+", "--abbrev=10"]);
        let output = git.current_dir(environment::repository()).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
    })
}

#[expect(clippy::disallowed_methods, reason = "a report says when it was made")]
fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    rfc3339(u64::try_from(now.as_millis()).unwrap_or_default())
}
