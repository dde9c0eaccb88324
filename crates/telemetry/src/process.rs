//! What the operating system knows of this process, read from `/proc` when metrics are asked for.
//!
//! Elsewhere than on Linux nothing can be read, and nothing is reported.

/// One reading.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Process {
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Threads.
    pub threads: u64,
    /// Processor time used, user and system, in seconds.
    pub cpu_seconds: f64,
    /// When the process started, in seconds since the Unix epoch.
    pub start_seconds: f64,
}

impl Process {
    /// Reads the present state; `None` where there is no `/proc`.
    pub(crate) fn read() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let system = std::fs::read_to_string("/proc/stat").ok()?;
        let booted = number_after(&system, "btime ")?;
        // proc_pid_stat(5): the name in parentheses may hold spaces; `state`, field 3, follows it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let (user, system, started) = (ticks(14)?, ticks(15)?, ticks(22)?);
        Some(Self {
            resident_bytes: number_after(&status, "VmRSS:")?.saturating_mul(1024),
            threads: number_after(&status, "Threads:")?,
            open_fds: u64::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
            cpu_seconds: seconds(user + system),
            start_seconds: f64::from(u32::try_from(booted).ok()?) + seconds(started),
        })
    }
}

/// Clock ticks as seconds. `USER_HZ` is 100 on every Linux architecture that Rust supports.
fn seconds(ticks: u64) -> f64 {
    std::time::Duration::from_millis(ticks.saturating_mul(10)).as_secs_f64()
}

/// The number that follows `name` at the start of a line.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_a_past() {
        let process = Process::read().expect("/proc");
        assert!(process.resident_bytes > 1024 && process.open_fds > 0 && process.threads > 0);
        assert!(process.start_seconds > 1.6e9 && process.cpu_seconds >= 0.0);
    }
}
