//! One run: simulator, nginx and gateway side by side, the chosen cases in rounds, in turn.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;

use crate::caller;
use crate::case::{CASES, Case, Kind};
use crate::floor::{self, Floor};
use crate::gateway::{CALLING_KEYS, Durability, Gateway, Installation, written_bytes};
use crate::goal::{Figures, Target};
use crate::load::{self, Outcome, Work};
use crate::payload::{Behaviour, Form};
use crate::process::{Processes, Server};
use crate::wire;

const WARM_UP: Duration = Duration::from_secs(1);
const SETTLE: Duration = Duration::from_secs(2);
const STARTS_PER_ROUND: usize = 3;
const BALANCE_WINDOW: Duration = Duration::from_secs(2);
const AFTER_LOAD: Duration = Duration::from_secs(60);
const SMALL: usize = 1_200;
const MB: f64 = 1024.0 * 1024.0;

/// What is to be measured.
pub struct Plan {
    /// The gateway's binary.
    pub binary: PathBuf,
    /// This program, which also is the simulator.
    pub tools: PathBuf,
    /// An empty folder for configuration, data and logs.
    pub folder: PathBuf,
    /// The cases.
    pub cases: Vec<Case>,
    /// How often each is repeated.
    pub rounds: usize,
}

/// Everything that runs while measuring.
struct Rig {
    simulator: SocketAddr,
    _simulator: Server,
    floor: Floor,
    relay: Server,
    relay_address: SocketAddr,
    installation: Installation,
    gateway: Gateway,
    figures: Figures,
}

/// Measures all cases; `progress` is told what begins.
///
/// # Errors
/// When one of the servers cannot be started. A failed answer is no error: it voids its figure.
pub async fn measure(plan: Plan, progress: impl Fn(&str)) -> Result<Figures> {
    progress("preparing: simulator, nginx, gateway with 10,000 keys");
    let (simulator_server, simulator) = start_tool(&plan, "simulate", &[])?;
    let (relay, relay_address) = start_tool(&plan, "relay", &[simulator.to_string()])?;
    let floor = floor::start(&plan.folder.join("nginx"), simulator).await?;
    let installation =
        Installation::prepare(plan.binary.clone(), plan.folder.join("yumen"), simulator).await?;
    let gateway = installation.start()?;
    let figures = Figures::default();
    let mut rig = Rig {
        simulator,
        _simulator: simulator_server,
        floor,
        relay,
        relay_address,
        installation,
        gateway,
        figures,
    };
    let idle = rig.idle_memory().await;
    for round in 1..=plan.rounds {
        for case in &plan.cases {
            progress(&format!("round {round} of {}: {}", plan.rounds, case.name));
            rig.run(*case, round).await?;
        }
    }
    if plan.cases.iter().any(|case| matches!(case.kind, Kind::Memory)) {
        progress("waiting 60 s after the load");
        rig.memory_after_load(idle).await?;
    }
    rig.note_what_was_written().await?;
    Ok(rig.figures)
}

