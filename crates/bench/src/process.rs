//! Started servers and what `/proc` says about them: processor time, memory, threads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a server may take to leave after SIGTERM before it is killed.
const LEAVE_WITHIN: Duration = Duration::from_secs(15);

/// A server with its children; leaves when dropped.
pub struct Server {
    child: Child,
    name: String,
}

impl Server {
    /// Starts a command.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name: name.to_owned() })
    }

    /// The child process, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When it has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended with {status}", self.name),
            None => Ok(()),
        }
    }

    /// Its processes: itself and its children.
    #[must_use]
    pub fn processes(&self) -> Processes {
        Processes::of(self.child.id())
    }

    /// Asks it to leave and waits until it has.
    pub fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let start = Instant::now();
        while start.elapsed() < LEAVE_WITHIN {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The processes of one server.
#[derive(Clone, Debug)]
pub struct Processes(Vec<u32>);

impl Processes {
    /// A process and, if it has any, its children; servers here do not fork deeper.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let mut found = vec![pid];
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        for entry in entries {
            let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if parent(child) == Some(pid) {
                found.push(child);
            }
        }
        Self(found)
    }

    /// Processor time used so far by all threads that exist, in nanoseconds.
    #[must_use]
    pub fn cpu_ns(&self) -> u64 {
        self.threads().values().sum()
    }

    /// Processor time of each thread, in nanoseconds.
    #[must_use]
    pub fn threads(&self) -> BTreeMap<u32, u64> {
        let mut threads = BTreeMap::new();
        for pid in &self.0 {
            for entry in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let on_cpu = read(entry.path().join("schedstat"))
                    .and_then(|text| text.split_whitespace().next()?.parse().ok());
                let thread = entry.file_name().to_str().and_then(|name| name.parse().ok());
                if let (Some(thread), Some(on_cpu)) = (thread, on_cpu) {
                    threads.insert(thread, on_cpu);
                }
            }
        }
        threads
    }

    /// Proportional set size, in bytes: shared pages are counted once.
    #[must_use]
    pub fn pss(&self) -> u64 {
        self.sum("smaps_rollup", "Pss:")
    }

    /// Resident set size, in bytes.
    #[must_use]
    pub fn rss(&self) -> u64 {
        self.sum("status", "VmRSS:")
    }

    /// The name of a thread of one of these processes.
    #[must_use]
    pub fn thread_name(&self, thread: u32) -> String {
        let names =
            self.0.iter().find_map(|pid| read(PathBuf::from(format!("/proc/{pid}/task/{thread}/comm"))));
        names.map_or_else(|| thread.to_string(), |name| name.trim().to_owned())
    }

    fn sum(&self, file: &str, field: &str) -> u64 {
        let kilobytes = |pid: &u32| -> Option<u64> {
            let text = read(PathBuf::from(format!("/proc/{pid}/{file}")))?;
            let line = text.lines().find_map(|line| line.strip_prefix(field))?;
            line.split_whitespace().next()?.parse().ok()
        };
        self.0.iter().filter_map(kilobytes).sum::<u64>() * 1024
    }
}

/// The parent of a process: the second field after the name in parentheses.
fn parent(pid: u32) -> Option<u32> {
    let text = read(PathBuf::from(format!("/proc/{pid}/stat")))?;
    text.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

fn read(path: PathBuf) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_its_own_memory_and_threads() {
        let own = Processes::of(std::process::id());
        assert!(own.pss() > 0 && own.rss() >= own.pss() / 2);
        assert!(own.threads().len() >= 2);
        assert!(parent(std::process::id()).is_some());
    }
}
