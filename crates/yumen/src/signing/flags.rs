//! The flags of `yumen sign`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// The environment variable of the secret.
pub const SECRET_VARIABLE: &str = "YUMEN_SIGNING_SECRET";

/// Flags of `sign`.
#[derive(Args, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct Sign {
    /// How to sign.
    #[arg(long, value_enum, default_value_t)]
    pub scheme: Scheme,
    /// The key's id; with --verify it may be left out.
    #[arg(long, value_name = "ID")]
    pub key_id: Option<String>,
    /// File with the signing secret, `-` for standard input; without it, the variable YUMEN_SIGNING_SECRET.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// The method.
    #[arg(long, default_value = "POST")]
    pub method: String,
    /// Where the request goes; `rfc9421` signs its host, path and query.
    #[arg(long, default_value = "http://127.0.0.1:8787/v1/chat/completions")]
    pub url: String,
    /// File with the body exactly as it is sent, `-` for standard input; without it and --data, there is none.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub body: Option<PathBuf>,
    /// The body as text.
    #[arg(long, value_name = "TEXT")]
    pub data: Option<String>,
    /// Sign the canonical form of a JSON body, as clients do that serialise it once more (only `hmac-v1`).
    #[arg(long)]
    pub canonical: bool,
    /// When it is signed, in Unix seconds; without it, now. With --verify, the gateway's time.
    #[arg(long, value_name = "SECONDS")]
    pub timestamp: Option<u64>,
    /// The nonce; without it, one of chance.
    #[arg(long)]
    pub nonce: Option<String>,
    /// Print a curl command instead of headers.
    #[arg(long, conflicts_with_all = ["explain", "verify"])]
    pub curl: bool,
    /// Print what is signed and each step of hashing; never the secret.
    #[arg(long, conflicts_with = "verify")]
    pub explain: bool,
    /// Check the signature in --header instead of making one; exit code 1 when it does not hold.
    #[arg(long, requires = "header")]
    pub verify: bool,
    /// A header of the request, as `Name: value`; give it again for more.
    #[arg(long, value_name = "HEADER")]
    pub header: Vec<String>,
}

/// How to sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Scheme {
    /// HMAC-SHA256 over key, timestamp, nonce and body hash.
    #[default]
    #[value(name = "hmac-v1")]
    HmacV1,
    /// HTTP Message Signatures.
    #[value(name = "rfc9421")]
    Rfc9421,
}

impl Scheme {
    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacV1 => "hmac-v1",
            Self::Rfc9421 => "rfc9421",
        }
    }
}
