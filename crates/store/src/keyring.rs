//! The two keys of a deployment: the pepper under which API keys are hashed, and the key-encryption key
//! that wraps the data key of every sealed value. They live beside the data, readable by their owner
//! only, or are derived from `ENCRYPTION_KEY`; they are never written anywhere else.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac, rand};
use zeroize::{Zeroize, Zeroizing};

use crate::column::hex;
use crate::error::StoreError;

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
    kek_id: String,
    kek: RandomizedNonceKey,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.pepper.zeroize();
    }
}

impl KeyRing {
    /// Loads the keys of the data directory from `keys/pepper` and `keys/kek-<id>`, or makes them when
    /// the directory holds no data yet.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`] names the file that is missing although data exists, unreadable, not 32
    /// bytes, or open to its group or others; [`StoreError::Directory`] when it cannot be written.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, StoreError> {
        let keys_dir = data_dir.join("keys");
        if !keys_dir.exists() {
            if data_dir.join(crate::db::MAIN_FILE).exists() {
                return Err(refused(
                    &keys_dir.join(PEPPER_FILE),
                    "it is missing, but the directory holds data sealed with it; restore data/keys from a backup, or set the ENCRYPTION_KEY that was used",
                ));
            }
            create_keys(data_dir, &keys_dir)?;
        }
        check_closed(&keys_dir)?;
        let pepper = read_key(&keys_dir.join(PEPPER_FILE))?;
        let kek_file = find_kek(&keys_dir)?;
        let kek = read_key(&kek_file)?;
        if !kek_file.ends_with(format!("{KEK_PREFIX}{}", fingerprint(&kek))) {
            return Err(refused(&kek_file, "its content is not the key that its name states"));
        }
        Self::of(&pepper, &kek)
    }

    /// Derives both keys from one 256-bit secret (`ENCRYPTION_KEY`) by HKDF-SHA256 (RFC 5869).
    ///
    /// # Errors
    /// [`StoreError::Crypto`] when the cryptographic library fails.
    pub fn derive(encryption_key: [u8; 32]) -> Result<Self, StoreError> {
        let secret = Zeroizing::new(encryption_key);
        let base = hkdf::Salt::new(hkdf::HKDF_SHA256, b"yumen key ring v1").extract(&*secret);
        let expand = |info: &'static [u8]| {
            let mut key = Zeroizing::new([0_u8; 32]);
            base.expand(&[info], hkdf::HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut *key))
                .map_err(|_| StoreError::Crypto("key derivation"))?;
            Ok::<_, StoreError>(key)
        };
        Self::of(&*expand(b"pepper")?, &*expand(b"kek")?)
    }

    fn of(pepper: &[u8; 32], kek: &[u8; 32]) -> Result<Self, StoreError> {
        Ok(Self(Arc::new(Keys {
            pepper: *pepper,
            pepper_key: hmac::Key::new(hmac::HMAC_SHA256, pepper),
            kek_id: fingerprint(kek),
            kek: RandomizedNonceKey::new(&AES_256_GCM, kek)
                .map_err(|_| StoreError::Crypto("key-encryption key"))?,
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

    /// Names the key-encryption key without revealing it; stands beside everything sealed with it.
    #[must_use]
    pub fn kek_id(&self) -> &str {
        &self.0.kek_id
    }

    pub(crate) fn kek(&self) -> &RandomizedNonceKey {
        &self.0.kek
    }
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

/// The one `kek-<id>` file of the directory.
fn find_kek(keys_dir: &Path) -> Result<PathBuf, StoreError> {
    let entries = fs::read_dir(keys_dir).map_err(|error| refused(keys_dir, &error.to_string()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(KEK_PREFIX))
        })
        .collect();
    files.sort();
    match &files[..] {
        [file] => Ok(file.clone()),
        [] => Err(refused(
            &keys_dir.join(format!("{KEK_PREFIX}<id>")),
            "it is missing; restore data/keys from a backup",
        )),
        [_, second, ..] => Err(refused(
            second,
            "there is more than one key-encryption key; keep the one that sealed the data",
        )),
    }
}

fn refused(path: &Path, reason: &str) -> StoreError {
    StoreError::KeyFile { path: path.to_owned(), reason: reason.to_owned() }
}
