//! Space that is kept for the day when the disk is full: given up then, so that requests that already run
//! can end properly while new ones are refused.

use std::io;
use std::path::{Path, PathBuf};

use super::fs::Fs;

/// Bytes written at once while the reserve is filled.
const PIECE: usize = 1 << 20;

/// The file below the journal's directory.
const NAME: &str = "reserve";

/// Whether the reserve is there in its full size.
///
/// # Errors
/// The system's.
pub fn is_whole(fs: &dyn Fs, directory: &Path, bytes: u64) -> io::Result<bool> {
    Ok(fs.list(directory)?.iter().any(|(name, length)| name == NAME && *length >= bytes))
}

/// Makes the reserve, unless it is there.
///
/// # Errors
/// The system's, when the disk has no such room; nothing is left behind.
pub fn make(fs: &dyn Fs, directory: &Path, bytes: u64) -> io::Result<()> {
    if is_whole(fs, directory, bytes)? {
        return Ok(());
    }
    let unfinished = directory.join("reserve.new");
    let made = fill(fs, &unfinished, bytes).and_then(|()| fs.rename(&unfinished, &path(directory)));
    if made.is_err() {
        let _ = fs.remove(&unfinished);
    }
    made
}

/// Gives the reserve up; whether there was one.
pub fn give_up(fs: &dyn Fs, directory: &Path) -> bool {
    fs.remove(&path(directory)).is_ok()
}

fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

fn fill(fs: &dyn Fs, path: &Path, bytes: u64) -> io::Result<()> {
    match fs.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = fs.create(path)?;
    // Not zeros: a file system that compresses or keeps holes would set nothing aside for them.
    let pattern: Vec<u8> =
        (0..PIECE).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    while left > 0 {
        let piece = left.min(PIECE);
        file.append(&pattern[..piece])?;
        left -= piece;
    }
    Ok(())
}
