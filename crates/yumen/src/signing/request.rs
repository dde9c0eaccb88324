//! The request that is signed, read from the flags, and its signature.

use std::io::Read as _;
use std::path::Path;

use http::header::{HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Uri};
use model::Secret;
use policy::identify::body_hash::{canonical_sha256_hex, content_digest, sha256_hex};
use policy::identify::http_signature::{self, NewSignature};
use policy::identify::{SigningKey, hmac};

use super::flags::{SECRET_VARIABLE, Scheme, Sign};
use crate::commands::secret_file;
use crate::entropy::random_bytes;
use crate::problem::Problem;

/// The label of our signatures.
const LABEL: &str = "sig1";
/// The largest body that is read: as large as a gateway takes.
const LARGEST_BODY: u64 = 32 << 20;

/// A request before it is signed.
pub struct Draft {
    /// Its head, with the headers that were given.
    pub head: Parts,
    /// Its body.
    pub body: Vec<u8>,
    /// What signs it.
    pub secret: SigningKey,
}

/// A signature, with what it was made of.
pub struct Signed {
    /// The headers to send.
    pub headers: Vec<(&'static str, String)>,
    /// The text that was signed.
    pub message: String,
    /// The hash of the body that it contains; `None` where a header holds it.
    pub body_hash: Option<String>,
}

impl Draft {
    /// Reads the flags.
    ///
    /// # Errors
    /// What is missing or malformed.
    pub fn of(sign: &Sign) -> Result<Self, Problem> {
        if sign.secret_file.as_deref() == Some(Path::new("-")) && sign.body.as_deref() == Some(Path::new("-"))
        {
            return Err(Problem::new(
                "cannot read both",
                "secret and body are to come from standard input",
                "put one into a file",
            ));
        }
        let uri: Uri = sign.url.parse().map_err(|_| {
            Problem::new(
                format!("cannot use the URL {}", sign.url),
                "it is not one",
                "write it like http://host:port/path?query",
            )
        })?;
        let request = Request::builder().method(sign.method.as_str()).uri(uri).body(());
        let request = request.map_err(|error| {
            Problem::new("cannot make the request", error.to_string(), "check --method and --url")
        })?;
        let mut head = request.into_parts().0;
        for line in &sign.header {
            let (name, value) = header(line)?;
            head.headers.append(name, value);
        }
        Ok(Self { head, body: body(sign)?, secret: SigningKey::new(&secret(sign)?) })
    }

    /// Signs it.
    ///
    /// # Errors
    /// What is missing.
    pub fn sign(&self, sign: &Sign, now_ms: u64) -> Result<Signed, Problem> {
        let key_id = sign.key_id.as_deref().ok_or_else(|| {
            Problem::new("cannot sign", "it is not said with which key", "give its id with --key-id")
        })?;
        let created_s = sign.timestamp.unwrap_or(now_ms / 1_000);
        let nonce = sign.nonce.clone().unwrap_or_else(chance);
        match sign.scheme {
            Scheme::HmacV1 => self.sign_hmac(sign, key_id, (created_s, nonce)),
            Scheme::Rfc9421 => self.sign_http(key_id, created_s, &nonce),
        }
    }

    fn sign_hmac(
        &self,
        sign: &Sign,
        key_id: &str,
        (created_s, nonce): (u64, String),
    ) -> Result<Signed, Problem> {
        let body_hash = match sign.canonical {
            false => sha256_hex(&self.body),
            true => canonical_sha256_hex(&self.body).ok_or_else(|| {
                let cause = "it is not JSON, or names a member twice";
                Problem::new(
                    "the body has no canonical form",
                    cause,
                    "sign the body as it is sent: leave --canonical out",
                )
            })?,
        };
        let timestamp = created_s.to_string();
        let message = hmac::message(key_id, &timestamp, &nonce, &body_hash);
        let signature = hmac::sign(&self.secret, &message);
        let headers = vec![
            ("X-API-Key", key_id.to_owned()),
            ("X-Timestamp", timestamp),
            ("X-Nonce", nonce),
            ("X-Signature", signature),
        ];
        Ok(Signed { headers, message, body_hash: Some(body_hash) })
    }

