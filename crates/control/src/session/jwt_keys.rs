//! The keys that sign access tokens, and the tokens themselves: of one algorithm only, as configured.
//!
//! Each key of the folder is a file `jwt-<kid>.pem`. The newest private key signs; every key that is still there
//! verifies, so a key is retired by deleting its file. A rotation leaves the public half of the key before it.
//! Key files that the configuration names take the folder's place for signing; they are never written.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use model::ResourceId;
use model::clock::EpochMs;
use model::resource::{ApiKey, User};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

pub use super::key_files::JwtAlgorithm;
use super::key_files::{self, KeyFile};

/// Who issues and accepts the tokens.
const ISSUER: &str = "yumen";
/// The longest token looked at; ours have about 350 characters, with RS256 about 700.
const LONGEST_TOKEN: usize = 4_096;
/// How far a token may come from the future: the clocks of two gateways differ a little.
const SKEW_SECONDS: u64 = 60;

/// What an access token says. Nothing else may stand in it, and nothing twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
            tid: key.tenant_id.to_string(),
            sid: key.id.to_string(),
            iat,
            exp: ends.min(iat + super::ACCESS_TOKEN_SECONDS),
            key: true,
        }
    }

    /// Whether we could have issued it at some time until now.
    fn is_plausible(&self, now_s: u64) -> bool {
        self.iss == ISSUER
            && self.iat <= now_s.saturating_add(SKEW_SECONDS)
            && self.exp.checked_sub(self.iat).is_some_and(|span| span <= super::ACCESS_TOKEN_SECONDS)
    }
}

/// The head of a token. What we never write is refused: `jku`, `jwk`, `x5u` and `crit` among it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    alg: String,
    kid: String,
    #[serde(default)]
    typ: Option<String>,
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
    /// Another algorithm than the configured one (access.md §3: only that is accepted).
    #[error("the access token uses another algorithm than the configured one")]
    WrongAlgorithm,
    /// Not a token of ours at all.
    #[error("the access token is malformed or its signature is wrong")]
    Malformed,
}

/// Why the keys cannot be used. A start-up error: nothing else can be done about it.
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
    /// Not a key in PEM form.
    #[error("{path} is not an Ed25519 or RSA key in PEM form", path = path.display())]
    NotAKey {
        /// Which one.
        path: PathBuf,
    },
    /// A key file that the configuration names is of the other algorithm.
    #[error("{path} is not a private key for {algorithm}, which the configuration asks for", path = path.display())]
    OtherAlgorithm {
        /// Which one.
        path: PathBuf,
        /// What is asked for.
        algorithm: &'static str,
    },
    /// The system has no randomness.
    #[error("no randomness to make a signing key from")]
    NoRandomness,
    /// The keys are the operator's own, or the key still signs.
    #[error("{0}")]
    Refused(&'static str),
}

/// Where the keys come from.
#[derive(Clone, Debug, Default)]
pub struct KeySource {
    /// The folder of our own keys.
    pub folder: PathBuf,
    /// What tokens are signed with.
    pub algorithm: JwtAlgorithm,
    /// The operator's own key, which signs in place of the folder's.
    pub private_file: Option<PathBuf>,
    /// More keys that verify: public halves of earlier ones.
    pub public_files: Vec<PathBuf>,
}

/// The loaded keys.
pub struct JwtKeys {
    source: KeySource,
    keys: RwLock<Loaded>,
}

struct Loaded {
    signing_kid: String,
    signing: EncodingKey,
    verifying: BTreeMap<String, DecodingKey>,
}

/// A key as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id.
    pub kid: String,
    /// Whether new tokens are signed with it.
    pub signs: bool,
}

impl JwtKeys {
    /// Loads the keys; creates the folder and a first key (mode 0600) when there is none to sign with and the
    /// configuration names none. Call it after `store::KeyRing::load_or_create`, which takes an existing
    /// folder as a sign that its own keys must be there. `now_ms` becomes part of a new key's id, so that ids
    /// sort by age.
    ///
    /// # Errors
    /// [`JwtKeysError`] names the file and what is wrong with it.
    pub fn load(source: KeySource, now_ms: EpochMs) -> Result<Self, JwtKeysError> {
        choose_crypto_provider();
        let loaded = match load_all(&source)? {
            Some(loaded) => loaded,
            None => {
                make_folder(&source.folder)?;
                key_files::create(&source.folder.join(file_name(&new_kid(now_ms)?)), source.algorithm)?;
                load_all(&source)?.ok_or(JwtKeysError::NoRandomness)?
            }
        };
        Ok(Self { source, keys: RwLock::new(loaded) })
    }

