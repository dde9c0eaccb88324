//! The files that the journal needs: the machine's, or a simulated disk that loses what was not synced.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file that is only appended to.
pub trait File: Send + Sync + fmt::Debug {
    /// Appends all of `bytes` in one call to the system; they survive the process.
    ///
    /// # Errors
    /// The system's; any part of the bytes may then stand in the file.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to its first `bytes` bytes.
    ///
    /// # Errors
    /// The system's.
    fn cut(&self, bytes: u64) -> io::Result<()>;

    /// Returns when all that was appended survives a power cut, the file's name excepted.
    ///
    /// # Errors
    /// The system's; what the disk has is then unknown, and a second call proves nothing.
    fn sync(&self) -> io::Result<()>;
}

/// Directories and their files.
pub trait Fs: Send + Sync + fmt::Debug {
    /// Makes a directory and its parents, if it is not there, readable to its owner only.
    ///
    /// # Errors
    /// The system's.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes a file that is not there yet.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` when it is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// At most `most` bytes of a file, from `offset`; fewer only at its end.
    ///
    /// # Errors
    /// The system's.
    fn read(&self, path: &Path, offset: u64, most: usize) -> io::Result<Vec<u8>>;

    /// The files of a directory: names and lengths, in no order.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, directory: &Path) -> io::Result<Vec<(String, u64)>>;

    /// Returns when a file that nobody writes to survives a power cut, its name excepted.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, in place of whatever has it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns when the names in a directory survive a power cut.
    ///
    /// # Errors
    /// The system's.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// The machine's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

#[derive(Debug)]
struct RealFile(fs::File);

impl File for RealFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Fs for RealFs {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn read(&self, path: &Path, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                files.push((name, entry.metadata()?.len()));
            }
        }
        Ok(files)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }
}

/// Writes a small file whole or not at all, and returns when it survives a power cut.
///
/// # Errors
/// The system's; the file is then as it was before, or as it should be.
pub fn replace(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside: PathBuf = path.to_owned();
    beside.set_extension("new");
    match fs.remove(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = fs.create(&beside)?;
    file.append(bytes)?;
    file.sync()?;
    fs.rename(&beside, path)?;
    path.parent().map_or(Ok(()), |directory| fs.sync_directory(directory))
}
