//! Segments: their names, which there are, how far each one counts, and reading the records of one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{self, Found, HEADER, Header};
use super::fs::Fs;

/// Bytes that are read at once: large enough that calls to the system do not count, small enough that
/// reading a journal of any length takes no memory worth naming.
const PIECE: usize = 256 * 1024;

/// Which segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId {
    /// Which of the shards that are written side by side.
    pub shard: u32,
    /// Which segment of it, from 1; numbers only grow.
    pub segment: u64,
}

impl SegmentId {
    /// Where it is kept below the journal's directory.
    #[must_use]
    pub fn path(self, directory: &Path) -> PathBuf {
        directory.join(format!("{}-{}.log", self.shard, self.segment))
    }

    /// The segment of that file name; `None` when it is none of ours.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (shard, segment) = name.strip_suffix(".log")?.split_once('-')?;
        let id = Self { shard: shard.parse().ok()?, segment: segment.parse().ok()? };
        // `+1` and `01` are read as numbers too, and are not what we write.
        (format!("{}-{}.log", id.shard, id.segment) == name && id.segment > 0).then_some(id)
    }
}

/// A segment that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which one.
    pub id: SegmentId,
    /// Bytes of its file.
    pub bytes: u64,
    /// Bytes of it that count: later segments may have declared the rest void.
    pub until: u64,
}

/// Every segment that there is, by shard and number.
///
/// # Errors
/// The system's.
pub fn list(fs: &dyn Fs, directory: &Path) -> io::Result<Vec<Listed>> {
    let files = fs.list(directory)?;
    let named = files.into_iter().filter_map(|(name, bytes)| Some((SegmentId::named(&name)?, bytes)));
    let mut segments: Vec<_> = named.map(|(id, bytes)| Listed { id, bytes, until: bytes }).collect();
    segments.sort_unstable_by_key(|segment| segment.id);
    for at in 0..segments.len() {
        let id = segments[at].id;
        let head = fs.read(&id.path(directory), 0, HEADER)?;
        let header =
            Header::read(&head).filter(|header| (header.shard, header.segment) == (id.shard, id.segment));
        if let Some((first, offset)) = header.and_then(|header| header.void_from) {
            for earlier in segments[..at].iter_mut().filter(|earlier| earlier.id.shard == id.shard) {
                match earlier.id.segment {
                    segment if segment == first => earlier.until = earlier.until.min(offset),
                    segment if segment > first => earlier.until = 0,
                    _ => {}
                }
            }
        }
    }
    Ok(segments)
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What stands in it.
    pub content: &'a [u8],
    /// The byte of the segment at which it ends.
    pub end: u64,
}

/// Reads the records of one segment, in order.
#[derive(Debug)]
pub struct Records {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    id: SegmentId,
    /// Bytes of the file before `buffer`.
    base: u64,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are read.
    used: usize,
    /// Nothing beyond this byte of the file is looked at.
    until: u64,
    headed: bool,
}

impl Records {
    /// The records from the beginning of `id`, below byte `until`.
    #[must_use]
    pub fn new(fs: Arc<dyn Fs>, directory: &Path, id: SegmentId, until: u64) -> Self {
        let path = id.path(directory);
        Self { fs, path, id, base: 0, buffer: Vec::new(), used: 0, until, headed: false }
    }

    /// The records that begin at byte `offset`, where a record or the header's end is known to be.
    #[must_use]
    pub fn from(self, offset: u64) -> Self {
        if offset == 0 { self } else { Self { base: offset, headed: true, ..self } }
    }

    /// How far records were read: where the next one begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.base + u64::try_from(self.used).unwrap_or(0)
    }

    /// The next record; `None` at the end, which is also where no sound record stands.
    ///
    /// # Errors
    /// The system's. Nothing is skipped: the same record comes next.
    pub fn read(&mut self) -> io::Result<Option<Record<'_>>> {
        if !self.headed {
            self.fill(HEADER)?;
            let header = Header::read(&self.buffer);
            if header.is_none_or(|header| (header.shard, header.segment) != (self.id.shard, self.id.segment))
            {
                return Ok(None);
            }
            self.used = HEADER;
            self.headed = true;
        }
        let mut needed = frame::PREFIX;
        loop {
            match frame::first(&self.buffer[self.used..]) {
                Found::Nothing => return Ok(None),
                Found::Part(more) => needed = needed.max(more),
                Found::Record(_, bytes) => {
                    let content = self.used + frame::PREFIX..self.used + bytes;
                    self.used = content.end;
                    let end = self.offset();
                    return Ok(Some(Record { content: &self.buffer[content], end }));
                }
            }
            if !self.fill(needed)? {
                return Ok(None);
            }
        }
    }

    /// Makes `needed` bytes readable; says whether there are so many.
    fn fill(&mut self, needed: usize) -> io::Result<bool> {
        if self.buffer.len() - self.used >= needed {
            return Ok(true);
        }
        self.base = self.offset();
        self.buffer.drain(..self.used);
        self.used = 0;
        let at = self.base + u64::try_from(self.buffer.len()).unwrap_or(0);
        let left = usize::try_from(self.until.saturating_sub(at)).unwrap_or(usize::MAX);
        let most = PIECE.max(needed).min(left);
        if most > 0 {
            let piece = self.fs.read(&self.path, at, most)?;
            self.buffer.extend_from_slice(&piece);
        }
        Ok(self.buffer.len() >= needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_found_by_its_name_and_nothing_else_is() {
        let id = SegmentId { shard: 2, segment: 17 };
        let path = id.path(Path::new("journal"));
        assert_eq!(path, Path::new("journal/2-17.log"));
        assert_eq!(SegmentId::named("2-17.log"), Some(id));
        for other in
            ["2-17", "02-17.log", "2-+17.log", "2-0.log", "-17.log", "2-.log", "reserve", "1-2-3.log"]
        {
            assert_eq!(SegmentId::named(other), None, "{other}");
        }
    }
}