    /// As [`JwtKeys::load`], of a folder with the default algorithm.
    ///
    /// # Errors
    /// As [`JwtKeys::load`].
    pub fn load_or_create(folder: &Path, now_ms: EpochMs) -> Result<Self, JwtKeysError> {
        Self::load(KeySource { folder: folder.to_owned(), ..KeySource::default() }, now_ms)
    }

    /// Makes a new key, which signs from now on; the key before it leaves only its public half, which verifies
    /// until it is removed.
    ///
    /// # Errors
    /// [`JwtKeysError::Refused`] when the configuration names the key.
    pub fn rotate(&self, now_ms: EpochMs) -> Result<KeyInfo, JwtKeysError> {
        self.check_own("the signing key is named by the configuration; rotate its file and restart")?;
        let mut keys = self.keys.write();
        let before = self.source.folder.join(file_name(&keys.signing_kid));
        key_files::create(&self.source.folder.join(file_name(&new_kid(now_ms)?)), self.source.algorithm)?;
        let old = key_files::read(&before)?;
        if old.signing.is_some() {
            key_files::keep_public_half(&before, &old)?;
        }
        *keys = load_all(&self.source)?.ok_or(JwtKeysError::NoRandomness)?;
        Ok(KeyInfo { kid: keys.signing_kid.clone(), signs: true })
    }

    /// Removes a key, whose tokens are refused from now on; whether there was one.
    ///
    /// # Errors
    /// [`JwtKeysError::Refused`] for the key that signs, and for keys that the configuration names.
    pub fn remove(&self, kid: &str) -> Result<bool, JwtKeysError> {
        let mut keys = self.keys.write();
        if !keys.verifying.contains_key(kid) {
            return Ok(false);
        }
        if keys.signing_kid == kid {
            return Err(JwtKeysError::Refused("the key that signs cannot be removed; rotate first"));
        }
        let path = self.source.folder.join(file_name(kid));
        if !path.exists() {
            return Err(JwtKeysError::Refused("the key is named by the configuration; remove it there"));
        }
        std::fs::remove_file(&path).map_err(|source| JwtKeysError::Io { path, source })?;
        keys.verifying.remove(kid);
        Ok(true)
    }

    /// Every key, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<KeyInfo> {
        let keys = self.keys.read();
        let info = |kid: &String| KeyInfo { kid: kid.clone(), signs: *kid == keys.signing_kid };
        keys.verifying.keys().map(info).collect()
    }

    /// What tokens are signed with.
    #[must_use]
    pub fn algorithm(&self) -> JwtAlgorithm {
        self.source.algorithm
    }

    /// Signs `claims` with the newest key.
    ///
    /// # Errors
    /// [`TokenFault::Malformed`] when the crypto provider fails.
    pub fn sign(&self, claims: &Claims) -> Result<String, TokenFault> {
        let keys = self.keys.read();
        let mut header = Header::new(self.source.algorithm.in_tokens());
        header.kid = Some(keys.signing_kid.clone());
        jsonwebtoken::encode(&header, claims, &keys.signing).map_err(|_| TokenFault::Malformed)
    }

    /// Reads a token. Time is ours, not the library's: it comes in as `now_ms`.
    ///
    /// # Errors
    /// [`TokenFault`].
    pub fn verify(&self, token: &str, now_ms: EpochMs) -> Result<Claims, TokenFault> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenFault::Malformed);
        }
        let Head { alg, kid, typ } = head(token).ok_or(TokenFault::Malformed)?;
        if alg != self.source.algorithm.name() {
            return Err(TokenFault::WrongAlgorithm);
        }
        if typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(TokenFault::Malformed);
        }
        let keys = self.keys.read();
        let key = keys.verifying.get(&kid).ok_or(TokenFault::UnknownKey)?;
        let mut rules = Validation::new(self.source.algorithm.in_tokens());
        // What the claims say is checked here, with our own clock.
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.set_required_spec_claims(&["exp", "iss", "sub"]);
        let claims =
            jsonwebtoken::decode::<Claims>(token, key, &rules).map_err(|_| TokenFault::Malformed)?.claims;
        let now_s = now_ms / 1_000;
        if !claims.is_plausible(now_s) {
            return Err(TokenFault::Malformed);
        }
        if now_s >= claims.exp {
            return Err(TokenFault::Expired { at_s: claims.exp });
        }
        Ok(claims)
    }

    fn check_own(&self, message: &'static str) -> Result<(), JwtKeysError> {
        match self.source.private_file {
            Some(_) => Err(JwtKeysError::Refused(message)),
            None => Ok(()),
        }
    }
}

