//! A disk that can be filled, fail, and lose its power: what was not synced is then gone, kept or torn, as
//! chance has it. Deterministic: the same seed and the same calls give the same disk.
//!
//! Files are flat: directories exist once somebody asks for one.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::fs::{File, Fs};

/// What a disk writes at once; the last one of a power cut may be torn.
const SECTOR: usize = 512;

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimFs(Arc<Mutex<Disk>>);

/// A file's content, of which the first `synced` bytes survive a power cut.
#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
    /// A sync has failed: as on real disks, later ones succeed and keep nothing of what came before.
    broken: bool,
}

type Shared = Arc<Mutex<Content>>;

#[derive(Debug)]
struct Disk {
    chance: u64,
    /// The names as a process sees them.
    names: BTreeMap<PathBuf, Shared>,
    /// The names that survive a power cut.
    durable: BTreeMap<PathBuf, Shared>,
    /// Bytes that can still be written; `None` is no limit.
    room: Option<u64>,
    /// Syncs that succeed until one fails; `None` is never.
    good_syncs: Option<u64>,
}

struct SimFile {
    disk: Arc<Mutex<Disk>>,
    content: Shared,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimFile")
    }
}

impl Disk {
    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn chance(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        let n = u64::try_from(most).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.chance() % n).unwrap_or(0)
    }

    fn sync(&mut self, file: &Shared) -> io::Result<()> {
        let mut content = file.lock();
        if self.good_syncs == Some(0) {
            self.good_syncs = None;
            content.broken = true;
            return Err(io::Error::other("input/output error"));
        }
        self.good_syncs = self.good_syncs.map(|good| good - 1);
        if !content.broken {
            content.synced = content.bytes.len();
        }
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<Shared> {
        self.names.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl SimFs {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            chance: seed,
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            room: None,
            good_syncs: None,
        })))
    }

    /// From now on `bytes` more can be written; `None` is any number. Removing a file gives its room back.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.0.lock().room = bytes;
    }

    /// After `good` more syncs one fails with an input/output error, and what it should have kept is lost
    /// by the next power cut; `None` is never.
    pub fn fail_sync_after(&self, good: Option<u64>) {
        self.0.lock().good_syncs = good;
    }

    /// The power goes and comes back. What is left is a disk of its own: files that are still open write
    /// into the void.
    #[must_use]
    pub fn power_cut(&self) -> Self {
        let mut disk = self.0.lock();
        let mut names = BTreeMap::new();
        let every: BTreeMap<PathBuf, Shared> =
            disk.durable.iter().chain(&disk.names).map(|(path, file)| (path.clone(), file.clone())).collect();
        for (path, _) in every {
            let (seen, kept) = (disk.names.get(&path).cloned(), disk.durable.get(&path).cloned());
            // A change of names that was not synced may have happened or not.
            let same = match (&seen, &kept) {
                (Some(seen), Some(kept)) => Arc::ptr_eq(seen, kept),
                _ => false,
            };
            let survivor = if same || disk.below(2) == 0 { kept } else { seen };
            if let Some(file) = survivor {
                let content = file.lock().clone();
                let bytes = torn(&mut disk, content);
                let synced = bytes.len();
                names.insert(path, Arc::new(Mutex::new(Content { bytes, synced, broken: false })));
            }
        }
        let seed = disk.chance();
        let (durable, room) = (names.clone(), disk.room);
        Self(Arc::new(Mutex::new(Disk { chance: seed, names, durable, room, good_syncs: None })))
    }

    /// The process dies and the machine stays: all that was written is there, and no more on the disk than
    /// before. What is left is a disk of its own, as with [`SimFs::power_cut`].
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut disk = self.0.lock();
        let mut names = BTreeMap::new();
        let mut durable = BTreeMap::new();
        for (path, file) in &disk.names {
            let copy = Arc::new(Mutex::new(file.lock().clone()));
            if disk.durable.get(path).is_some_and(|kept| Arc::ptr_eq(kept, file)) {
                durable.insert(path.clone(), Arc::clone(&copy));
            }
            names.insert(path.clone(), copy);
        }
        for (path, file) in &disk.durable {
            durable.entry(path.clone()).or_insert_with(|| Arc::new(Mutex::new(file.lock().clone())));
        }
        let (seed, room) = (disk.chance(), disk.room);
        Self(Arc::new(Mutex::new(Disk { chance: seed, names, durable, room, good_syncs: None })))
    }

    /// Changes the bytes of a file behind everybody's back.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let file = self.0.lock().find(path)?;
        let mut content = file.lock();
        change(&mut content.bytes);
        content.synced = content.bytes.len();
        Ok(())
    }
}

/// What a power cut leaves of a file: all that was synced, and of the rest a beginning whose last sector
/// may hold anything.
fn torn(disk: &mut Disk, Content { mut bytes, synced, .. }: Content) -> Vec<u8> {
    let unsynced = bytes.len() - synced;
    if unsynced == 0 {
        return bytes;
    }
    bytes.truncate(synced + disk.below(unsynced + 1));
    let last = bytes.len().saturating_sub(1) / SECTOR * SECTOR;
    let from = last.max(synced);
    match disk.below(3) {
        0 => {}
        1 => bytes[from..].fill(0),
        _ => {
            for byte in &mut bytes[from..] {
                *byte = disk.chance().to_le_bytes()[0];
            }
        }
    }
    bytes
}

impl File for SimFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let mut content = self.content.lock();
        let asked = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let fits = disk.room.map_or(asked, |room| room.min(asked));
        disk.room = disk.room.map(|room| room - fits);
        content.bytes.extend_from_slice(&bytes[..usize::try_from(fits).unwrap_or(0)]);
        if fits < asked { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let mut content = self.content.lock();
        let keep = usize::try_from(bytes).unwrap_or(usize::MAX).min(content.bytes.len());
        let freed = u64::try_from(content.bytes.len() - keep).unwrap_or(0);
        disk.room = disk.room.map(|room| room.saturating_add(freed));
        content.bytes.truncate(keep);
        content.synced = content.synced.min(keep);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.lock().sync(&self.content)
    }
}

impl Fs for SimFs {
    fn make_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.0.lock();
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = Shared::default();
        disk.names.insert(path.to_owned(), Arc::clone(&content));
        Ok(Arc::new(SimFile { disk: Arc::clone(&self.0), content }))
    }

    fn read(&self, path: &Path, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let file = self.0.lock().find(path)?;
        let content = file.lock();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.bytes.len());
        let to = from.saturating_add(most).min(content.bytes.len());
        Ok(content.bytes[from..to].to_vec())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<(String, u64)>> {
        let disk = self.0.lock();
        let within = disk.names.iter().filter(|(path, _)| path.parent() == Some(directory));
        let named = within.filter_map(|(path, file)| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, u64::try_from(file.lock().bytes.len()).ok()?))
        });
        Ok(named.collect())
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        let file = disk.find(path)?;
        disk.sync(&file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        let file = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        let file = disk.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        let freed = u64::try_from(file.lock().bytes.len()).unwrap_or(0);
        disk.room = disk.room.map(|room| room.saturating_add(freed));
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.durable.retain(|name, _| name.parent() != Some(path));
        let within: Vec<_> = disk.names.iter().filter(|(name, _)| name.parent() == Some(path)).collect();
        let within: Vec<_> = within.into_iter().map(|(name, file)| (name.clone(), file.clone())).collect();
        disk.durable.extend(within);
        Ok(())
    }
}
