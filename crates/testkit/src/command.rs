//! The binary as a command that ends by itself: `yumen key list`, `yumen db check`, ….

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::environment;

/// How long a command may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs commands in a working directory, with an environment of its own.
#[derive(Clone, Debug)]
pub struct Commands {
    directory: PathBuf,
    environment: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Commands {
    /// In a directory, with `PATH` and `HOME` alone.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), environment: Vec::new() }
    }

    /// In and on the data directory `data`, with `PATH` and `HOME` alone.
    #[must_use]
    pub fn on(data: &Path) -> Self {
        Self::of(data).env("YUMEN_DATA", &data.display().to_string())
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn run(&self, arguments: &[&str]) -> Result<Ended> {
        self.ended(Command::new(environment::binary()?).args(arguments)).await
    }

    /// Runs a line of shell to its end, in which `yumen` is the binary.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn shell(&self, line: &str) -> Result<Ended> {
        let script = format!("yumen() {{ \"$YUMEN_BIN\" \"$@\"; }}\n{line}");
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &script]);
        self.ended(shell.env("YUMEN_BIN", environment::binary()?)).await
    }

    /// Starts a command and gives its process, to be killed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, arguments: &[&str]) -> Result<tokio::process::Child> {
        let mut command = Command::new(environment::binary()?);
        Ok(self.dressed(command.args(arguments)).spawn()?)
    }

    async fn ended(&self, command: &mut Command) -> Result<Ended> {
        let output = self.dressed(command).output();
        let output = timeout(LIMIT, output).await.context("the command did not end")??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Ok(Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
    }

    fn dressed<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let binary = environment::binary().ok();
        command.env_clear().envs(binary.map(|path| ("YUMEN_BIN", path)));
        for name in ["PATH", "HOME"] {
            command.envs(environment::inherited(name).map(|value| (name, value)));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.directory).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
    }

    /// Runs a command that must work, and gives what it said.
    ///
    /// # Errors
    /// When it does not end with 0.
    pub async fn done(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.run(arguments).await?;
        ensure!(ended.code == Some(0), "yumen {}: {ended:?}", arguments.join(" "));
        Ok(ended.out)
    }

    /// Runs a command that must work with `--json`, and gives the JSON.
    ///
    /// # Errors
    /// When it does not end with 0, or does not say JSON.
    pub async fn json(&self, arguments: &[&str]) -> Result<Value> {
        let out = self.done(&[arguments, &["--json"]].concat()).await?;
        serde_json::from_str(&out).with_context(|| format!("yumen {}: {out}", arguments.join(" ")))
    }

    /// Runs a command that must find a problem (exit code 1), and gives what it said.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub async fn refused(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.run(arguments).await?;
        if ended.code != Some(1) {
            bail!("yumen {} should have found a problem: {ended:?}", arguments.join(" "));
        }
        Ok(ended.err + &ended.out)
    }
}
