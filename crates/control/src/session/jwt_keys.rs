//! The keys that sign access tokens, and the tokens themselves: EdDSA (Ed25519) only.
//!
//! Each key is a file `jwt-<kid>.pem`. The newest private key signs; every key still in the folder
//! verifies, so a key is retired by deleting its file (or leaving only its public half there).

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use model::ResourceId;
use model::clock::EpochMs;
use model::resource::{ApiKey, User};
use serde::{Deserialize, Serialize};

/// Who issues and accepts the tokens.
const ISSUER: &str = "yumen";
/// The longest token looked at; ours have about 350 characters.
const LONGEST_TOKEN: usize = 4_096;

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Always `yumen`.
    pub iss: String,
    /// The user's id.
    pub sub: String,
    /// The user's tenant.
    pub tid: String,
    /// The sign-in it came from: the family of its refresh tokens.
    pub sid: String,
    /// When it was issued, in Unix seconds.
    pub iat: u64,
    /// When it stops working, in Unix seconds.
    pub exp: u64,
    /// Whether `sub` is not a user but an internal key that was exchanged for this token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key: bool,
}

impl Claims {
    /// What a token issued now to `user` for the sign-in `session` says.
    #[must_use]
    pub fn issue(user: &User, session: &ResourceId, now_ms: EpochMs) -> Self {
        let iat = now_ms / 1_000;
        Self {
            iss: ISSUER.to_owned(),
            sub: user.id.to_string(),
            tid: user.tenant_id.clone(),
            sid: session.to_string(),
            iat,
            exp: iat + super::ACCESS_TOKEN_SECONDS,
            key: false,
        }
    }

    /// What a token issued now in exchange for an internal key says; it ends with the key.
    #[must_use]
    pub fn exchange(key: &ApiKey, now_ms: EpochMs) -> Self {
        let iat = now_ms / 1_000;
        let ends = key.expires_at.map_or(u64::MAX, |end_ms| end_ms / 1_000);
        Self {
            iss: ISSUER.to_owned(),
            sub: key.id.to_string(),
            tid: key.tenant_id.clone(),
            sid: key.id.to_string(),
            iat,
            exp: ends.min(iat + super::ACCESS_TOKEN_SECONDS),
            key: true,
        }
    }
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Its time is over.
    #[error("the access token expired at {at_s} (Unix seconds)")]
    Expired {
        /// Since when, in Unix seconds.
        at_s: u64,
    },
    /// Signed with a key that is not, or no longer, in the folder.
    #[error("the access token was signed with a key that this gateway does not have")]
    UnknownKey,
    /// Another algorithm than EdDSA (access.md §3: only the configured one is accepted).
    #[error("the access token uses another algorithm than EdDSA")]
    WrongAlgorithm,
    /// Not a token of ours at all.
    #[error("the access token is malformed or its signature is wrong")]
    Malformed,
}

/// Why the key folder cannot be used. A start-up error: nothing else can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum JwtKeysError {
    /// The folder or a file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others can read a private key.
    #[error("{path} can be read by others; run `chmod 600 {path}`", path = path.display())]
    WorldReadable {
        /// Which one.
        path: PathBuf,
    },
    /// Not an Ed25519 key in PEM form.
    #[error("{path} is not an Ed25519 key in PEM form", path = path.display())]
    NotAKey {
        /// Which one.
        path: PathBuf,
    },
    /// The system has no randomness.
    #[error("no randomness to make a signing key from")]
    NoRandomness,
}

/// The loaded keys.
pub struct JwtKeys {
    signing_kid: String,
    signing: EncodingKey,
    verifying: BTreeMap<String, DecodingKey>,
}

impl JwtKeys {
    /// Loads every `jwt-*.pem` of `folder`; creates the folder and a first key (mode 0600) when there
    /// is no private key yet. Call it after `store::KeyRing::load_or_create`, which takes an existing
    /// folder as a sign that its own keys must be there. `now_ms` becomes part of a new key's id, so that ids sort by age.
    ///
    /// # Errors
    /// [`JwtKeysError`] names the file and what is wrong with it.
    pub fn load_or_create(folder: &Path, now_ms: EpochMs) -> Result<Self, JwtKeysError> {
        choose_crypto_provider();
        let folder_made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        folder_made.map_err(|source| JwtKeysError::Io { path: folder.to_owned(), source })?;
        let mut found = load_all(folder)?;
        if found.newest_private.is_none() {
            create(folder, now_ms)?;
            found = load_all(folder)?;
        }
        let (signing_kid, signing) = found.newest_private.ok_or(JwtKeysError::NoRandomness)?;
        Ok(Self { signing_kid, signing, verifying: found.verifying })
    }

