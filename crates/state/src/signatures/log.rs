//! The log behind nonces and freezes: files of records of one size, each with its own checksum. A file is
//! only ever appended to by the process that made it; a new one begins with all freezes as they stand, so
//! that old ones are deleted as soon as their nonces are too old to matter.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::ResourceId;
use model::clock::EpochMs;
use parking_lot::Mutex;

use super::nonces::KEPT_MS;
use super::source::Source;

static CRC: crc::Crc<u32, crc::Table<16>> = crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISCSI);

/// What a file begins with; its last two characters are the version of the form.
const MAGIC: &[u8; 8] = b"YUMENS01";
/// Bytes of a record: checksum, kind, a small number, key, what it is about, a time.
const RECORD: usize = 4 + 2 + ID_BYTES + 16 + 8;
const ID_BYTES: usize = 26;
/// A file is left when it is this old,
const FILE_AGE_MS: u64 = 10 * 60 * 1_000;
/// or this large: 600,000 records.
const FILE_BYTES: u64 = 32 << 20;
const SUFFIX: &str = "log";

/// What is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A nonce was used.
    Nonce { key: ResourceId, nonce: u128, at: EpochMs },
    /// A key was frozen for a source, for the so-manieth time.
    Frozen { key: ResourceId, source: Source, until: EpochMs, freezes: u8 },
    /// A key was frozen everywhere.
    FrozenEverywhere { key: ResourceId },
    /// All freezes of a key ended.
    Thawed { key: ResourceId },
    /// A source was right for the first time.
    Succeeded { key: ResourceId, source: Source },
}

impl Event {
    fn to_bytes(&self) -> [u8; RECORD] {
        let nothing = [0; 16];
        let (kind, small, key, about, time) = match self {
            Self::Nonce { key, nonce, at } => (1, 0, key, nonce.to_le_bytes(), *at),
            Self::Frozen { key, source, until, freezes } => (2, *freezes, key, source.to_bytes(), *until),
            Self::FrozenEverywhere { key } => (3, 0, key, nothing, 0),
            Self::Thawed { key } => (4, 0, key, nothing, 0),
            Self::Succeeded { key, source } => (5, 0, key, source.to_bytes(), 0),
        };
        let mut bytes = [0; RECORD];
        (bytes[4], bytes[5]) = (kind, small);
        bytes[6..6 + ID_BYTES].copy_from_slice(key.as_str().as_bytes());
        bytes[RECORD - 24..RECORD - 8].copy_from_slice(&about);
        bytes[RECORD - 8..].copy_from_slice(&time.to_le_bytes());
        let check = CRC.checksum(&bytes[4..]);
        bytes[..4].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if CRC.checksum(bytes.get(4..)?).to_le_bytes() != *bytes.get(..4)? {
            return None;
        }
        let key = ResourceId::parse(std::str::from_utf8(bytes.get(6..6 + ID_BYTES)?).ok()?)?;
        let about: [u8; 16] = bytes.get(RECORD - 24..RECORD - 8)?.try_into().ok()?;
        let time = u64::from_le_bytes(bytes.get(RECORD - 8..)?.try_into().ok()?);
        Some(match bytes[4] {
            1 => Self::Nonce { key, nonce: u128::from_le_bytes(about), at: time },
            2 => Self::Frozen { key, source: Source::from_bytes(about)?, until: time, freezes: bytes[5] },
            3 => Self::FrozenEverywhere { key },
            4 => Self::Thawed { key },
            5 => Self::Succeeded { key, source: Source::from_bytes(about)? },
            _ => return None,
        })
    }

    /// When a nonce was used.
    fn used_at(&self) -> Option<EpochMs> {
        match self {
            Self::Nonce { at, .. } => Some(*at),
            _ => None,
        }
    }
}

/// A file that nothing is appended to any more.
#[derive(Debug)]
pub(super) struct Old {
    path: PathBuf,
    number: u64,
    /// When its newest nonce was used.
    newest: EpochMs,
}

/// Reads all files in the order in which they were written. A record that is damaged is given as `None`.
///
/// # Errors
/// The directory or a file cannot be read; a missing directory is empty.
pub(super) fn read_all(directory: &Path, mut each: impl FnMut(Option<Event>)) -> io::Result<Vec<Old>> {
    fs::create_dir_all(directory)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|suffix| suffix == SUFFIX)) {
            files.push(Old { path, number, newest: 0 });
        }
    }
    files.sort_by_key(|file| file.number);
    for file in &mut files {
        let mut bytes = Vec::new();
        File::open(&file.path)?.read_to_end(&mut bytes)?;
        let Some(records) = bytes.strip_prefix(MAGIC) else {
            each(None);
            continue;
        };
        for record in records.chunks(RECORD) {
            let event = Event::from_bytes(record);
            file.newest = file.newest.max(event.as_ref().and_then(Event::used_at).unwrap_or(0));
            each(event);
        }
    }
    Ok(files)
}

