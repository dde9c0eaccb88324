//! The tools' command line: `bench simulate` is the upstream, `bench relay` the relay alone, `bench measure` runs
//! everything.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its terminal")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use bench::measure::{Plan, measure};
use bench::report::{self, Circumstances};
use bench::{case, simulator};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("simulate") => simulate(),
        Some("relay") => relay(&arguments[1..]),
        Some("measure") => run(&arguments[1..]),
        _ => {
            eprintln!("this program is started by `cargo xtask bench`");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn on_one_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

fn simulate() -> Result<bool> {
    on_one_thread(simulator::serve(|address| println!("{address}"))).map(|()| true)
}

fn relay(arguments: &[String]) -> Result<bool> {
    let upstream = arguments.first().context("relay needs the address of an upstream")?.parse()?;
    bench::relay::serve(upstream, |address| println!("{address}")).map(|()| true)
}

/// The arguments of `measure`.
#[derive(Default)]
struct Arguments {
    yumen: PathBuf,
    profile: String,
    rounds: usize,
    write: bool,
    enforce: bool,
    cases: Vec<String>,
}

fn parse(arguments: &[String]) -> Result<Arguments> {
    let mut parsed = Arguments { rounds: 3, ..Arguments::default() };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().cloned().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--yumen" => parsed.yumen = value()?.into(),
            "--profile" => parsed.profile = value()?,
            "--rounds" => parsed.rounds = value()?.parse().context("--rounds takes a number")?,
            "--write" => parsed.write = true,
            "--enforce" => parsed.enforce = true,
            flag if flag.starts_with('-') => bail!("unknown flag {flag}"),
            case => parsed.cases.push(case.to_owned()),
        }
    }
    Ok(parsed)
}

fn run(arguments: &[String]) -> Result<bool> {
    let arguments = parse(arguments)?;
    let cases = case::chosen(&arguments.cases);
    if cases.is_empty() || arguments.rounds == 0 {
        let names: Vec<&str> = case::CASES.iter().map(|case| case.name).collect();
        bail!("nothing to measure; the cases are {}", names.join(", "));
    }
    let folder = std::env::temp_dir().join(format!("yumen-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let plan = Plan {
        binary: std::path::absolute(&arguments.yumen)?,
        tools: std::env::current_exe()?,
        folder: folder.clone(),
        cases: cases.clone(),
        rounds: arguments.rounds,
    };
    let figures = on_one_thread(measure(plan, |doing| eprintln!("{doing}")))
        .with_context(|| format!("logs are in {}", folder.display()))?;
    std::fs::remove_dir_all(&folder)?;
    let outcomes = report::outcomes(&figures, &cases);
    let page = report::page(&figures, &outcomes, &cases, &circumstances(&arguments));
    println!("{page}");
    if arguments.write {
        std::fs::write("docs/benchmarks.md", &page).context("cannot write docs/benchmarks.md")?;
    }
    Ok(!arguments.enforce || (report::all_met(&outcomes) && figures.void.is_empty()))
}

fn circumstances(arguments: &Arguments) -> Circumstances {
    let quick = if arguments.profile == "quick" { " --quick" } else { "" };
    let cases: String = arguments.cases.iter().map(|case| format!(" {case}")).collect();
    Circumstances {
        command: format!("cargo xtask bench{cases} --rounds {}{quick}", arguments.rounds),
        commit: first_line("git", &["rev-parse", "--short", "HEAD"]),
        date: first_line("date", &["-u", "+%Y-%m-%d"]),
        machine: machine(),
        profile: arguments.profile.clone(),
        rounds: arguments.rounds,
        floor: first_line("/usr/sbin/nginx", &["-v"]).replace("nginx version: ", "").replace('/', " "),
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let text = std::fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1))
        .unwrap_or("unknown");
    format!("{cores} processors, {name}")
}

/// The first line that a command says, on whichever output.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let said =
        Command::new(program).args(arguments).output().map(|output| [output.stdout, output.stderr].concat());
    let text = String::from_utf8(said.unwrap_or_default()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}