    /// Signs `claims` with the newest key.
    ///
    /// # Errors
    /// [`TokenFault::Malformed`] when the crypto provider fails.
    pub fn sign(&self, claims: &Claims) -> Result<String, TokenFault> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.signing_kid.clone());
        jsonwebtoken::encode(&header, claims, &self.signing).map_err(|_| TokenFault::Malformed)
    }

    /// Reads a token. Time is ours, not the library's: it comes in as `now_ms`.
    ///
    /// # Errors
    /// [`TokenFault`].
    pub fn verify(&self, token: &str, now_ms: EpochMs) -> Result<Claims, TokenFault> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenFault::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenFault::Malformed)?;
        if header.alg != Algorithm::EdDSA {
            return Err(TokenFault::WrongAlgorithm);
        }
        let kid = header.kid.ok_or(TokenFault::UnknownKey)?;
        let key = self.verifying.get(&kid).ok_or(TokenFault::UnknownKey)?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.validate_exp = false;
        rules.set_issuer(&[ISSUER]);
        rules.set_required_spec_claims(&["exp", "iss", "sub"]);
        let claims =
            jsonwebtoken::decode::<Claims>(token, key, &rules).map_err(|_| TokenFault::Malformed)?.claims;
        if now_ms / 1_000 >= claims.exp {
            return Err(TokenFault::Expired { at_s: claims.exp });
        }
        Ok(claims)
    }
}

/// jsonwebtoken panics at first use unless it knows one provider; features of another crate in the
/// build could add a second, so the choice is made here. A second call finds it already made.
fn choose_crypto_provider() {
    let _already_chosen = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}

#[derive(Default)]
struct Found {
    newest_private: Option<(String, EncodingKey)>,
    verifying: BTreeMap<String, DecodingKey>,
}

fn load_all(folder: &Path) -> Result<Found, JwtKeysError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| JwtKeysError::Io { path, source }
    };
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(io(folder))? {
        let path = entry.map_err(io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(kid) = name.strip_prefix("jwt-").and_then(|rest| rest.strip_suffix(".pem")) {
            files.insert(kid.to_owned(), path);
        }
    }
    let mut found = Found::default();
    for (kid, path) in files {
        load_one(&mut found, kid, &path)?;
    }
    Ok(found)
}

fn load_one(found: &mut Found, kid: String, path: &Path) -> Result<(), JwtKeysError> {
    let io = |source| JwtKeysError::Io { path: path.to_owned(), source };
    let not_a_key = || JwtKeysError::NotAKey { path: path.to_owned() };
    let pem = model::Secret::new(std::fs::read_to_string(path).map_err(io)?);
    let text = pem.expose();
    if text.contains("BEGIN PUBLIC KEY") {
        let key = DecodingKey::from_ed_pem(text.as_bytes()).map_err(|_| not_a_key())?;
        found.verifying.insert(kid, key);
        return Ok(());
    }
    let mode = std::fs::metadata(path).map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(JwtKeysError::WorldReadable { path: path.to_owned() });
    }
    let signing = EncodingKey::from_ed_pem(text.as_bytes()).map_err(|_| not_a_key())?;
    let pair = Ed25519KeyPair::from_pkcs8(signing.as_bytes()).map_err(|_| not_a_key())?;
    let verifying = DecodingKey::from_ed_der(pair.public_key().as_ref());
    found.verifying.insert(kid.clone(), verifying);
    // Ids sort by age and the files come in order, so the last one is the newest.
    found.newest_private = Some((kid, signing));
    Ok(())
}

