//! Each step of a signature, for who has to find out why theirs differs.

use policy::identify::body_hash::{canonical_sha256_hex, sha256_hex};
use policy::identify::canonical::canonical;

use super::Report;
use super::request::{Draft, Signed};

/// The longest canonical form that is shown whole.
const SHOWN_BYTES: usize = 64 << 10;

/// The body's part of a report.
pub fn body(body: &[u8]) -> Report {
    let mut report = vec![("body bytes", body.len().to_string()), ("raw body sha256", sha256_hex(body))];
    match canonical(body) {
        Some(form) if form.len() <= SHOWN_BYTES => {
            report.push(("canonical body", String::from_utf8_lossy(&form).into_owned()));
        }
        Some(form) => report.push(("canonical body", format!("{} bytes, too long to be shown", form.len()))),
        None => report.push(("canonical body", "none: it is not JSON, or names a member twice".to_owned())),
    }
    if let Some(hash) = canonical_sha256_hex(body) {
        report.push(("canonical body sha256", hash));
    }
    report
}

/// How a signature was made.
pub fn signed(draft: &Draft, signed: &Signed) -> Report {
    let mut report = body(&draft.body);
    if let Some(hash) = &signed.body_hash {
        report.push(("signed body sha256", hash.clone()));
    }
    report.push(("signed text", signed.message.clone()));
    for (name, value) in &signed.headers {
        report.push((name, value.clone()));
    }
    report
}
