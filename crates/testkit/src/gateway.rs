//! The gateway under test: the built binary as a child process on a port and a folder of its own.
//!
//! Dropping it kills that process and removes the folder. Tests that measure take the machine for
//! themselves (`Turn::Alone`); all others run beside each other.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::{Instant, timeout};

use crate::admin::Admin;
use crate::environment;
use crate::http::{Answer, Connection, Request, call};
use crate::metrics::Metrics;
use crate::output::{Output, lines_of};
use crate::wait::{self, PATIENCE};

/// How long a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

static TURNS: RwLock<()> = RwLock::const_new(());
static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// Whether other gateways may run at the same time in this test process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// Beside others.
    #[default]
    Shared,
    /// Alone, because the test measures.
    Alone,
    /// Without asking: for the second gateway of a test that already has its turn.
    Held,
}

/// How a gateway is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// With the built-in provider and a ready key.
    pub demo: bool,
    /// More arguments after `serve`; a `--listen` here replaces the standard one.
    pub arguments: Vec<String>,
    /// A program that runs the gateway in its place, with its arguments: to take away a right or a limit.
    pub under: Vec<String>,
    /// Its whole environment but `PATH` and `HOME`.
    pub environment: Vec<(String, String)>,
    /// The data folder, which the gateway then does not remove; by default one of its own.
    pub data: Option<PathBuf>,
    /// Whether others may run beside it.
    pub turn: Turn,
}

impl Options {
    /// With the built-in provider and a ready key.
    #[must_use]
    pub fn demo() -> Self {
        Self { demo: true, ..Self::default() }
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, text: &str) -> Self {
        self.arguments.push(text.to_owned());
        self
    }

    /// Runs it by another program, such as `prlimit` or `setpriv`.
    #[must_use]
    pub fn under(mut self, words: &[&str]) -> Self {
        self.under.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Sets one of the gateway's timers, in milliseconds: `connect`, `first_byte`, `idle`, `total`, `drain`, ….
    #[must_use]
    pub fn timer(self, name: &str, milliseconds: u64) -> Self {
        self.env(
            &format!("YUMEN_TIMERS__{}_SECONDS", name.to_uppercase()),
            &format!("{}.{:03}", milliseconds / 1_000, milliseconds % 1_000),
        )
    }

    /// Uses a folder that is already there.
    #[must_use]
    pub fn data(mut self, path: &Path) -> Self {
        self.data = Some(path.to_path_buf());
        self
    }

    /// Runs alone or without asking for a turn.
    #[must_use]
    pub fn turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }
}

/// A folder that is removed when dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    owned: bool,
}