fn head(token: &str) -> Option<Head> {
    let (head, _) = token.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()
}

/// jsonwebtoken panics at first use unless it knows one provider; features of another crate in the
/// build could add a second, so the choice is made here. A second call finds it already made.
fn choose_crypto_provider() {
    let _already_chosen = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}

fn make_folder(folder: &Path) -> Result<(), JwtKeysError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| JwtKeysError::Io { path: folder.to_owned(), source })
}

fn file_name(kid: &str) -> String {
    format!("jwt-{kid}.pem")
}

fn new_kid(now_ms: EpochMs) -> Result<String, JwtKeysError> {
    let mut chance = [0_u8; 4];
    aws_lc_rs::rand::fill(&mut chance).map_err(|_| JwtKeysError::NoRandomness)?;
    Ok(format!("{now_ms:012x}{:08x}", u32::from_be_bytes(chance)))
}

/// Every key of the source; `None` when there is none to sign with and one may be made.
fn load_all(source: &KeySource) -> Result<Option<Loaded>, JwtKeysError> {
    let mut verifying = BTreeMap::new();
    let mut signing = None;
    for (kid, path) in files_of(&source.folder)? {
        let key = key_files::read(&path)?;
        if key.algorithm == source.algorithm {
            verifying.insert(kid.clone(), key.verifying);
            // Ids sort by age and the files come in order, so the last one is the newest.
            signing = key.signing.map(|signing| (kid, signing)).or(signing);
        }
    }
    for path in &source.public_files {
        let key = named(path, source.algorithm)?;
        verifying.insert(kid_of(path, &key)?, key.verifying);
    }
    if let Some(path) = &source.private_file {
        let key = named(path, source.algorithm)?;
        let kid = kid_of(path, &key)?;
        let other =
            || JwtKeysError::OtherAlgorithm { path: path.clone(), algorithm: source.algorithm.name() };
        signing = Some((kid.clone(), key.signing.ok_or_else(other)?));
        verifying.insert(kid, key.verifying);
    }
    Ok(signing.map(|(signing_kid, signing)| Loaded { signing_kid, signing, verifying }))
}

/// A key file that the configuration names.
fn named(path: &Path, algorithm: JwtAlgorithm) -> Result<KeyFile, JwtKeysError> {
    let key = key_files::read(path)?;
    if key.algorithm == algorithm {
        return Ok(key);
    }
    Err(JwtKeysError::OtherAlgorithm { path: path.to_owned(), algorithm: algorithm.name() })
}

/// The id of a key that has none: a digest of its public half, the same on every gateway.
fn kid_of(path: &Path, key: &KeyFile) -> Result<String, JwtKeysError> {
    let half = if key.public.is_empty() {
        let io = |source| JwtKeysError::Io { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(io)?;
        let base64: String = text.lines().filter(|line| !line.starts_with('-')).map(str::trim).collect();
        let not_a_key = |_| JwtKeysError::NotAKey { path: path.to_owned() };
        base64::engine::general_purpose::STANDARD.decode(base64).map_err(not_a_key)?
    } else {
        key.public.clone()
    };
    let hash = digest(&SHA256, &half);
    Ok(URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12]))
}

fn files_of(folder: &Path) -> Result<BTreeMap<String, PathBuf>, JwtKeysError> {
    let io = |source| JwtKeysError::Io { path: folder.to_owned(), source };
    let mut files = BTreeMap::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(io(error)),
    };
    for entry in entries {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(kid) = name.strip_prefix("jwt-").and_then(|rest| rest.strip_suffix(".pem")) {
            files.insert(kid.to_owned(), path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
