//! Sealed values: each under its own data key, which is wrapped by the key-encryption key (AES-256-GCM
//! both times). The place of a value is authenticated with it, so that a ciphertext copied to another
//! row, column or tenant does not open.
//!
//! Text form, one TEXT column: `v1.<key id>.<wrapped data key>.<sealed value>`, the last two base64url
//! without padding of nonce (12 bytes), ciphertext and tag (16 bytes).

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Secret;
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::keyring::{Kek, KeyRing, random};

const VERSION: &str = "v1";
const TAG_LEN: usize = 16;

/// Where a sealed value stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table.
    pub table: &'static str,
    /// The row's primary key.
    pub id: &'a str,
    /// The column.
    pub column: &'static str,
    /// The row's tenant.
    pub tenant: &'a str,
}

impl Place<'_> {
    /// The authenticated text; the tenant is last, so that no other part can run into it.
    fn aad(&self, purpose: &str) -> Aad<Vec<u8>> {
        let Self { table, id, column, tenant } = self;
        Aad::from(format!("{purpose}|{table}|{id}|{column}|{tenant}").into_bytes())
    }

    fn unsealable(&self) -> StoreError {
        StoreError::Unsealable { table: self.table, column: self.column, id: self.id.to_owned() }
    }
}

/// Seals `plain` for `place`.
///
/// # Errors
/// [`StoreError::Crypto`] when the cryptographic library fails.
pub fn seal(keys: &KeyRing, place: &Place<'_>, plain: &str) -> Result<String, StoreError> {
    seal_bytes(keys, place, plain.as_bytes())
}

/// Opens what [`seal`] made for the same `place`.
///
/// # Errors
/// [`StoreError::WrongKey`] when another key sealed it, [`StoreError::Unsealable`] when it was altered
/// or belongs elsewhere.
pub fn open(keys: &KeyRing, place: &Place<'_>, sealed: &str) -> Result<Secret<String>, StoreError> {
    let plain = open_bytes(keys, place, sealed)?;
    let text = std::str::from_utf8(&plain).map_err(|_| place.unsealable())?;
    Ok(Secret::new(text.to_owned()))
}

/// The same as [`seal`] for what need not be text.
///
/// # Errors
/// [`StoreError::Crypto`] when the cryptographic library fails.
pub fn seal_bytes(keys: &KeyRing, place: &Place<'_>, plain: &[u8]) -> Result<String, StoreError> {
    seal_with(&keys.current(), place, plain)
}

/// Seals with one key of a ring.
pub(crate) fn seal_with(kek: &Kek, place: &Place<'_>, plain: &[u8]) -> Result<String, StoreError> {
    let data_key = Zeroizing::new(random::<32>()?);
    let wrapped = encrypt(kek.key(), place.aad("key"), &*data_key)?;
    let sealed = encrypt(&key_of(&data_key)?, place.aad("value"), plain)?;
    Ok(format!("{VERSION}.{}.{wrapped}.{sealed}", kek.id()))
}

/// The sealed value with its data key wrapped by the current key; the value's own ciphertext stays. `None` when
/// it is so already.
///
/// # Errors
/// As [`open`]: what does not open in its place is not wrapped anew.
pub fn rewrap(keys: &KeyRing, place: &Place<'_>, sealed: &str) -> Result<Option<String>, StoreError> {
    let current = keys.current();
    let [key_id, wrapped, value] = parts(place, sealed)?;
    if key_id == current.id() {
        return Ok(None);
    }
    let data_key = unwrap_key(&*keys.find(key_id)?, place, wrapped)?;
    let wrapped = encrypt(current.key(), place.aad("key"), &*data_key)?;
    Ok(Some(format!("{VERSION}.{}.{wrapped}.{value}", current.id())))
}

/// Opens what [`seal_bytes`] made for the same `place`.
///
/// # Errors
/// As [`open`].
pub fn open_bytes(keys: &KeyRing, place: &Place<'_>, sealed: &str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let [key_id, wrapped, value] = parts(place, sealed)?;
    let data_key = unwrap_key(&*keys.find(key_id)?, place, wrapped)?;
    decrypt(&key_of(&data_key)?, place.aad("value"), value).ok_or_else(|| place.unsealable())
}

