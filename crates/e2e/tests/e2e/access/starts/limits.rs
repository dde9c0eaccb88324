//! Starts that the machine itself does not allow: a clock that is wrong, a port that is not this user's, no thread.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use testkit::command::Commands;
use testkit::gateway::Options;

use super::Start;

/// Stands before the C library's function and says what it says, but for the time of day.
const CLOCK: &str = "\
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    int result = syscall(SYS_clock_gettime, id, at);
    if (result == 0 && id == CLOCK_REALTIME) at->tv_sec SHIFT;
    return result;
}
";
/// A stack for each thread that no machine has the addresses for: a petabyte.
const NO_STACK: &str = "1125899906842624";
/// From which port on everybody may listen.
const FIRST_FREE_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

fn is_root() -> Result<bool> {
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}

/// Takes a capability away from root; nobody else has it.
pub(super) fn without(capability: &str, options: Options) -> Result<Options> {
    let set = format!("--bounding-set=-{capability}");
    Ok(if is_root()? { options.under(&["setpriv", &set]) } else { options })
}

/// A library that makes a process see the wrong time; `shift` is what is done to the seconds, in C.
pub(super) async fn clock(folder: &Path, name: &str, shift: &str) -> Result<String> {
    std::fs::write(folder.join("clock.c"), CLOCK)?;
    let line = format!("cc -shared -fPIC '-DSHIFT={shift}' -o {name}.so clock.c");
    let ended = Commands::of(folder).shell(&line).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(folder.join(format!("{name}.so")).display().to_string())
}

/// Port 1 without the right to it. Where every port is everybody's, in a network of its own, where it is not.
pub(super) fn port_not_allowed() -> Result<Start> {
    let first: u16 = std::fs::read_to_string(FIRST_FREE_PORT)?.trim().parse().context("no port")?;
    let options =
        Options::default().argument("--listen").argument("0.0.0.0:1").env("YUMEN_TLS_TERMINATED", "1");
    let options = match (first > 1, is_root()?) {
        (true, _) => options,
        (false, true) => options.under(&["unshare", "--net"]),
        (false, false) => options.under(&["unshare", "--map-current-user", "--net"]),
    };
    Ok(Start::new("a port of root's", without("net_bind_service", options)?, &["1024"]))
}

/// No room for the stack of a thread.
pub(super) fn no_thread() -> Start {
    Start::new("no thread", Options::default().env("RUST_MIN_STACK", NO_STACK), &["ulimit -u"])
}
