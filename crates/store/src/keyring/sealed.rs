//! The keys that were added to a ring under `ENCRYPTION_KEY`: one file, each key sealed under the derived one.
//!
//! `ring-<id of the derived key>`, a line a key: its name, a space, base64url of nonce, ciphertext and tag. The
//! name and the derived key's id are authenticated, so that no line stands for another.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::aead::Aad;
use zeroize::Zeroizing;

use super::{Kek, refused};
use crate::cipher::{decrypt, encrypt};
use crate::error::StoreError;

const HEAD: &str = "yumen key ring v1";
const PEPPER: &str = "pepper";

/// The bytes of a key.
type Key = Zeroizing<[u8; 32]>;

/// The file's name.
pub(super) fn name(root: &Kek) -> String {
    format!("ring-{}", root.id)
}

/// The file's content: the pepper, and every key but the derived one.
pub(super) fn write<'k>(
    root: &Kek,
    pepper: &[u8; 32],
    keks: impl Iterator<Item = &'k Arc<Kek>>,
) -> Result<String, StoreError> {
    let mut content = format!("{HEAD}\n{}\n", line(root, PEPPER, pepper)?);
    for kek in keks.filter(|kek| kek.id != root.id) {
        content += &line(root, &kek.id, &kek.bytes)?;
        content.push('\n');
    }
    Ok(content)
}

/// The pepper and the keys of a file.
pub(super) fn read(path: &Path, root: &Kek) -> Result<(Key, Vec<Key>), StoreError> {
    let text = std::fs::read_to_string(path).map_err(|error| refused(path, &error.to_string()))?;
    let altered = || refused(path, "it was altered or cut off; restore it from a backup");
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return Err(altered());
    }
    let (mut pepper, mut keks) = (None, Vec::new());
    for line in lines {
        let (name, sealed) = line.split_once(' ').ok_or_else(altered)?;
        let bytes = decrypt(&root.key, aad(root, name), sealed).ok_or_else(altered)?;
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| altered())?);
        if name == PEPPER { pepper = Some(bytes) } else { keks.push(bytes) }
    }
    Ok((pepper.ok_or_else(altered)?, keks))
}

fn line(root: &Kek, name: &str, key: &[u8; 32]) -> Result<String, StoreError> {
    Ok(format!("{name} {}", encrypt(&root.key, aad(root, name), key)?))
}

fn aad(root: &Kek, name: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("ring|{}|{name}", root.id).into_bytes())
}
