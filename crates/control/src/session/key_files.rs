//! The files that keys of access tokens are kept in: PEM, private ones readable by their owner only.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use model::Secret;

use super::jwt_keys::JwtKeysError;

/// What access tokens are signed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// Ed25519.
    #[default]
    EdDsa,
    /// RSA with SHA-256, for those who must check tokens with what knows nothing newer.
    Rs256,
}

impl JwtAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::EdDsa, Self::Rs256];

    /// The name in tokens and settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    pub(super) fn in_tokens(self) -> Algorithm {
        match self {
            Self::EdDsa => Algorithm::EdDSA,
            Self::Rs256 => Algorithm::RS256,
        }
    }
}

/// A key as a file holds it.
pub(super) struct KeyFile {
    pub(super) algorithm: JwtAlgorithm,
    /// `None` for a public half alone.
    pub(super) signing: Option<EncodingKey>,
    pub(super) verifying: DecodingKey,
    /// The public half (SubjectPublicKeyInfo), empty where only that is there.
    pub(super) public: Vec<u8>,
}

/// Reads a key of either algorithm.
pub(super) fn read(path: &Path) -> Result<KeyFile, JwtKeysError> {
    let io = |source| JwtKeysError::Io { path: path.to_owned(), source };
    let not_a_key = || JwtKeysError::NotAKey { path: path.to_owned() };
    let pem = Secret::new(std::fs::read_to_string(path).map_err(io)?);
    let text = pem.expose().as_bytes();
    if pem.expose().contains("BEGIN PUBLIC KEY") {
        return public(text).ok_or_else(not_a_key);
    }
    let mode = std::fs::metadata(path).map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(JwtKeysError::WorldReadable { path: path.to_owned() });
    }
    private(text).ok_or_else(not_a_key)
}

fn public(pem: &[u8]) -> Option<KeyFile> {
    let of = |algorithm, verifying| KeyFile { algorithm, signing: None, verifying, public: Vec::new() };
    if let Ok(key) = DecodingKey::from_ed_pem(pem) {
        return Some(of(JwtAlgorithm::EdDsa, key));
    }
    DecodingKey::from_rsa_pem(pem).ok().map(|key| of(JwtAlgorithm::Rs256, key))
}

fn private(pem: &[u8]) -> Option<KeyFile> {
    if let Ok(signing) = EncodingKey::from_ed_pem(pem) {
        let pair = Ed25519KeyPair::from_pkcs8(signing.as_bytes()).ok()?;
        let half: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
        return Some(KeyFile {
            algorithm: JwtAlgorithm::EdDsa,
            verifying: DecodingKey::from_ed_der(pair.public_key().as_ref()),
            public: half.as_ref().to_vec(),
            signing: Some(signing),
        });
    }
    let signing = EncodingKey::from_rsa_pem(pem).ok()?;
    let pair = RsaKeyPair::from_der(signing.as_bytes()).ok()?;
    let half: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
    Some(KeyFile {
        algorithm: JwtAlgorithm::Rs256,
        verifying: DecodingKey::from_rsa_der(pair.public_key().as_ref()),
        public: half.as_ref().to_vec(),
        signing: Some(signing),
    })
}

/// Writes a new private key to `path`, which must not exist yet.
pub(crate) fn create(path: &Path, algorithm: JwtAlgorithm) -> Result<(), JwtKeysError> {
    let failed = |_| JwtKeysError::NoRandomness;
    let document = match algorithm {
        JwtAlgorithm::EdDsa => {
            // Version 1 of PKCS#8: the reader of jsonwebtoken does not take the version with the public half.
            let random = aws_lc_rs::rand::SystemRandom::new();
            Ed25519KeyPair::generate_pkcs8v1(&random).map_err(failed)?.as_ref().to_vec()
        }
        JwtAlgorithm::Rs256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            let document: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
            document.as_ref().to_vec()
        }
    };
    let document = Secret::new(document);
    write(path, &pem("PRIVATE KEY", document.expose()), 0o600)
}

/// Leaves only the public half at `path`.
pub(super) fn keep_public_half(path: &Path, key: &KeyFile) -> Result<(), JwtKeysError> {
    let beside = path.with_extension("pem.new");
    write(&beside, &pem("PUBLIC KEY", &key.public), 0o644)?;
    std::fs::rename(&beside, path).map_err(|source| JwtKeysError::Io { path: path.to_owned(), source })
}

fn pem(what: &str, der: &[u8]) -> Secret<String> {
    let mut lines = String::new();
    let encoded = Secret::new(STANDARD.encode(der));
    for line in encoded.expose().as_bytes().chunks(64) {
        lines.extend(line.iter().copied().map(char::from));
        lines.push('\n');
    }
    let lines = Secret::new(lines);
    Secret::new(format!("-----BEGIN {what}-----\n{}-----END {what}-----\n", lines.expose()))
}

fn write(path: &Path, pem: &Secret<String>, mode: u32) -> Result<(), JwtKeysError> {
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(pem.expose().as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| JwtKeysError::Io { path: path.to_owned(), source })
}
