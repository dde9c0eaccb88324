//! `cargo xtask fuzz`: builds the targets of the folder `fuzz` so that they see which code they reach, and
//! lets each look for input that breaks it.
//!
//! The seeds are the fixtures of the tests, and recorded exchanges where they lie beside the repository. What
//! breaks a target is left below `target/fuzz/findings` and belongs into a test.

mod coverage;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{command, output, root, run};

/// How long each target runs unless the caller says otherwise, in seconds.
const SECONDS: u64 = 60;

/// The longest input: beyond it mutations say nothing new and cost much.
const LONGEST: usize = 16 << 10;

/// The targets, each with the folders of recordings and of fixtures that begin with one of these words.
const TARGETS: [(&str, &[&str]); 7] = [
    ("scanner", &["openai", "azure", "anthropic", "gemini", "vertex"]),
    ("peek", &["openai", "azure", "anthropic"]),
    ("chat", &["openai-chat", "openai-compat", "azure-openai"]),
    ("responses", &["openai-responses", "azure-responses"]),
    ("messages", &["anthropic", "bedrock-invoke"]),
    ("gemini", &["gemini", "vertex-gemini"]),
    ("converse", &["bedrock-converse"]),
];

/// Marks every edge of the control flow, for libFuzzer to see; what a fuzzer of this kind needs and no
/// more, so that the stable compiler will do.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// Runs the targets named, or all.
pub fn run_command(arguments: &[String]) -> Result<()> {
    let Asked { chosen, seconds, covers } = parse(arguments)?;
    if covers {
        return coverage::measure(&chosen);
    }
    let host = host()?;
    let folder = root().join("target/fuzz");
    let mut build = command("cargo build --manifest-path fuzz/Cargo.toml --release --bins --target");
    build.arg(&host).env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &folder);
    run(&mut build)?;
    for (name, words) in chosen {
        let inputs = Folders::of(name, words)?;
        let findings = folder.join("findings").join(name);
        std::fs::create_dir_all(&findings)?;
        let mut target = Command::new(folder.join(&host).join("release").join(name));
        target.args(inputs.read()).arg(format!("-max_total_time={seconds}"));
        target.arg(format!("-max_len={LONGEST}")).arg(format!("-artifact_prefix={}/", findings.display()));
        // A request of this length that takes a second, or a gigabyte, is a defect (reliability F7 to F10).
        target.args(["-timeout=1", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=0"]);
        run(&mut target).with_context(|| format!("{name} was broken; see {}", findings.display()))?;
    }
    Ok(())
}

/// What a target reads, and where it leaves what leads it further: the first of them.
struct Folders {
    found: PathBuf,
    seeds: PathBuf,
}

impl Folders {
    fn of(name: &str, words: &[&str]) -> Result<Self> {
        let folder = root().join("target/fuzz");
        let found = folder.join("corpus").join(name);
        std::fs::create_dir_all(&found)?;
        Ok(Self { found, seeds: seeds(&folder.join("seeds").join(name), words)? })
    }

    fn read(&self) -> [&Path; 2] {
        [&self.found, &self.seeds]
    }
}

type Chosen = Vec<(&'static str, &'static [&'static str])>;

/// What the command line asks for.
struct Asked {
    chosen: Chosen,
    seconds: u64,
    /// Whether to measure what is reached, and look for nothing.
    covers: bool,
}

fn parse(arguments: &[String]) -> Result<Asked> {
    let (mut names, mut seconds, mut rest) = (Vec::new(), SECONDS, arguments.iter());
    let mut covers = false;
    while let Some(argument) = rest.next() {
        if argument == "--seconds" {
            seconds = rest.next().context("--seconds needs a number")?.parse()?;
        } else if argument == "--coverage" {
            covers = true;
        } else if TARGETS.iter().any(|(name, _)| name == argument) {
            names.push(argument.as_str());
        } else {
            let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            bail!("{argument} is no target; there are {}", known.join(", "));
        }
    }
    let wanted = |(name, _): &&(&str, _)| names.is_empty() || names.contains(name);
    Ok(Asked { chosen: TARGETS.iter().filter(wanted).copied().collect(), seconds, covers })
}

/// What the compiler calls this machine. Named, so that the flags are for the targets alone and not for
/// what runs while they are built.
fn host() -> Result<String> {
    let version = output(&mut command("rustc -vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("the compiler does not say what this machine is")?.to_owned())
}

/// Writes what was recorded of the dialects `words`, and their fixtures, into `folder`, one body a file, and
/// returns it.
fn seeds(folder: &Path, words: &[&str]) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let given = std::env::var_os("YUMEN_CORPUS").map(PathBuf::from);
    let recorded = given.unwrap_or_else(|| root().join("../shared/corpus")).join("dev");
    let mut number = 0;
    let mut keep = |body: &[u8]| {
        if body.len() <= LONGEST {
            std::fs::write(folder.join(format!("{number:04}")), body)?;
            number += 1;
        }
        anyhow::Ok(())
    };
    for file in of_dialects(&root().join("crates/llm/fixtures"), words) {
        keep(&std::fs::read(file)?)?;
    }
    for file in of_dialects(&recorded, words) {
        let Ok(text) = std::fs::read(&file) else { continue };
        let Ok(exchange) = serde_json::from_slice::<Value>(&text) else { continue };
        for body in bodies(&exchange) {
            keep(&body)?;
        }
    }
    Ok(folder.to_path_buf())
}

/// The files of the folders within `folder` whose names begin with one of `words`.
fn of_dialects(folder: &Path, words: &[&str]) -> Vec<PathBuf> {
    let mut dialects = entries(folder);
    dialects.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        words.iter().any(|word| name.starts_with(word))
    });
    dialects.iter().flat_map(|dialect| entries(dialect)).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The bodies of an exchange: the request, the answer, the stream.
fn bodies(exchange: &Value) -> Vec<Vec<u8>> {
    let objects = [&exchange["request"]["body"], &exchange["response"]["body"]];
    let mut bodies: Vec<Vec<u8>> = objects
        .into_iter()
        .filter(|body| body.is_object())
        .map(|body| body.to_string().into_bytes())
        .collect();
    bodies.extend(exchange["response"]["sse"].as_str().map(|stream| stream.as_bytes().to_vec()));
    bodies
}
