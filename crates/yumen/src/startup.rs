//! Start-up checks: each refuses with a named cause and a fix before anything is started.
//!
//! Order them as the functions stand here; the store's own checks (keys, schema, other processes)
//! come with opening it and are put into words by [`store_problem`].

mod holder;

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use std::thread;

use model::Clock;
use model::clock::{EpochMs, rfc3339};
use store::StoreError;

use crate::config::Settings;
use crate::problem::{Problem, Reason};

/// No release of this program is older: a clock before it is wrong (2025-01-01T00:00:00Z).
const EARLIEST_MS: EpochMs = 1_735_689_600_000;
/// How far the clock may be behind what is stored: as far as a signature's time may be off.
const MOST_BEHIND_MS: u64 = 300_000;

/// Keeps this process's memory, with the secrets in it, out of core dumps, whoever writes them (core(5)). Other systems
/// than Linux have no such file, and nothing else depends on it.
pub fn keep_memory_out_of_dumps() {
    let _ = fs::write("/proc/self/coredump_filter", "0");
}

/// Everything that can be judged without opening the store or a socket.
///
/// # Errors
/// The first problem found.
pub fn check(settings: &Settings, clock: &dyn Clock) -> Result<(), Problem> {
    check_clock(clock)?;
    check_exposure(settings)?;
    check_threads()?;
    prepare_directory(&settings.data)
}

/// Refuses a clock that cannot be right: expiry, limits and records would all be wrong.
///
/// # Errors
/// The clock stands before 2025.
pub fn check_clock(clock: &dyn Clock) -> Result<(), Problem> {
    let now = clock.now_ms();
    if now >= EARLIEST_MS {
        return Ok(());
    }
    Err(Problem::refusal(
        Reason::Clock,
        "the clock is wrong",
        format!("it says {}, before this program was written", rfc3339(now)),
        "set the clock, for example with: timedatectl set-ntp true",
    ))
}

/// Refuses a clock that is behind what was stored: windows of limits and quotas would begin anew, and signatures that
/// were used would be taken again. `newest` is the time of what was stored last.
///
/// # Errors
/// It was stored more than five minutes after the time that the clock shows.
pub fn check_clock_of_data(newest: EpochMs, clock: &dyn Clock) -> Result<(), Problem> {
    let now = clock.now_ms();
    if newest <= now.saturating_add(MOST_BEHIND_MS) {
        return Ok(());
    }
    Err(Problem::refusal(
        Reason::Clock,
        "the clock is behind the database",
        format!("it says {}, and the newest entry is of {}", rfc3339(now), rfc3339(newest)),
        "set the clock, for example with: timedatectl set-ntp true; where it was ahead before and is right now, start \
         once with YUMEN_CLOCK_CHECK=off",
    ))
}

/// Refuses to send administrators' credentials over a network in clear.
///
/// # Errors
/// A socket with the administration's paths is reachable from elsewhere, and nothing speaks TLS.
pub fn check_exposure(settings: &Settings) -> Result<(), Problem> {
    let administration = settings.admin_listen.unwrap_or(settings.listen);
    let ops = settings.ops_listen.filter(|address| !address.ip().is_loopback());
    if let Some(address) = ops {
        return Err(Problem::refusal(
            Reason::OperatorsExposed,
            format!("refusing to listen for operators on {address}"),
            "its debugging paths would be reachable from other machines",
            "set ops_listen to an address such as 127.0.0.1:8788, or to off",
        ));
    }
    if administration.ip().is_loopback() || settings.tls_terminated {
        return Ok(());
    }
    Err(Problem::refusal(
        Reason::AdministrationExposed,
        format!("refusing to listen on {administration} without TLS"),
        "the administration paths would be reachable from other machines, with their credentials in clear",
        "put a proxy that speaks TLS in front and set YUMEN_TLS_TERMINATED=1, or listen on 127.0.0.1, \
         or move administration to YUMEN_ADMIN_LISTEN=127.0.0.1:8789",
    ))
}

/// Refuses where the system gives no thread: what starts threads later would end in a panic, without a reason.
///
/// # Errors
/// A thread cannot be made.
pub fn check_threads() -> Result<(), Problem> {
    let made = thread::Builder::new().name("probe".to_owned()).spawn(|| ());
    made.map(drop).map_err(|error| no_thread("cannot start a thread", &error))
}

/// Puts into words that there is no thread, or no file for its events.
#[must_use]
pub fn no_thread(what: &str, error: &io::Error) -> Problem {
    Problem::refusal(
        Reason::Threads,
        what,
        error.to_string(),
        "raise the limits on processes, open files and memory (ulimit -u, ulimit -n, ulimit -v)",
    )
}

/// Makes the data directory (mode 0700) and finds out whether files can be written there.
///
/// # Errors
/// It cannot be made or written to; the problem names its owner and mode.
pub fn prepare_directory(path: &Path) -> Result<(), Problem> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| unusable_directory(path, &error))?;
    let probe = path.join(format!(".write-probe-{}", std::process::id()));
    let written = fs::write(&probe, b"probe").and_then(|()| fs::remove_file(&probe));
    written.map_err(|error| unusable_directory(path, &error))
}

fn unusable_directory(path: &Path, error: &io::Error) -> Problem {
    // The nearest parent that exists is the one whose owner and mode decide.
    let existing = path.ancestors().find_map(|parent| Some((parent, fs::metadata(parent).ok()?)));
    let owner = existing.map_or_else(String::new, |(parent, metadata)| {
        let shown = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let mode = metadata.mode() & 0o7777;
        format!("; {} belongs to user {} with mode {mode:04o}", shown.display(), metadata.uid())
    });
    Problem::refusal(
        Reason::DataDirectory,
        format!("cannot write to the data directory {}", path.display()),
        format!("{error}{owner}"),
        format!("give another with --data, or make it writable: chown \"$(id -u)\" {}", path.display()),
    )
}