/// The file that is written to, and those before it.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: Arc<File>,
    path: PathBuf,
    number: u64,
    bytes: u64,
    began: EpochMs,
    newest: EpochMs,
    /// Written to since it was last synced.
    unsynced: bool,
    /// A write has failed, and what of it is in the file is not known: nothing more is appended.
    broken: bool,
    old: Vec<Old>,
}

impl Log {
    /// Begins a new file after the `old` ones.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn begin(directory: &Path, old: Vec<Old>, now_ms: EpochMs, snapshot: &[Event]) -> io::Result<Self> {
        let number = old.last().map_or(1, |last| last.number + 1);
        let inner = Inner::begin(directory, number, now_ms, snapshot)?;
        let log = Self { directory: directory.to_owned(), inner: Mutex::new(Inner { old, ..inner }) };
        log.keep(now_ms, Vec::new)?;
        Ok(log)
    }

    /// Writes an event to the page cache.
    ///
    /// # Errors
    /// The system's, then and until [`Log::keep`] has begun a new file.
    pub fn append(&self, event: &Event) -> io::Result<()> {
        let mut inner = self.inner.lock();
        if inner.broken {
            return Err(io::Error::other("an earlier write to the log of nonces has failed"));
        }
        if let Err(error) = (&*inner.file).write_all(&event.to_bytes()) {
            // A part of the record may be there: records must stay whole for those who read them.
            inner.broken = inner.file.set_len(inner.bytes).is_err();
            return Err(error);
        }
        inner.bytes += RECORD as u64;
        inner.newest = inner.newest.max(event.used_at().unwrap_or(0));
        inner.unsynced = true;
        Ok(())
    }

    /// Syncs; begins a new file with `snapshot` when it is time; deletes those that are too old to matter.
    ///
    /// # Errors
    /// The system's.
    pub fn keep(&self, now_ms: EpochMs, snapshot: impl FnOnce() -> Vec<Event>) -> io::Result<()> {
        let unsynced = {
            let mut inner = self.inner.lock();
            if inner.is_due(now_ms) {
                let next = Inner::begin(&self.directory, inner.number + 1, now_ms, &snapshot())?;
                let last = std::mem::replace(&mut *inner, next);
                let Inner { path, number, newest, old, .. } = last;
                inner.old = old;
                inner.old.push(Old { path, number, newest });
            }
            std::mem::take(&mut inner.unsynced).then(|| Arc::clone(&inner.file))
        };
        // Without the lock: writers do not wait for the disk.
        if let Some(file) = unsynced {
            file.sync_data()?;
        }
        self.delete_old(now_ms)
    }

    fn delete_old(&self, now_ms: EpochMs) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let (gone, kept) = std::mem::take(&mut inner.old)
            .into_iter()
            .partition::<Vec<_>, _>(|old| old.newest.saturating_add(KEPT_MS) <= now_ms);
        inner.old = kept;
        drop(inner);
        gone.iter().try_for_each(|old| match fs::remove_file(&old.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }
}

impl Inner {
    fn begin(directory: &Path, number: u64, now_ms: EpochMs, snapshot: &[Event]) -> io::Result<Self> {
        let path = directory.join(format!("{number:010}.{SUFFIX}"));
        let file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        let mut bytes = MAGIC.to_vec();
        snapshot.iter().for_each(|event| bytes.extend_from_slice(&event.to_bytes()));
        if let Err(error) = (&file).write_all(&bytes) {
            drop(fs::remove_file(&path));
            return Err(error);
        }
        // Its name must be on the disk before an older file goes.
        File::open(directory)?.sync_all()?;
        Ok(Self {
            file: Arc::new(file),
            path,
            number,
            bytes: bytes.len() as u64,
            began: now_ms,
            newest: 0,
            unsynced: true,
            broken: false,
            old: Vec::new(),
        })
    }

    fn is_due(&self, now_ms: EpochMs) -> bool {
        let is_old = self.began.saturating_add(FILE_AGE_MS) <= now_ms && self.bytes > MAGIC.len() as u64;
        self.broken || self.bytes >= FILE_BYTES || is_old
    }
}