/// Starts one of the tools, which says where it listens.
fn start_tool(plan: &Plan, name: &'static str, arguments: &[String]) -> Result<(Server, SocketAddr)> {
    let mut command = Command::new(&plan.tools);
    let mut server = Server::start(name, command.arg(name).args(arguments).stdout(Stdio::piped()))?;
    let output = server.child().stdout.take().context("the tool has an output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    Ok((server, line.trim().parse().context("the tool did not say where it listens")?))
}

impl Rig {
    async fn run(&mut self, case: Case, round: usize) -> Result<()> {
        let mut targets = [Target::Direct, Target::Floor, Target::Relay, Target::Gateway];
        let first = round % targets.len();
        targets.rotate_left(first);
        for target in targets {
            if let Err(reason) = self.run_on(case, target).await {
                self.figures.annul(case.name, target, &reason);
            }
        }
        self.gateway.server.expect_running()?;
        self.floor.server.expect_running()
    }

    async fn run_on(&mut self, case: Case, target: Target) -> Result<()> {
        match case.kind {
            Kind::Start if target == Target::Gateway => self.start_times(case.name).await,
            // Of the relay alone only small requests are of interest.
            Kind::Closed { behaviour, size, .. } if target == Target::Relay && !is_small(behaviour, size) => {
                Ok(())
            }
            Kind::Hold { streams } if matches!(target, Target::Floor | Target::Gateway) => {
                self.hold(case.name, target, streams).await
            }
            Kind::Closed { connections, behaviour, size, window } => {
                let work = self.work(target, behaviour, size);
                let server = self.processes(target);
                let outcome = load::closed(&work, connections, WARM_UP, window, server.as_ref()).await?;
                self.add_loop(case.name, target, &outcome);
                Ok(())
            }
            Kind::Signed { connections, size, window } if target == Target::Gateway => {
                let requests = Rc::new(self.installation.signed_request(self.gateway.address, size));
                let work = Work {
                    address: self.gateway.address,
                    requests,
                    behaviour: Behaviour::Unary,
                    form: Form::Chat,
                };
                let server = self.processes(target);
                let outcome = load::closed(&work, connections, WARM_UP, window, server.as_ref()).await?;
                self.add_loop(case.name, target, &outcome);
                self.note_hash(size);
                Ok(())
            }
            Kind::Open { rate, window } => {
                let work = self.work(target, Behaviour::Unary, SMALL);
                let outcome = load::open(&work, rate, WARM_UP, window).await?;
                let middle = outcome.latencies_us.get(outcome.latencies_us.len() / 2);
                self.figures.add(case.name, target, "p50", *middle.context("no latencies")?);
                Ok(())
            }
            Kind::Balance { connections } if target == Target::Gateway => {
                let work = self.work(target, Behaviour::Unary, SMALL);
                let server = self.processes(target);
                let outcome =
                    load::closed(&work, connections, WARM_UP, BALANCE_WINDOW, server.as_ref()).await?;
                self.figures.add(case.name, target, "unevenness", unevenness(&outcome, connections));
                Ok(())
            }
            Kind::Durable { connections, window } if target == Target::Gateway => {
                self.durable(case.name, connections, window).await
            }
            Kind::Start
            | Kind::Hold { .. }
            | Kind::Balance { .. }
            | Kind::Durable { .. }
            | Kind::Signed { .. }
            | Kind::Memory => Ok(()),
        }
    }

    fn add_loop(&mut self, case: &'static str, target: Target, outcome: &Outcome) {
        let units = outcome.units as f64;
        self.figures.add(case, target, "rate", units / outcome.seconds);
        if target != Target::Direct {
            self.figures.add(case, target, "cpu", outcome.cpu_ns as f64 / 1_000.0 / units);
        }
        if target == Target::Gateway {
            let of_case = format!("{case}, last round, CPU by thread: ");
            self.figures.notes.retain(|note| !note.starts_with(&of_case));
            self.figures.notes.push(of_case + &by_thread(outcome));
        }
    }

    /// How long this machine takes for what no check of a signed body can do without.
    fn note_hash(&mut self, size: usize) {
        let what = format!("one SHA-256 of {} KB on this machine", size / 1_000);
        let took = caller::time_hash(size).as_secs_f64() * 1e6;
        self.figures.notes.retain(|note| !note.starts_with(&what));
        self.figures.notes.push(format!("{what}: {took:.1} µs"));
    }

    async fn start_times(&mut self, case: &'static str) -> Result<()> {
        self.gateway.server.stop();
        for _ in 0..STARTS_PER_ROUND {
            let took = self.installation.time_start().await?;
            self.figures.add(case, Target::Gateway, "milliseconds", took.as_secs_f64() * 1_000.0);
        }
        self.gateway = self.installation.start()?;
        Ok(())
    }

    /// The gateway with `durability = power`, for this case only.
    async fn durable(&mut self, case: &'static str, connections: usize, window: Duration) -> Result<()> {
        self.gateway.server.stop();
        self.gateway = self.installation.start_with(Durability::Power)?;
        let work = self.work(Target::Gateway, Behaviour::Unary, SMALL);
        let server = self.processes(Target::Gateway);
        let outcome = load::closed(&work, connections, WARM_UP, window, server.as_ref()).await;
        self.gateway.server.stop();
        self.gateway = self.installation.start()?;
        self.add_loop(case, Target::Gateway, &outcome?);
        Ok(())
    }

    async fn hold(&mut self, case: &'static str, target: Target, streams: usize) -> Result<()> {
        if target == Target::Gateway {
            // Memory that earlier load left behind would hide what the streams take.
            self.gateway.server.stop();
            self.gateway = self.installation.start()?;
        }
        sleep(SETTLE).await;
        let server = self.processes(target).context("a server")?;
        let before = server.pss();
        let held = load::hold(&self.work(target, Behaviour::Hold, SMALL), streams).await?;
        sleep(SETTLE).await;
        let taken = server.pss().saturating_sub(before) as f64;
        self.figures.add(case, target, "kilobytes", taken / 1024.0 / streams as f64);
        self.figures.add(case, target, "rss", server.rss() as f64 / MB);
        drop(held);
        sleep(SETTLE).await;
        Ok(())
    }

    /// Records the idle memory of both servers; returns the gateway's resident set.
    async fn idle_memory(&mut self) -> f64 {
        sleep(SETTLE).await;
        for target in [Target::Floor, Target::Gateway] {
            let Some(server) = self.processes(target) else {
                continue;
            };
            self.figures.add("memory", target, "pss", server.pss() as f64 / MB);
        }
        self.processes(Target::Gateway).map_or(0.0, |server| server.rss() as f64)
    }

    async fn memory_after_load(&mut self, idle: f64) -> Result<()> {
        let load = CASES.iter().find(|case| case.name == "c1k").context("a case with load")?;
        self.run(*load, 0).await?;
        sleep(AFTER_LOAD).await;
        let after = self.processes(Target::Gateway).map_or(0.0, |server| server.rss() as f64);
        self.figures.add("memory", Target::Gateway, "growth", after / idle);
        Ok(())
    }

    /// Records that were dropped instead of written would flatter the gateway, so they are told.
    async fn note_what_was_written(&mut self) -> Result<()> {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\n\r\n", self.gateway.address);
        let (_, page) = wire::call(self.gateway.address, request.as_bytes()).await?;
        let page = String::from_utf8_lossy(&page).into_owned();
        let counter = |name: &str| {
            let value = page.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
            value.unwrap_or("an unknown number of").to_owned()
        };
        let written = counter("gateway_records_written_total");
        let dropped = counter("gateway_records_dropped_total");
        let megabytes = written_bytes(&self.installation.folder) / (1024 * 1024);
        self.figures.notes.push(format!(
            "request records since the gateway's last start: {written} written, {dropped} dropped because their queue was full"
        ));
        self.figures.notes.push(format!("logs and records on disk at the end: {megabytes} MB"));
        Ok(())
    }

    fn work(&self, target: Target, behaviour: Behaviour, size: usize) -> Work {
        let address = match target {
            Target::Direct => self.simulator,
            Target::Floor => self.floor.address,
            Target::Relay => self.relay_address,
            Target::Gateway => self.gateway.address,
        };
        let requests = Rc::new(self.installation.request(address, behaviour, size, CALLING_KEYS));
        let form = match (behaviour.form(), target) {
            (Form::Messages, Target::Gateway) => Form::Translated,
            (form, _) => form,
        };
        Work { address, requests, behaviour, form }
    }

    fn processes(&self, target: Target) -> Option<Processes> {
        match target {
            Target::Direct => None,
            Target::Floor => Some(self.floor.server.processes()),
            Target::Relay => Some(self.relay.processes()),
            Target::Gateway => Some(self.gateway.server.processes()),
        }
    }
}

fn is_small(behaviour: Behaviour, size: usize) -> bool {
    size == SMALL && matches!(behaviour, Behaviour::Unary | Behaviour::Late)
}

/// Where the gateway's processor time went in the last round, threads of one name together.
fn by_thread(outcome: &Outcome) -> String {
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, spent) in &outcome.thread_cpu_ns {
        *names.entry(name).or_default() += spent;
    }
    let busy = names.iter().filter(|(_, spent)| **spent * 100 > outcome.cpu_ns);
    let parts =
        busy.map(|(name, spent)| format!("{name} {:.1} µs", *spent as f64 / 1_000.0 / outcome.units as f64));
    parts.collect::<Vec<_>>().join(", ")
}

/// The busiest worker's processor time divided by a fair share of it; 1 is even, the number of workers is
/// the worst.
fn unevenness(outcome: &Outcome, connections: usize) -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut threads: Vec<u64> = outcome.thread_cpu_ns.iter().map(|(_, spent)| *spent).collect();
    threads.sort_unstable_by(|a, b| b.cmp(a));
    threads.truncate(connections.min(cores));
    let fair = threads.iter().sum::<u64>() as f64 / threads.len() as f64;
    threads.first().map_or(1.0, |busiest| *busiest as f64 / fair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_that_does_all_is_uneven() {
        let outcome = |threads: &[u64]| Outcome {
            thread_cpu_ns: threads.iter().map(|spent| (String::new(), *spent)).collect(),
            ..Outcome::default()
        };
        assert!(unevenness(&outcome(&[5, 1_000, 990, 7]), 1) < 1.01);
        let cores = std::thread::available_parallelism().unwrap().get();
        if cores >= 2 {
            assert!(unevenness(&outcome(&[5, 1_000, 990, 7]), 2) < 1.01);
            assert!(unevenness(&outcome(&[5, 2_000, 7]), 2) > 1.9);
        }
    }
}
