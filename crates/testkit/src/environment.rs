//! Where things are: the repository, the binary under test, the recorded exchanges, the SDKs.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Result, bail};

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// A variable of the test run's own environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the test kit is told by its caller which binary and which corpus to use"
)]
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// The gateway's binary: `YUMEN_BIN`, else the `quick` build.
///
/// # Errors
/// When it is not there; the message says how to build it.
pub fn binary() -> Result<PathBuf> {
    let path = variable("YUMEN_BIN").unwrap_or_else(|| repository().join("target/quick/yumen"));
    if !path.is_file() {
        bail!("{} is missing: run cargo build -p yumen --profile quick", path.display());
    }
    Ok(path)
}

/// The folder of recorded exchanges: `YUMEN_CORPUS`, else the one beside the repository; `None` when
/// it is not there.
#[must_use]
pub fn corpus() -> Option<PathBuf> {
    let path = variable("YUMEN_CORPUS").unwrap_or_else(|| repository().join("../shared/corpus"));
    path.join("index.json").is_file().then_some(path)
}

/// The Python interpreter that has the official SDKs.
///
/// # Errors
/// When the virtual environment is not there.
pub fn python() -> Result<PathBuf> {
    let path = repository().join(".venv/bin/python");
    if !path.exists() {
        bail!("{} is missing: run cargo xtask setup", path.display());
    }
    Ok(path)
}

/// The folder of the Node scripts, with the official SDKs installed in it.
///
/// # Errors
/// When the packages are not installed.
pub fn node_scripts() -> Result<PathBuf> {
    let path = repository().join("tests/sdk/node");
    if !path.join("node_modules").is_dir() {
        bail!("{}/node_modules is missing: run cargo xtask setup", path.display());
    }
    Ok(path)
}

/// Whether the long rounds were asked for (`cargo xtask test --nightly`); without, tests run a few.
#[must_use]
pub fn nightly() -> bool {
    variable("YUMEN_NIGHTLY").is_some()
}

/// Whether real client programs shall be run (`cargo xtask test --clients`), and where they are installed.
#[must_use]
pub fn clients() -> Option<PathBuf> {
    variable("YUMEN_CLIENTS")
}

/// OpenAI's published OpenAPI document, which answers in its dialects are judged by where
/// `YUMEN_OPENAI_SCHEMA` names it.
#[must_use]
pub fn openai_schema() -> Option<PathBuf> {
    variable("YUMEN_OPENAI_SCHEMA")
}

/// A whole number from the environment, such as `YUMEN_SEED`; `None` when it is not set or is none.
#[must_use]
pub fn number(name: &str) -> Option<u64> {
    variable(name)?.to_str()?.parse().ok()
}

/// A variable to pass on to a process that needs it to start at all (`PATH`, `HOME`).
#[must_use]
pub fn inherited(name: &str) -> Option<PathBuf> {
    variable(name)
}

/// Makes sure that this process, and the gateways it starts, may open `count` files.
///
/// # Errors
/// When the limit is lower and cannot be raised.
pub async fn allow_descriptors(count: u64) -> Result<()> {
    match descriptors(count).await? {
        allowed if allowed >= count => Ok(()),
        allowed => bail!("only {allowed} open files are allowed, {count} are needed: run ulimit -n {count}"),
    }
}

/// How many files this process, and the gateways it starts, may open, after asking for `wanted`.
///
/// # Errors
/// When the system does not say.
pub async fn descriptors(wanted: u64) -> Result<u64> {
    let (soft, hard) = open_files()?;
    if soft >= wanted {
        return Ok(soft);
    }
    let pid = std::process::id().to_string();
    // The hard limit is only named where it must rise too, which needs a right that even root may lack.
    for limit in [format!("--nofile={wanted}:{}", wanted.max(hard)), format!("--nofile={hard}:")] {
        let mut prlimit = tokio::process::Command::new("prlimit");
        prlimit.args(["--pid", &pid, &limit]).stderr(Stdio::null());
        if prlimit.status().await.is_ok_and(|status| status.success()) {
            break;
        }
    }
    Ok(open_files()?.0)
}

/// The soft and the hard limit.
fn open_files() -> Result<(u64, u64)> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    let mut figures = line.split_whitespace().skip(3).map(|figure| figure.parse().unwrap_or(u64::MAX));
    let mut next = || figures.next().unwrap_or(u64::MAX);
    Ok((next(), next()))
}

/// Takes out of a script's environment what would lead an SDK elsewhere than the plan says.
pub fn without_settings(command: &mut tokio::process::Command) -> &mut tokio::process::Command {
    for name in [
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
    ] {
        command.env_remove(name);
    }
    command
}
