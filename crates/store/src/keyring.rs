//! The keys of a deployment: the pepper under which API keys are hashed, and the ring of key-encryption keys
//! that wrap the data keys of sealed values. One of them, the current one, seals; all of them open, so that
//! values and backups from before a rotation stay readable.
//!
//! They live beside the data (`keys/pepper`, `keys/kek-<id>`), readable by their owner only, or are derived from
//! `ENCRYPTION_KEY`. Keys made later are then kept sealed under that one, in `keys/ring-<its id>`.

mod sealed;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac, rand};
use zeroize::{Zeroize, Zeroizing};

use crate::column::hex;
use crate::error::StoreError;
use crate::main_file::main_file;

const PEPPER_FILE: &str = "pepper";
const KEK_PREFIX: &str = "kek-";
/// Everything that the group or others may do with a file.
const OTHERS: u32 = 0o077;

/// The keys of a deployment. Cheap to clone; it has no `Debug`, and what it shares is wiped when the
/// last clone is dropped.
#[derive(Clone)]
pub struct KeyRing(Arc<Keys>);

struct Keys {
    pepper: [u8; 32],
    pepper_key: hmac::Key,
    ring: RwLock<Ring>,
    kept: Mutex<Kept>,
}

/// All key-encryption keys.
struct Ring {
    current: Arc<Kek>,
    all: BTreeMap<String, Arc<Kek>>,
}

/// One key-encryption key.
pub(crate) struct Kek {
    id: String,
    bytes: Zeroizing<[u8; 32]>,
    key: RandomizedNonceKey,
}

/// Where further keys are kept.
enum Kept {
    /// Nowhere: no key can be added.
    Memory,
    /// As files of their own.
    Files(PathBuf),
    /// Sealed under the key derived from `ENCRYPTION_KEY`.
    Sealed(PathBuf, Arc<Kek>),
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.pepper.zeroize();
    }
}

impl Kek {
    fn new(bytes: &[u8; 32]) -> Result<Arc<Self>, StoreError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes);
        let key = key.map_err(|_| StoreError::Crypto("key-encryption key"))?;
        Ok(Arc::new(Self { id: fingerprint(bytes), bytes: Zeroizing::new(*bytes), key }))
    }

    /// Names the key without revealing it; stands beside everything sealed with it.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn key(&self) -> &RandomizedNonceKey {
        &self.key
    }
}

