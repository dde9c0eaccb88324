//! Trouble that a machine makes: a disk that is full, a database that somebody else has locked or reads.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::gateway::Folder;
use crate::wait::PATIENCE;

/// A file system of a few megabytes in memory, to be filled; unmounted when dropped.
pub struct SmallDisk {
    folder: Folder,
}

impl SmallDisk {
    /// Mounts one. `None` where the test may not mount, which needs root.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub async fn mount(mebibytes: u64) -> Result<Option<Self>> {
        let folder = Folder::temporary()?;
        let size = format!("size={mebibytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path());
        let mounted = mount.stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        let mounted = mounted.is_ok_and(|status| status.success());
        Ok(mounted.then_some(Self { folder }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the room that is left; dropping what this gives frees it again.
    ///
    /// # Errors
    /// When the file cannot be made at all.
    pub fn fill(&self) -> Result<Ballast> {
        let there = std::fs::read_dir(self.path())?.count();
        let path = self.path().join(format!("ballast-{there}"));
        let mut file = std::fs::File::create(&path)?;
        for size in [1 << 20, 1 << 12, 1] {
            let block = vec![b'x'; size];
            while std::io::Write::write_all(&mut file, &block).is_ok() {}
        }
        Ok(Ballast { path })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has a file open keeps it; the folder is free at once.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// What fills a disk.
pub struct Ballast {
    path: PathBuf,
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Another process that holds something of a database, until this is dropped.
pub struct Held {
    _child: Child,
}

/// Takes what it is told by the second argument, and gives it back when nobody listens any more.
const HOLD: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
database.execute(sys.argv[2])
database.execute('SELECT COUNT(*) FROM sqlite_schema').fetchall()
print('held', flush=True)
sys.stdin.read()
database.execute('ROLLBACK')
";

impl Held {
    /// Locks the SQLite database at `path` for writing.
    ///
    /// # Errors
    /// When there is no Python, or the lock is not had within the kit's patience.
    pub async fn locked(path: &Path) -> Result<Self> {
        Self::take(path, "BEGIN EXCLUSIVE").await
    }

    /// Reads from the database at `path` as it is now, and goes on: what is written from now on cannot leave the
    /// write-ahead log.
    ///
    /// # Errors
    /// As [`Held::locked`].
    pub async fn read(path: &Path) -> Result<Self> {
        Self::take(path, "BEGIN").await
    }

    async fn take(path: &Path, begin: &str) -> Result<Self> {
        let mut python = Command::new("python3");
        python.arg("-c").arg(HOLD).arg(path).arg(begin).kill_on_drop(true);
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = python.spawn().context("starting python3")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut line = String::new();
        let mut reader = BufReader::new(stdout);
        timeout(PATIENCE, reader.read_line(&mut line)).await.context("nothing is held in time")??;
        if line.trim() != "held" {
            bail!("nothing of the database could be held");
        }
        Ok(Self { _child: child })
    }
}