impl Folder {
    /// A new, empty folder below the system's temporary one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn temporary() -> Result<Self> {
        let number = FOLDERS.fetch_add(1, Ordering::SeqCst);
        let name = format!("yumen-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self { path, owned: true })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new folder with a copy of everything in this one.
    ///
    /// # Errors
    /// When something cannot be copied.
    pub fn copy(&self) -> Result<Self> {
        let copy = Self::temporary()?;
        copy_into(&self.path, &copy.path)?;
        Ok(copy)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.owned {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn copy_into(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    // The gateway refuses folders of keys that others may read.
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_into(&entry.path(), &target)?;
        } else if kind.is_file() {
            // A killed gateway leaves its socket, which belongs to no copy.
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[expect(dead_code, reason = "a turn is held, never looked at")]
enum Permit {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
    Held,
}

impl Permit {
    async fn take(turn: Turn) -> Self {
        match turn {
            Turn::Shared => Self::Shared(TURNS.read().await),
            Turn::Alone => Self::Alone(TURNS.write().await),
            Turn::Held => Self::Held,
        }
    }
}

/// A running gateway.
pub struct Gateway {
    child: Child,
    pid: u32,
    ready: Value,
    output: Output,
    address: String,
    // Fields are dropped in this order: the folder after the process, the turn last.
    folder: Folder,
    started_in: Duration,
    _permit: Permit,
}

impl Gateway {
    /// Starts one and waits until it serves.
    ///
    /// # Errors
    /// When the binary is missing or does not become ready; its output is part of the message.
    pub async fn start(options: Options) -> Result<Self> {
        let permit = Permit::take(options.turn).await;
        let folder = folder_of(&options)?;
        let began = Instant::now();
        let mut child = command(&options, folder.path())?.spawn().context("starting the gateway")?;
        let pid = child.id().context("the gateway ended at once")?;
        let output = Output::default();
        let stdout = child.stdout.take().context("no stdout")?;
        let stderr = child.stderr.take().context("no stderr")?;
        output.collect(stderr);
        let (lines, first) = lines_of(stdout);
        let Ok(Ok(line)) = timeout(START_LIMIT, first).await else {
            let _ = child.kill().await;
            bail!("the gateway did not become ready:\n{}", output.text());
        };
        let started_in = began.elapsed();
        lines.follow(&output);
        let ready: Value = serde_json::from_str(&line).with_context(|| format!("ready line {line:?}"))?;
        let url = ready["url"].as_str().context("the ready line has no url")?;
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Ok(Self { child, pid, ready, started_in, output, address, folder, _permit: permit })
    }

    /// Starts one that must refuse to run, and gives how it ended and what it said.
    ///
    /// # Errors
    /// When it does not end by itself.
    pub async fn refusal(options: Options) -> Result<(ExitStatus, String)> {
        let _permit = Permit::take(options.turn).await;
        let folder = folder_of(&options)?;
        let mut child = command(&options, folder.path())?.spawn()?;
        let output = Output::default();
        output.collect(child.stderr.take().context("no stderr")?);
        output.collect(child.stdout.take().context("no stdout")?);
        let Ok(status) = timeout(START_LIMIT, child.wait()).await else {
            let _ = child.kill().await;
            bail!("the gateway started although it should have refused:\n{}", output.text());
        };
        output.ended().await;
        Ok((status?, output.text()))
    }

    /// From the start of the process until it said that it serves.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// `host:port`, for [`Connection::open`].
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The origin that the ready line names.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The line that said it was ready.
    #[must_use]
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// The demo key; empty without `demo`.
    #[must_use]
    pub fn key(&self) -> &str {
        self.ready["key"].as_str().unwrap_or_default()
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// All that it wrote to stderr and stdout so far, but the ready line; the oldest part goes when it is too much.
    #[must_use]
    pub fn log(&self) -> String {
        self.output.text()
    }

    /// Signs the first administrator in.
    ///
    /// # Errors
    /// When this start did not create one, or login fails.
    pub async fn admin(&self) -> Result<Admin> {
        let field =
            |name: &str| self.ready[name].as_str().with_context(|| format!("no {name} in the ready line"));
        Admin::sign_in(&self.address, field("admin_email")?, field("admin_password")?).await
    }

    /// Sends one request on a connection of its own.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn call(&self, request: &Request) -> Result<Answer> {
        call(&self.address, request).await
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(&self.address).await
    }

    /// The record of the request that this answer belongs to, once it is written.
    ///
    /// # Errors
    /// When none appears within the kit's patience.
    pub async fn record(&self, admin: &Admin, answer: &Answer) -> Result<Value> {
        let filter = format!("request_id={}", answer.request_id()?);
        Ok(self.records(admin, &filter, 1).await?.remove(0))
    }

    /// The records that match a filter (`trace_id=…`, `model=…`), once there are at least `count`.
    ///
    /// # Errors
    /// When they do not appear within the kit's patience.
    pub async fn records(&self, admin: &Admin, filter: &str, count: usize) -> Result<Vec<Value>> {
        let path = format!("requests?limit=200&{filter}");
        wait::until(&format!("{count} records with {filter}"), PATIENCE, async || {
            let items = admin.get(&path).await?["items"].as_array().cloned().unwrap_or_default();
            Ok((items.len() >= count).then_some(items))
        })
        .await
    }

    /// Waits until a key works and may use all these models: a change has reached the data plane.
    ///
    /// # Errors
    /// When that takes longer than `limit`.
    pub async fn offers(&self, key: &str, models: &[String], limit: Duration) -> Result<()> {
        wait::until(&format!("the models {models:?}"), limit, async || {
            let answer = self.call(&Request::get("/v1/models").bearer(key)).await?;
            let list = answer.json();
            let ids = list["data"].as_array().into_iter().flatten();
            let listed: Vec<&str> = ids.filter_map(|model| model["id"].as_str()).collect();
            let all = models.iter().all(|model| listed.contains(&model.as_str()));
            Ok((answer.status() == 200 && all).then_some(()))
        })
        .await
    }

    /// The current metrics.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        let answer = self.call(&Request::get("/metrics")).await?;
        Ok(Metrics::parse(&answer.text()))
    }

    /// Resident memory in KiB.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn rss_kb(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// Threads of the process.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn threads(&self) -> Result<u64> {
        self.status("Threads:")
    }

    /// The most that was resident since the start or since [`Self::forget_peak`], in KiB.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn peak_kb(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// Begins a new measurement of the peak.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn forget_peak(&self) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5")?)
    }

    fn status(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find(|line| line.starts_with(name)).context("no such line")?;
        Ok(line.split_whitespace().nth(1).context("no figure")?.parse()?)
    }

    /// Open file descriptors, without those of its own data: the database and the journal open their files
    /// when they first need them.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn fds(&self) -> Result<usize> {
        let data = std::fs::canonicalize(self.folder.path())?;
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid))?;
        let targets = open.map(|entry| std::fs::read_link(entry?.path()));
        // One that was closed a moment ago cannot be read any more.
        Ok(targets.filter(|target| target.as_ref().is_ok_and(|target| !target.starts_with(&data))).count())
    }

    /// Sends a signal by name (`TERM`, `KILL`, `STOP`).
    ///
    /// # Errors
    /// When the process is gone.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let arguments = [format!("-{name}"), self.pid.to_string()];
        let status = Command::new("kill").args(arguments).status().await?;
        if !status.success() {
            bail!("kill -{name} {}: {status}", self.pid);
        }
        Ok(())
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let ended = timeout(limit, self.child.wait()).await;
        let status = ended.with_context(|| format!("the gateway did not end; its log: {}", self.log()))??;
        self.output.ended().await;
        Ok(status)
    }

    /// Asks it to end in good order, and waits for that.
    ///
    /// # Errors
    /// When it does not end within its drain time.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal("TERM").await?;
        self.ended(Duration::from_secs(40)).await
    }
}

fn folder_of(options: &Options) -> Result<Folder> {
    match &options.data {
        Some(path) => Ok(Folder { path: path.clone(), owned: false }),
        None => Folder::temporary(),
    }
}

fn command(options: &Options, data: &Path) -> Result<Command> {
    let binary = environment::binary()?;
    let mut command = match options.under.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
        None => Command::new(binary),
    };
    command.arg("serve").arg("--ready-json").arg("--data").arg(data);
    if !options.arguments.iter().any(|argument| argument == "--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    if options.demo {
        command.arg("--demo");
    }
    command.args(&options.arguments).env_clear();
    for name in ["PATH", "HOME"] {
        command.envs(environment::inherited(name).map(|value| (name, value)));
    }
    command.envs(options.environment.iter().map(|(name, value)| (name, value)));
    // A `.env` file is read from the working directory, so that must not be the repository.
    let working = if data.is_dir() { data } else { Path::new("/") };
    command.current_dir(working).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}