impl KeyRing {
    /// Loads the keys of the data directory from `keys/pepper` and every `keys/kek-<id>`, or makes them when
    /// the directory holds no data yet. Which key is the current one, the database says.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`] names the file that is missing although data exists, unreadable, not 32
    /// bytes, or open to its group or others; [`StoreError::Directory`] when it cannot be written.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, StoreError> {
        let keys_dir = data_dir.join("keys");
        if !keys_dir.exists() {
            if main_file(data_dir)?.exists() {
                return Err(refused(
                    &keys_dir.join(PEPPER_FILE),
                    "it is missing, but the directory holds data sealed with it; restore data/keys from a backup, or set the ENCRYPTION_KEY that was used",
                ));
            }
            create_keys(data_dir, &keys_dir)?;
        }
        check_closed(&keys_dir)?;
        let pepper = read_key(&keys_dir.join(PEPPER_FILE))?;
        let mut keks = Vec::new();
        for file in find_keks(&keys_dir)? {
            let kek = Kek::new(&*read_key(&file)?)?;
            if !file.ends_with(format!("{KEK_PREFIX}{}", kek.id)) {
                return Err(refused(&file, "its content is not the key that its name states"));
            }
            keks.push(kek);
        }
        Self::of(&pepper, keks, Kept::Files(keys_dir))
    }

    /// Derives both keys from one 256-bit secret (`ENCRYPTION_KEY`) by HKDF-SHA256 (RFC 5869). No key can be
    /// added to this ring; see [`Self::unlock`].
    ///
    /// # Errors
    /// [`StoreError::Crypto`] when the cryptographic library fails.
    pub fn derive(encryption_key: [u8; 32]) -> Result<Self, StoreError> {
        let (pepper, root) = derived(encryption_key)?;
        Self::of(&pepper, vec![root], Kept::Memory)
    }

    /// The ring of a data directory whose keys are under `encryption_key`: the derived ones, and those that
    /// were added since, from `keys/ring-<id>`.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`] when that file is open to others or was altered.
    pub fn unlock(data_dir: &Path, encryption_key: [u8; 32]) -> Result<Self, StoreError> {
        let (mut pepper, root) = derived(encryption_key)?;
        let keys_dir = data_dir.join("keys");
        let mut keks = vec![Arc::clone(&root)];
        let path = keys_dir.join(sealed::name(&root));
        if path.exists() {
            check_closed(&keys_dir)?;
            check_closed(&path)?;
            let (kept, added) = sealed::read(&path, &root)?;
            pepper = kept;
            for bytes in &added {
                keks.push(Kek::new(bytes)?);
            }
        }
        Self::of(&pepper, keks, Kept::Sealed(keys_dir, root))
    }

    /// The first key is the current one until the database says otherwise.
    fn of(pepper: &[u8; 32], keks: Vec<Arc<Kek>>, kept: Kept) -> Result<Self, StoreError> {
        let current = keks.first().cloned().ok_or(StoreError::Crypto("no key-encryption key"))?;
        let all = keks.into_iter().map(|kek| (kek.id.clone(), kek)).collect();
        Ok(Self(Arc::new(Keys {
            pepper: *pepper,
            pepper_key: hmac::Key::new(hmac::HMAC_SHA256, pepper),
            ring: RwLock::new(Ring { current, all }),
            kept: Mutex::new(kept),
        })))
    }

    /// HMAC-SHA256 of `secret` under the pepper: the only form in which API keys, refresh tokens and
    /// the like are stored.
    #[must_use]
    pub fn hmac_secret(&self, secret: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.0.pepper_key, secret.as_bytes());
        tag.as_ref().try_into().expect("an HMAC-SHA256 tag has 32 bytes")
    }

    /// The pepper itself, for the data plane's own check of API keys. Whoever calls this is
    /// responsible for where it goes.
    #[must_use]
    pub fn pepper(&self) -> &[u8; 32] {
        &self.0.pepper
    }

    /// The id of the key that seals now.
    #[must_use]
    pub fn kek_id(&self) -> String {
        self.current().id.clone()
    }

    /// The ids of all keys that open.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.0.ring.read().unwrap_or_else(PoisonError::into_inner).all.keys().cloned().collect()
    }

    pub(crate) fn current(&self) -> Arc<Kek> {
        Arc::clone(&self.0.ring.read().unwrap_or_else(PoisonError::into_inner).current)
    }

    /// The key of that id, to open with.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Kek>, StoreError> {
        let ring = self.0.ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.all.get(id).cloned().ok_or_else(|| StoreError::WrongKey {
            sealed_by: id.to_owned(),
            at_hand: ring.all.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Seals with that key from now on.
    pub(crate) fn choose(&self, id: &str) -> Result<(), StoreError> {
        let chosen = self.find(id)?;
        self.0.ring.write().unwrap_or_else(PoisonError::into_inner).current = chosen;
        Ok(())
    }

    /// Makes a new key and keeps it safe; it seals only once it is chosen. With a new `ENCRYPTION_KEY` the new
    /// key is the one derived from it, and the whole ring is kept under that from now on.
    pub(crate) fn add(&self, encryption_key: Option<[u8; 32]>) -> Result<Arc<Kek>, StoreError> {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let added = match encryption_key {
            Some(secret) => derived(secret)?.1,
            None => Kek::new(&Zeroizing::new(random::<32>()?))?,
        };
        let mut all = self.0.ring.read().unwrap_or_else(PoisonError::into_inner).all.clone();
        all.insert(added.id.clone(), Arc::clone(&added));
        let next = match (&*kept, encryption_key) {
            (Kept::Memory, _) => return Err(StoreError::Refused("this key ring cannot take another key")),
            (Kept::Files(keys_dir) | Kept::Sealed(keys_dir, _), Some(_)) => {
                Kept::Sealed(keys_dir.clone(), Arc::clone(&added))
            }
            (Kept::Files(keys_dir), None) => Kept::Files(keys_dir.clone()),
            (Kept::Sealed(keys_dir, root), None) => Kept::Sealed(keys_dir.clone(), Arc::clone(root)),
        };
        match &next {
            Kept::Memory => {}
            Kept::Files(keys_dir) => {
                let name = format!("{KEK_PREFIX}{}", added.id);
                replace(keys_dir, &name, &*added.bytes)?;
            }
            Kept::Sealed(keys_dir, root) => {
                let content = sealed::write(root, &self.0.pepper, all.values())?;
                replace(keys_dir, &sealed::name(root), content.as_bytes())?;
            }
        }
        *kept = next;
        self.0.ring.write().unwrap_or_else(PoisonError::into_inner).all = all;
        Ok(added)
    }
}

/// The pepper and the key-encryption key of an `ENCRYPTION_KEY`.
fn derived(encryption_key: [u8; 32]) -> Result<(Zeroizing<[u8; 32]>, Arc<Kek>), StoreError> {
    let secret = Zeroizing::new(encryption_key);
    let base = hkdf::Salt::new(hkdf::HKDF_SHA256, b"yumen key ring v1").extract(&*secret);
    let expand = |info: &'static [u8]| {
        let mut key = Zeroizing::new([0_u8; 32]);
        base.expand(&[info], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut *key))
            .map_err(|_| StoreError::Crypto("key derivation"))?;
        Ok::<_, StoreError>(key)
    };
    Ok((expand(b"pepper")?, Kek::new(&*expand(b"kek")?)?))
}