fn create(folder: &Path, now_ms: EpochMs) -> Result<(), JwtKeysError> {
    let random = aws_lc_rs::rand::SystemRandom::new();
    // Version 1 of PKCS#8: the PEM reader of jsonwebtoken does not take the version with the public half.
    let document = Ed25519KeyPair::generate_pkcs8v1(&random).map_err(|_| JwtKeysError::NoRandomness)?;
    let mut chance = [0_u8; 4];
    aws_lc_rs::rand::fill(&mut chance).map_err(|_| JwtKeysError::NoRandomness)?;
    let kid = format!("{now_ms:012x}{:08x}", u32::from_be_bytes(chance));
    let path = folder.join(format!("jwt-{kid}.pem"));
    let encoded = STANDARD.encode(document.as_ref());
    let pem =
        model::Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{encoded}\n-----END PRIVATE KEY-----\n"));
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(pem.expose().as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| JwtKeysError::Io { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::temporary_folder;

    const NOW: EpochMs = 1_790_000_000_000;

    fn claims() -> Claims {
        let user = crate::testing::user(model::resource::Role::Owner);
        Claims::issue(&user, &user.id, NOW)
    }

    #[test]
    fn reads_back_what_it_signed_until_it_expires() {
        let folder = temporary_folder();
        let keys = JwtKeys::load_or_create(folder.path(), NOW).unwrap();
        let token = keys.sign(&claims()).unwrap();
        assert_eq!(keys.verify(&token, NOW), Ok(claims()));
        assert_eq!(keys.verify(&token, NOW + 899_999), Ok(claims()));
        let at_s = NOW / 1_000 + 900;
        assert_eq!(keys.verify(&token, NOW + 900_000), Err(TokenFault::Expired { at_s }));
    }

    #[test]
    fn keeps_its_key_over_a_restart_and_lets_old_keys_verify_until_removed() {
        let folder = temporary_folder();
        let first = JwtKeys::load_or_create(folder.path(), NOW).unwrap();
        let token = first.sign(&claims()).unwrap();
        let again = JwtKeys::load_or_create(folder.path(), NOW + 1).unwrap();
        assert_eq!(again.verify(&token, NOW), Ok(claims()));

        create(folder.path(), NOW + 2).unwrap();
        let rotated = JwtKeys::load_or_create(folder.path(), NOW + 3).unwrap();
        assert_ne!(rotated.signing_kid, first.signing_kid);
        assert_eq!(rotated.verify(&token, NOW), Ok(claims()));

        std::fs::remove_file(folder.path().join(format!("jwt-{}.pem", first.signing_kid))).unwrap();
        let retired = JwtKeys::load_or_create(folder.path(), NOW + 4).unwrap();
        assert_eq!(retired.verify(&token, NOW), Err(TokenFault::UnknownKey));
    }

    #[test]
    fn refuses_other_algorithms_and_forged_signatures() {
        let folder = temporary_folder();
        let keys = JwtKeys::load_or_create(folder.path(), NOW).unwrap();
        let stranger = JwtKeys::load_or_create(temporary_folder().path(), NOW).unwrap();
        let token = keys.sign(&claims()).unwrap();
        let parts: Vec<&str> = token.split('.').collect();

        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(keys.signing_kid.clone());
        let confused =
            jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(b"public key")).unwrap();
        assert_eq!(keys.verify(&confused, NOW), Err(TokenFault::WrongAlgorithm));
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
        assert_eq!(keys.verify(&unsigned, NOW), Err(TokenFault::Malformed));
        let foreign = stranger.sign(&claims()).unwrap();
        assert_eq!(keys.verify(&foreign, NOW), Err(TokenFault::UnknownKey));
        let grafted = format!("{}.{}.{}", parts[0], parts[1], foreign.rsplit('.').next().unwrap());
        assert_eq!(keys.verify(&grafted, NOW), Err(TokenFault::Malformed));
        assert_eq!(keys.verify("rubbish", NOW), Err(TokenFault::Malformed));
    }

    #[test]
    fn names_a_key_file_that_others_can_read_or_that_is_no_key() {
        let folder = temporary_folder();
        JwtKeys::load_or_create(folder.path(), NOW).unwrap();
        let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = JwtKeys::load_or_create(folder.path(), NOW).err().unwrap().to_string();
        assert!(error.contains("chmod 600") && error.contains("jwt-"), "{error}");

        std::fs::write(&path, "not a key").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let error = JwtKeys::load_or_create(folder.path(), NOW).err().unwrap().to_string();
        assert!(error.contains("not an Ed25519 key"), "{error}");
    }
}
