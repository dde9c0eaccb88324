//! The log behind the homes of responses: files of records with checksums. A file is only ever appended to by
//! the process that made it; when it is large a new one takes over, which gets all that is still remembered,
//! and the old one goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::ResourceId;
use parking_lot::Mutex;

use super::{Home, LONGEST_ID};

static CRC: crc::Crc<u32, crc::Table<16>> = crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISCSI);

/// What a file begins with; its last two characters are the version of the form.
const MAGIC: &[u8; 8] = b"YUMENH01";
const ID_BYTES: usize = 26;
/// Bytes before the two texts of a record: checksum, their lengths, account, owner.
const HEAD: usize = 4 + 4 + 2 * ID_BYTES;
/// Longer names of models are not remembered (administration takes 256 characters).
const LONGEST_MODEL: usize = 1_024;
/// A file is left when it is this large: with the one that takes over, of at most 65,536 records that have
/// 200 bytes as a rule, some 48 MB.
pub(super) const FILE_BYTES: u64 = 32 << 20;
const SUFFIX: &str = "log";

/// A record, checksum first; `None` for a model whose name is too long.
fn to_bytes(id: &str, home: &Home) -> Option<Vec<u8>> {
    let lengths = (u16::try_from(id.len()).ok()?, u16::try_from(home.model.len()).ok()?);
    if home.model.len() > LONGEST_MODEL {
        return None;
    }
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&lengths.0.to_le_bytes());
    bytes.extend_from_slice(&lengths.1.to_le_bytes());
    for text in [home.account.as_str(), home.owner.as_str(), id, &home.model] {
        bytes.extend_from_slice(text.as_bytes());
    }
    let check = CRC.checksum(&bytes[4..]);
    bytes[..4].copy_from_slice(&check.to_le_bytes());
    Some(bytes)
}

/// The first record of `bytes`, and what follows it; `None` where it is damaged or cut off.
fn first(bytes: &[u8]) -> Option<((&str, Home), &[u8])> {
    let head = bytes.get(..HEAD)?;
    let length = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let (id, model) = (length(4), length(6));
    if id > LONGEST_ID || model > LONGEST_MODEL {
        return None;
    }
    let record = bytes.get(..HEAD + id + model)?;
    if CRC.checksum(&record[4..]).to_le_bytes() != head[..4] {
        return None;
    }
    let text = |from: usize, length: usize| std::str::from_utf8(&record[from..from + length]).ok();
    let home = Home {
        account: ResourceId::parse(text(8, ID_BYTES)?)?,
        owner: ResourceId::parse(text(8 + ID_BYTES, ID_BYTES)?)?,
        model: text(HEAD + id, model)?.into(),
    };
    Some(((text(HEAD, id)?, home), &bytes[record.len()..]))
}

/// Gives every record of every file in the order in which they were written, up to the first of a file that is
/// damaged, which is where a crash of the machine cut it. Returns the files, and how many were cut.
///
/// # Errors
/// The directory or a file cannot be read; a missing directory is made.
pub(super) fn read_all(
    directory: &Path,
    mut each: impl FnMut(&str, Home),
) -> io::Result<(Vec<PathBuf>, usize)> {
    fs::create_dir_all(directory)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if number(&path).is_some() && path.extension().is_some_and(|suffix| suffix == SUFFIX) {
            files.push(path);
        }
    }
    files.sort_unstable_by_key(|path| number(path));
    let mut cut = 0;
    for path in &files {
        let bytes = fs::read(path)?;
        let mut rest = bytes.strip_prefix(MAGIC).unwrap_or_default();
        while let Some(((id, home), more)) = first(rest) {
            each(id, home);
            rest = more;
        }
        cut += usize::from(!rest.is_empty() || !bytes.starts_with(MAGIC));
    }
    Ok((files, cut))
}

fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// The file that is written to.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: Arc<File>,
    number: u64,
    bytes: u64,
    /// Written to since it was last synced.
    unsynced: bool,
    /// Why the last write failed: nothing more is appended to this file.
    broken: Option<io::ErrorKind>,
    /// Files that this one takes over from.
    old: Vec<PathBuf>,
}

impl Log {
    /// Begins a new file that is to take over from the `old` ones.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn begin(directory: &Path, old: Vec<PathBuf>) -> io::Result<Self> {
        let next = old.iter().filter_map(|path| number(path)).max().unwrap_or(0) + 1;
        let inner = Inner::begin(directory, next, old)?;
        Ok(Self { directory: directory.to_owned(), inner: Mutex::new(inner) })
    }

    /// Writes a record to the page cache. A failure is told by [`Log::keep`]: it costs a later request its
    /// way, and no present one anything.
    pub fn append(&self, id: &str, home: &Home) {
        if let Some(bytes) = to_bytes(id, home) {
            self.inner.lock().write(&bytes);
        }
    }

    /// Whether a new file is due, or this one has yet to take over.
    pub fn is_due(&self) -> bool {
        let inner = self.inner.lock();
        inner.broken.is_some() || inner.bytes >= FILE_BYTES || !inner.old.is_empty()
    }

    /// Lets a new file take over where this one is full or broken. Gives it all that is remembered, batch
    /// by batch, so that nobody who appends waits for long, and deletes the old ones.
    ///
    /// # Errors
    /// The system's.
    pub fn take_over(&self, batches: impl Iterator<Item = Vec<(Box<str>, Home)>>) -> io::Result<()> {
        {
            let mut inner = self.inner.lock();
            if inner.broken.is_some() || inner.bytes >= FILE_BYTES {
                let mut old = inner.old.clone();
                old.push(self.directory.join(name(inner.number)));
                *inner = Inner::begin(&self.directory, inner.number + 1, old)?;
            }
        }
        for batch in batches {
            let bytes: Vec<u8> = batch.iter().filter_map(|(id, home)| to_bytes(id, home)).flatten().collect();
            self.inner.lock().write(&bytes);
        }
        self.sync()?;
        let old = std::mem::take(&mut self.inner.lock().old);
        old.iter().try_for_each(|path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }

    /// Brings to the disk what was written.
    ///
    /// # Errors
    /// The system's, and those of earlier writes.
    pub fn sync(&self) -> io::Result<()> {
        let file = {
            let mut inner = self.inner.lock();
            if let Some(kind) = inner.broken {
                return Err(kind.into());
            }
            std::mem::take(&mut inner.unsynced).then(|| Arc::clone(&inner.file))
        };
        file.map_or(Ok(()), |file| file.sync_data())
    }
}

impl Inner {
    fn begin(directory: &Path, number: u64, old: Vec<PathBuf>) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(directory.join(name(number)))?;
        let mut inner = Self { file: Arc::new(file), number, bytes: 0, unsynced: false, broken: None, old };
        inner.write(MAGIC);
        // Its name must be on the disk before an older file goes.
        File::open(directory)?.sync_all()?;
        Ok(inner)
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.broken.is_some() {
            return;
        }
        match (&*self.file).write_all(bytes) {
            Ok(()) => self.bytes += bytes.len() as u64,
            Err(error) => self.broken = Some(error.kind()),
        }
        self.unsynced = true;
    }
}

fn name(number: u64) -> String {
    format!("{number:010}.{SUFFIX}")
}