/// The key's id, the wrapped data key and the sealed value of a text.
fn parts<'s>(place: &Place<'_>, sealed: &'s str) -> Result<[&'s str; 3], StoreError> {
    match sealed.split('.').collect::<Vec<_>>()[..] {
        [VERSION, key_id, wrapped, value] => Ok([key_id, wrapped, value]),
        _ => Err(place.unsealable()),
    }
}

fn unwrap_key(kek: &Kek, place: &Place<'_>, wrapped: &str) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let data_key = decrypt(kek.key(), place.aad("key"), wrapped);
    let data_key = data_key.and_then(|bytes| bytes.as_slice().try_into().ok());
    data_key.map(Zeroizing::new).ok_or_else(|| place.unsealable())
}

fn key_of(bytes: &[u8; 32]) -> Result<RandomizedNonceKey, StoreError> {
    RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| StoreError::Crypto("data key"))
}

pub(crate) fn encrypt(
    key: &RandomizedNonceKey,
    aad: Aad<Vec<u8>>,
    plain: &[u8],
) -> Result<String, StoreError> {
    // Room for the tag from the start: a buffer that grows would leave the plain text behind.
    let mut buffer = Vec::with_capacity(plain.len() + TAG_LEN);
    buffer.extend_from_slice(plain);
    let nonce = key.seal_in_place_append_tag(aad, &mut buffer).map_err(|_| StoreError::Crypto("sealing"))?;
    let mut message = nonce.as_ref().to_vec();
    message.append(&mut buffer);
    Ok(URL_SAFE_NO_PAD.encode(message))
}

pub(crate) fn decrypt(key: &RandomizedNonceKey, aad: Aad<Vec<u8>>, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut message = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
    let (nonce, sealed) = message.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let plain = key.open_in_place(nonce, aad, sealed).ok()?;
    Some(Zeroizing::new(plain.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'_> = Place { table: "account", id: "a", column: "credential", tenant: "default" };

    fn keys() -> KeyRing {
        KeyRing::derive([9; 32]).unwrap()
    }

    #[test]
    fn a_sealed_value_opens_in_its_place_and_is_never_sealed_alike_twice() {
        let one = seal(&keys(), &HERE, "sk-canary").unwrap();
        let two = seal(&keys(), &HERE, "sk-canary").unwrap();
        assert_ne!(one, two);
        assert!(!one.contains("canary"));
        assert_eq!(open(&keys(), &HERE, &one).unwrap().expose(), "sk-canary");
    }

    #[test]
    fn a_sealed_value_does_not_open_in_another_row_column_table_or_tenant() {
        let sealed = seal(&keys(), &HERE, "sk-canary").unwrap();
        for elsewhere in [
            Place { id: "b", ..HERE },
            Place { column: "name", ..HERE },
            Place { table: "setting", ..HERE },
            Place { tenant: "other", ..HERE },
        ] {
            let error = open(&keys(), &elsewhere, &sealed).err().unwrap();
            assert!(matches!(error, StoreError::Unsealable { .. }), "{elsewhere:?}: {error}");
        }
    }

    #[test]
    fn an_altered_value_does_not_open() {
        let sealed = seal(&keys(), &HERE, "sk-canary").unwrap();
        let other = seal(&keys(), &HERE, "sk-canary").unwrap();
        let (head, _) = sealed.rsplit_once('.').unwrap();
        let (_, tail) = other.rsplit_once('.').unwrap();
        for altered in
            [format!("{head}.{tail}"), head.to_owned(), "v1.x".to_owned(), sealed.replace("v1.", "v2.")]
        {
            assert!(open(&keys(), &HERE, &altered).is_err(), "{altered}");
        }
    }

    #[test]
    fn another_key_is_named_and_refused() {
        let sealed = seal(&keys(), &HERE, "sk-canary").unwrap();
        let other = KeyRing::derive([8; 32]).unwrap();
        let error = open(&other, &HERE, &sealed).err().unwrap().to_string();
        assert!(error.contains(&keys().kek_id()) && error.contains(&other.kek_id()), "{error}");
    }
}