/// Opens a listening socket, ready for tokio. `setting` is the setting that names the address.
///
/// # Errors
/// The address is taken (the problem names the holder when `/proc` tells) or cannot be used.
pub fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener, Problem> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|error| bind_problem(address, setting, &error))
}

/// Puts a failed bind into words.
#[must_use]
pub fn bind_problem(address: SocketAddr, setting: &str, error: &io::Error) -> Problem {
    let what = format!("cannot listen on {address}");
    let flag = if setting == "listen" { "--listen".to_owned() } else { format!("the setting {setting}") };
    let elsewhere = format!("choose another port with {flag}");
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let (cause, fix) = match holder::of(address) {
                Some(holder) => (
                    format!("process {} ({}) has it", holder.pid, holder.command),
                    format!("stop that process, or {elsewhere}"),
                ),
                None => ("another process has it".to_owned(), format!("stop that process, or {elsewhere}")),
            };
            Problem::refusal(Reason::AddressInUse, what, cause, fix)
        }
        io::ErrorKind::PermissionDenied => Problem::refusal(
            Reason::AddressNotAllowed,
            what,
            "ports below 1024 are kept for the administrator of the machine",
            elsewhere,
        ),
        io::ErrorKind::AddrNotAvailable => Problem::refusal(
            Reason::AddressNotHere,
            what,
            "this machine has no such address",
            format!("name one of its addresses with {flag}"),
        ),
        _ => Problem::refusal(Reason::Address, what, error.to_string(), elsewhere),
    }
}

/// Puts what the store refused into words.
#[must_use]
pub fn store_problem(error: &StoreError) -> Problem {
    match error {
        StoreError::Directory { path, reason } => Problem::refusal(
            Reason::DataDirectory,
            format!("cannot use the data directory, at {}", path.display()),
            reason.clone(),
            "give another with --data, or make it writable for this user",
        ),
        StoreError::Locked { path, pid } => in_use(path, pid),
        StoreError::KeyFile { path, reason } => Problem::refusal(
            Reason::KeyFile,
            format!("cannot use the key file {}", path.display()),
            reason.clone(),
            key_file_fix(path),
        ),
        StoreError::WrongKey { sealed_by, at_hand } => wrong_key(sealed_by, at_hand),
        StoreError::WrongPepper => Problem::refusal(
            Reason::WrongPepper,
            "cannot recognise the stored API keys",
            "the pepper is not the one that they were hashed with. Nothing was changed",
            "restore data/keys/pepper or the former ENCRYPTION_KEY",
        ),
        StoreError::NewerSchema { path, version } => Problem::refusal(
            Reason::NewerSchema,
            format!("cannot open the database {}", path.display()),
            format!("a newer version of this program wrote it (schema {version})"),
            "start that newer version, or restore a backup made before it",
        ),
        StoreError::Damaged { path } => Problem::refusal(
            Reason::DamagedDatabase,
            format!("cannot open the database {}", path.display()),
            "it is damaged, or not a database",
            format!(
                "get the rest back with: yumen db salvage {}; or restore a backup: yumen db restore",
                path.display()
            ),
        ),
        StoreError::OtherDatabase { path, asked } => other_database(path, asked),
        StoreError::ForeignDatabase { path } => foreign_database(path),
        StoreError::Unsealable { table, column, id } => Problem::refusal(
            Reason::AlteredCredential,
            "cannot open the stored credentials",
            format!(
                "the {column} of {table} {id} does not open: it was altered, or moved from another row. Nothing was changed"
            ),
            "restore the database from a backup: yumen db restore",
        ),
        other => Problem::refusal(
            Reason::Database,
            "the database failed",
            other.to_string(),
            "see the cause; then start again",
        ),
    }
}

fn in_use(path: &Path, pid: &str) -> Problem {
    Problem::refusal(
        Reason::DataInUse,
        "cannot open the data directory",
        format!("process {pid}{} is using it (lock file {})", holder::command_in_words(pid), path.display()),
        "stop that process, or give another directory with --data",
    )
}

fn other_database(path: &Path, asked: &str) -> Problem {
    Problem::refusal(
        Reason::OtherDatabase,
        format!("cannot take {asked} for the database"),
        format!("the data in its directory belongs to the database {}", path.display()),
        format!("name that one, or a file in another directory; or stop everything and rename it to {asked}"),
    )
}

fn foreign_database(path: &Path) -> Problem {
    Problem::refusal(
        Reason::OtherDatabase,
        format!("cannot take {} for the database", path.display()),
        "another program keeps its tables in it. Nothing was changed",
        "name a file that is not there yet, in DATABASE_URL or with --data",
    )
}

fn wrong_key(sealed_by: &str, at_hand: &str) -> Problem {
    Problem::refusal(
        Reason::WrongKey,
        "cannot open the stored credentials",
        format!("the key {sealed_by} sealed them; at hand is {at_hand}. Nothing was changed"),
        format!("restore the file data/keys/kek-{sealed_by}, or the former ENCRYPTION_KEY"),
    )
}

fn key_file_fix(path: &Path) -> String {
    if path.is_dir() {
        return format!("close it to others: chmod 700 {}", path.display());
    }
    if path.exists() {
        return format!("close it to others: chmod 600 {}; or restore it from a backup", path.display());
    }
    "restore it from a backup, or set the ENCRYPTION_KEY that was used".to_owned()
}

#[cfg(test)]
mod tests;