/// Random bytes from the operating system's generator, by way of the cryptographic library.
///
/// # Errors
/// [`StoreError::Crypto`] when the generator fails.
pub fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0_u8; N];
    rand::fill(&mut bytes).map_err(|_| StoreError::Crypto("random generator"))?;
    Ok(bytes)
}

/// The 64 hex digits of an `ENCRYPTION_KEY`.
#[must_use]
pub fn read_key_text(text: &str) -> Option<[u8; 32]> {
    crate::column::unhex(text)
}

/// Eight hex digits that identify a key: a keyed hash of a fixed text, so nothing of it is revealed.
fn fingerprint(key: &[u8; 32]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"yumen key id");
    hex(&tag.as_ref()[..4])
}

/// Makes both files under another name first, so that a crash never leaves half a key ring.
fn create_keys(data_dir: &Path, keys_dir: &Path) -> Result<(), StoreError> {
    let fresh = data_dir.join("keys.new");
    let failed =
        |error: io::Error| StoreError::Directory { path: data_dir.to_owned(), reason: error.to_string() };
    let (pepper, kek) = (Zeroizing::new(random::<32>()?), Zeroizing::new(random::<32>()?));
    let write = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
        if fresh.exists() {
            fs::remove_dir_all(&fresh)?;
        }
        fs::DirBuilder::new().mode(0o700).create(&fresh)?;
        write_key(&fresh.join(PEPPER_FILE), &pepper)?;
        write_key(&fresh.join(format!("{KEK_PREFIX}{}", fingerprint(&kek))), &kek)?;
        fs::File::open(&fresh)?.sync_all()?;
        fs::rename(&fresh, keys_dir)?;
        fs::File::open(data_dir)?.sync_all()
    };
    write().map_err(failed)
}

fn write_key(path: &Path, key: &[u8; 32]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key)?;
    file.sync_all()
}

fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    check_closed(path)?;
    let bytes = Zeroizing::new(fs::read(path).map_err(|error| refused(path, &error.to_string()))?);
    let key: Result<[u8; 32], _> = bytes.as_slice().try_into();
    key.map(Zeroizing::new)
        .map_err(|_| refused(path, "it does not hold exactly 32 bytes; restore it from a backup"))
}

fn check_closed(path: &Path) -> Result<(), StoreError> {
    let metadata = fs::metadata(path).map_err(|error| refused(path, &error.to_string()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        let wanted = if metadata.is_dir() { "700" } else { "600" };
        let reason =
            format!("its mode {mode:o} lets others read it (owner {}); chmod {wanted} it", metadata.uid());
        return Err(refused(path, &reason));
    }
    Ok(())
}

/// Every `kek-<id>` file of the directory; at least one.
fn find_keks(keys_dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(keys_dir).map_err(|error| refused(keys_dir, &error.to_string()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(KEK_PREFIX))
        })
        .collect();
    files.sort();
    if files.is_empty() {
        let path = keys_dir.join(format!("{KEK_PREFIX}<id>"));
        return Err(refused(&path, "it is missing; restore data/keys from a backup"));
    }
    Ok(files)
}

/// Writes a file for its owner alone, whole or not at all, and brings it to the disk: what is sealed with a key
/// must not last longer than the key.
fn replace(keys_dir: &Path, name: &str, content: &[u8]) -> Result<(), StoreError> {
    // The leading dot keeps half a file from being taken for a key.
    let (path, fresh) = (keys_dir.join(name), keys_dir.join(format!(".{name}.new")));
    let write = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(keys_dir)?;
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        fs::File::open(keys_dir)?.sync_all()
    };
    write().map_err(|error: io::Error| refused(&path, &error.to_string()))
}

fn refused(path: &Path, reason: &str) -> StoreError {
    StoreError::KeyFile { path: path.to_owned(), reason: reason.to_owned() }
}