    fn sign_http(&self, key_id: &str, created_s: u64, nonce: &str) -> Result<Signed, Problem> {
        let new = NewSignature { key_id, created_s, nonce, has_body: !self.body.is_empty() };
        let mut head = self.head.clone();
        let mut headers = Vec::new();
        if new.has_body {
            let digest = content_digest(&self.body);
            if let Ok(value) = HeaderValue::from_str(&digest) {
                head.headers.insert(http_signature::CONTENT_DIGEST, value);
            }
            headers.push(("Content-Digest", digest));
        }
        let message = new.base(&head).map_err(|fault| {
            Problem::new("cannot sign", fault.0.into_owned(), "give a whole --url, or the header Host")
        })?;
        headers.push(("Signature-Input", format!("{LABEL}={}", new.parameters())));
        headers.push(("Signature", http_signature::sign(&self.secret, LABEL, &message)));
        Ok(Signed { headers, message, body_hash: None })
    }
}

impl Signed {
    /// A command that sends the request.
    pub fn curl(&self, draft: &Draft, sign: &Sign) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let mut command = format!("curl -X {} {}", draft.head.method, quoted(&sign.url));
        let given = sign.header.iter().map(String::clone);
        let own = self.headers.iter().map(|(name, value)| format!("{name}: {value}"));
        for header in given.chain(own) {
            command += &format!(" \\\n  -H {}", quoted(&header));
        }
        if !draft.body.is_empty() {
            if !draft.head.headers.contains_key(http::header::CONTENT_TYPE) {
                command += " \\\n  -H 'Content-Type: application/json'";
            }
            let body = match &sign.body {
                Some(path) if path.as_os_str() != "-" => quoted(&format!("@{}", path.display())),
                _ => quoted(&String::from_utf8_lossy(&draft.body)),
            };
            command += &format!(" \\\n  --data-binary {body}");
        }
        command
    }
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), Problem> {
    let malformed = || {
        let name = line.split(':').next().unwrap_or_default().to_owned();
        Problem::new(format!("cannot use the header {name}"), "it is malformed", "write it as `Name: value`")
    };
    let (name, value) = line.split_once(':').ok_or_else(malformed)?;
    let name = name.trim().parse().map_err(|_| malformed())?;
    Ok((name, HeaderValue::from_str(value.trim()).map_err(|_| malformed())?))
}

fn body(sign: &Sign) -> Result<Vec<u8>, Problem> {
    let Some(path) = &sign.body else {
        return Ok(sign.data.clone().unwrap_or_default().into_bytes());
    };
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(LARGEST_BODY).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST_BODY).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        Problem::new(
            format!("cannot read the body from {}", path.display()),
            error.to_string(),
            "check --body",
        )
    })?;
    Ok(bytes)
}

fn secret(sign: &Sign) -> Result<Secret<String>, Problem> {
    if let Some(path) = &sign.secret_file {
        return secret_file(path);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "a secret on the command line would show in the list of processes"
    )]
    let given = std::env::var(SECRET_VARIABLE).ok().filter(|text| !text.is_empty());
    given.map(Secret::new).ok_or_else(|| {
        Problem::new(
            "there is no signing secret",
            format!("{SECRET_VARIABLE} is not set"),
            "set it, or name a file with --secret-file (- for standard input)",
        )
    })
}

/// A nonce of 128 bits.
fn chance() -> String {
    let bytes: [u8; 16] = random_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The host that the request names, as `rfc9421` binds it.
pub fn has_host(head: &Parts) -> bool {
    head.uri.authority().is_some() || head.headers.contains_key(HOST)
}
