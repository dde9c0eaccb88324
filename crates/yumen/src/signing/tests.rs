//! Signs, explains, verifies, and finds what differs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::flags::Scheme;
use super::*;

const NOW_MS: u64 = 1_790_000_000_000;
const BODY: &str = r#"{"b": 1E3, "a": "é"}"#;
const KEY_ID: &str = "agm4fyq3zxeuxpzr4mwkq2v3ca";

/// A file with a secret, removed when dropped.
struct SecretFile(PathBuf);

impl SecretFile {
    fn with(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("yumen-sign-{}-{count}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn sign(scheme: Scheme, secret: &SecretFile) -> Sign {
    Sign {
        scheme,
        key_id: Some(KEY_ID.to_owned()),
        secret_file: Some(secret.0.clone()),
        method: "POST".to_owned(),
        url: "http://gateway.example:8787/v1/chat/completions?x=1".to_owned(),
        data: Some(BODY.to_owned()),
        nonce: Some("n-1".to_owned()),
        ..Sign::default()
    }
}

fn headers(sign: &Sign) -> Vec<String> {
    act(sign, false, NOW_MS)
        .unwrap_or_else(|problem| panic!("{problem}"))
        .lines()
        .map(str::to_owned)
        .collect()
}

fn verify(made: Sign, header: Vec<String>, now_ms: u64) -> Result<String, String> {
    let sign = Sign { verify: true, header, ..made };
    act(&sign, false, now_ms).map_err(|problem| problem.to_string())
}

#[test]
fn what_is_signed_verifies_in_both_schemes_and_forms() {
    let secret = SecretFile::with("sk-sign-test\n");
    for scheme in [Scheme::HmacV1, Scheme::Rfc9421] {
        for canonical in [false, true] {
            let make = || Sign { canonical, ..sign(scheme, &secret) };
            let made = headers(&make());
            let report =
                verify(make(), made.clone(), NOW_MS + 300_000).unwrap_or_else(|problem| panic!("{problem}"));
            assert!(report.contains("the signature holds") && report.contains("-300"), "{report}");
            let json = act(&make(), true, NOW_MS).unwrap_or_else(|problem| panic!("{problem}"));
            let json: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(json["headers"].as_object().unwrap().len(), made.len());
        }
    }
}

#[test]
fn what_differs_is_named() {
    let secret = SecretFile::with("sk-sign-test");
    let other = SecretFile::with("another");
    for scheme in [Scheme::HmacV1, Scheme::Rfc9421] {
        let make = || sign(scheme, &secret);
        let made = headers(&make());
        let late = verify(make(), made.clone(), NOW_MS + 600_000).err().unwrap();
        assert!(late.contains("600 s behind"), "{late}");
        let wrong = verify(sign(scheme, &other), made.clone(), NOW_MS).err().unwrap();
        assert!(wrong.contains("`signature` differs") && !wrong.contains("another"), "{wrong}");
        let changed = Sign { data: Some("{}".to_owned()), ..make() };
        let step = if scheme == Scheme::HmacV1 { "`signature`" } else { "`digest`" };
        let changed = verify(changed, made.clone(), NOW_MS).err().unwrap();
        assert!(changed.contains(step) && changed.contains("raw body sha256"), "{changed}");
        let missing = verify(make(), made[1..].to_vec(), NOW_MS).err().unwrap();
        assert!(missing.contains("the signature does not hold"), "{missing}");
    }
}

#[test]
fn every_step_is_explained_without_the_secret() {
    let secret = SecretFile::with("sk-sign-test");
    let explained = act(&Sign { explain: true, ..sign(Scheme::HmacV1, &secret) }, false, NOW_MS);
    let explained = explained.unwrap_or_else(|problem| panic!("{problem}"));
    // The hashes are those of Python's hashlib over the same texts.
    for part in [
        r#"{"a":"\u00e9","b":1000.0}"#,
        "325cb4a91c14b4431b4de4904c5794cc73e92d376ec5c0896dc453aba4732f9e",
        "e61bdab95620b96c5979906018ea1d1a4327515da0b324a2332882e65b9dd1b4",
        "agm4fyq3zxeuxpzr4mwkq2v3ca1790000000n-1",
        "X-Signature",
    ] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    assert!(!explained.contains("sk-sign-test"));
    let explained = act(&Sign { explain: true, ..sign(Scheme::Rfc9421, &secret) }, true, NOW_MS);
    let explained: Value =
        serde_json::from_str(&explained.unwrap_or_else(|problem| panic!("{problem}"))).unwrap();
    let text = explained["signed_text"].as_str().unwrap();
    assert!(text.contains(
        "\"@authority\": gateway.example:8787\n\"@path\": /v1/chat/completions\n\"@query\": ?x=1\n"
    ));
}

#[test]
fn a_curl_command_can_be_copied() {
    let secret = SecretFile::with("sk-sign-test");
    let made =
        Sign { curl: true, data: Some("{\"a\":\"it's\"}".to_owned()), ..sign(Scheme::HmacV1, &secret) };
    let command = act(&made, false, NOW_MS).unwrap_or_else(|problem| panic!("{problem}"));
    assert!(command.starts_with(
        "curl -X POST 'http://gateway.example:8787/v1/chat/completions?x=1' \\\n  -H 'X-API-Key: "
    ));
    assert!(command.ends_with(r#"--data-binary '{"a":"it'\''s"}'"#), "{command}");
}

#[test]
fn what_is_missing_is_named() {
    let secret = SecretFile::with("sk-sign-test");
    for (made, part) in [
        (Sign { key_id: None, ..sign(Scheme::HmacV1, &secret) }, "--key-id"),
        (Sign { url: "no url".to_owned(), ..sign(Scheme::HmacV1, &secret) }, "URL"),
        (Sign { url: "/v1/models".to_owned(), ..sign(Scheme::Rfc9421, &secret) }, "Host"),
        (Sign { header: vec!["junk".to_owned()], ..sign(Scheme::HmacV1, &secret) }, "junk"),
        (Sign { canonical: true, data: Some("x".to_owned()), ..sign(Scheme::HmacV1, &secret) }, "canonical"),
        (Sign { secret_file: Some("/nowhere".into()), ..sign(Scheme::HmacV1, &secret) }, "/nowhere"),
        (Sign { data: None, body: Some("/nowhere".into()), ..sign(Scheme::HmacV1, &secret) }, "body"),
    ] {
        let problem = act(&made, false, NOW_MS).err().map(|problem| problem.to_string()).unwrap_or_default();
        assert!(problem.contains(part), "{part}: {problem}");
    }
}
