//! The streams of the log, and where each goes: standard error, standard output, or a file of its own that is
//! rotated.
//!
//! A line is in one stream only. What cannot be written to its file goes to standard error, and nobody fails for it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tracing::{Level, Metadata};

use crate::log::write_lines;

/// The target of events about changes that come into force.
pub const CONFIGURATION: &str = "configuration";
/// The target of events about who did what.
const AUDIT: &str = "audit";

/// A stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// How the process goes.
    Process,
    /// Warnings and errors.
    Error,
    /// One line for each request.
    Digest,
    /// Who did what.
    Audit,
    /// Which configuration came into force, and which could not.
    Configuration,
}

impl Stream {
    /// Every stream.
    pub const ALL: [Self; 5] = [Self::Process, Self::Error, Self::Digest, Self::Audit, Self::Configuration];

    /// The stream of an event.
    pub(crate) fn of(event: &Metadata<'_>) -> Self {
        match event.target() {
            AUDIT => Self::Audit,
            CONFIGURATION => Self::Configuration,
            _ if *event.level() <= Level::WARN => Self::Error,
            _ => Self::Process,
        }
    }
}

/// Where a stream goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// Standard error, after what is held back there.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
    /// A file, to which lines are appended.
    File(PathBuf),
}

/// Where all of them go, and when files are rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The destinations, in the order of [`Stream::ALL`].
    pub destinations: [Destination; 5],
    /// A file that would grow beyond so many bytes becomes `NAME.1`, that one `NAME.2`, and so on.
    pub most_bytes: u64,
    /// How many of these are kept.
    pub kept: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self { destinations: Default::default(), most_bytes: 100 << 20, kept: 10 }
    }
}

/// A destination that is open.
enum Sink {
    Stderr,
    Stdout,
    File(Arc<Mutex<Rotated>>),
}

static SINKS: OnceLock<[Sink; 5]> = OnceLock::new();

/// Opens the files of a plan and has every line from now on go where it says. Once in a process; without it all
/// go to standard error.
///
/// # Errors
/// The file that cannot be opened, and why.
pub fn direct(plan: &Plan) -> Result<(), (PathBuf, io::Error)> {
    let mut files: Vec<(&Path, Arc<Mutex<Rotated>>)> = Vec::new();
    for destination in &plan.destinations {
        let Destination::File(path) = destination else { continue };
        // Two streams may share a file.
        if !files.iter().any(|(known, _)| known == path) {
            let opened = Rotated::open(path, plan).map_err(|error| (path.clone(), error))?;
            files.push((path, Arc::new(Mutex::new(opened))));
        }
    }
    let sinks = plan.destinations.each_ref().map(|destination| match destination {
        Destination::Stdout => Sink::Stdout,
        Destination::Stderr => Sink::Stderr,
        Destination::File(path) => {
            let file = files.iter().find(|(known, _)| known == path);
            file.map_or(Sink::Stderr, |(_, file)| Sink::File(Arc::clone(file)))
        }
    });
    // A second call changes nothing: lines may be on their way already.
    let _ = SINKS.set(sinks);
    Ok(())
}

/// Writes finished lines, each ending in a line feed, to their stream.
pub fn write(stream: Stream, lines: &[u8]) {
    let written = match SINKS.get().map(|sinks| &sinks[stream as usize]) {
        None | Some(Sink::Stderr) => false,
        Some(Sink::Stdout) => io::stdout().lock().write_all(lines).is_ok(),
        Some(Sink::File(file)) => file.lock().write(lines).is_ok(),
    };
    if !written {
        write_lines(lines);
    }
}

/// A file that is rotated.
struct Rotated {
    path: PathBuf,
    file: File,
    size: u64,
    most: u64,
    kept: u32,
}

impl Rotated {
    fn open(path: &Path, plan: &Plan) -> io::Result<Self> {
        let file = append_to(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, most: plan.most_bytes, kept: plan.kept })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let added = lines.len() as u64;
        if self.size > 0 && self.size.saturating_add(added) > self.most {
            self.rotate()?;
        }
        self.file.write_all(lines)?;
        self.size += added;
        Ok(())
    }

    /// Whoever reads the file goes on reading it under its next name: it is renamed, never copied.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.kept).rev() {
            let _ = std::fs::rename(self.numbered(number), self.numbered(number + 1));
        }
        if self.kept > 0 {
            std::fs::rename(&self.path, self.numbered(1))?;
        } else {
            std::fs::remove_file(&self.path)?;
        }
        (self.file, self.size) = (append_to(&self.path)?, 0);
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

/// Opens a file for appending, for its owner and group alone.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_rotated_before_it_is_too_long_and_the_oldest_goes() {
        let folder = std::env::temp_dir().join(format!("yumen-rotated-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("digest.log");
        std::fs::write(&path, "old\n").unwrap();
        let plan = Plan { most_bytes: 10, kept: 2, ..Plan::default() };
        let mut file = Rotated::open(&path, &plan).unwrap();
        for line in ["one\n", "two\n", "a longer line than fits\n", "three\n", "four\n"] {
            file.write(line.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert_eq!(read("digest.log"), "four\n");
        assert_eq!(read("digest.log.1"), "three\n");
        assert_eq!(read("digest.log.2"), "a longer line than fits\n");
        assert!(!folder.join("digest.log.3").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let path = PathBuf::from("/dev/null/no/file.log");
        let mut plan = Plan::default();
        plan.destinations[Stream::Audit as usize] = Destination::File(path.clone());
        assert_eq!(direct(&plan).unwrap_err().0, path);
    }
}
