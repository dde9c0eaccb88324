//! What a signature costs on a request's path, by scheme and size of the body: everything that a bearer's
//! request does not do, the written nonce included. Run it optimised: `cargo run --release -p policy
//! --example signature_cost`.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures, and says what it found")]

use std::time::Instant;

use http::Request;
use http::request::Parts;
use model::resource::FreezeScope;
use model::{ResourceId, Secret};
use policy::identify::body_hash::{content_digest, sha256_hex};
use policy::identify::http_signature::{self, NewSignature};
use policy::identify::{Claim, SigningKey, hmac};
use state::signatures::{Signatures, Source, Spend, Told, nonces};

const NOW_MS: u64 = 1_790_000_000_000;
const ROUNDS: usize = 2_000;

fn main() -> std::io::Result<()> {
    let folder = std::env::temp_dir().join(format!("yumen-signature-cost-{}", std::process::id()));
    let (signatures, _) = Signatures::open(&folder, NOW_MS)?;
    let key = ResourceId::mint(1, [7; 10]);
    let secret =
        SigningKey::new(&Secret::new("sk-sign-of-the-usual-length-of-sixty-characters-or-so".to_owned()));
    for bytes in [0, 1_000, 100_000] {
        let body = vec![b'a'; bytes];
        for scheme in ["hmac-v1", "rfc9421"] {
            let mut times = Vec::with_capacity(ROUNDS);
            for round in 0..ROUNDS {
                let nonce = format!("{scheme}-{bytes}-{round}");
                let head = signed(scheme, &key, &secret, (&nonce, &body));
                let started = Instant::now();
                check(&signatures, &key, &secret, (&head, &body));
                times.push(started.elapsed());
            }
            times.sort_unstable();
            let (median, late) = (times[ROUNDS / 2], times[ROUNDS * 99 / 100]);
            println!("{scheme} {bytes:>6} bytes: median {median:?}, p99 {late:?}");
        }
    }
    let wrong = signatures.failed(&key, Source::of([203, 0, 113, 1].into()), FreezeScope::Source, NOW_MS);
    assert!(wrong == Told::Wrong);
    std::fs::remove_dir_all(folder)
}

fn signed(scheme: &str, key: &ResourceId, secret: &SigningKey, (nonce, body): (&str, &[u8])) -> Parts {
    let request = Request::post("/v1/chat/completions").header("host", "ai.example.com");
    let (timestamp, created_s) = ((NOW_MS / 1_000).to_string(), NOW_MS / 1_000);
    if scheme == "hmac-v1" {
        let message = hmac::message(key.as_str(), &timestamp, nonce, &sha256_hex(body));
        let request = request
            .header("x-api-key", key.as_str())
            .header("x-timestamp", timestamp)
            .header("x-nonce", nonce)
            .header("x-signature", hmac::sign(secret, &message));
        return request.body(()).expect("a request").into_parts().0;
    }
    let new = NewSignature { key_id: key.as_str(), created_s, nonce, has_body: !body.is_empty() };
    let mut head =
        request.header("content-digest", content_digest(body)).body(()).expect("a request").into_parts().0;
    let base = new.base(&head).unwrap_or_else(|fault| unreachable!("{}", fault.0));
    let signature = http_signature::sign(secret, "sig1", &base);
    for (name, value) in [("signature-input", format!("sig1={}", new.parameters())), ("signature", signature)]
    {
        head.headers.insert(name, value.parse().expect("a header value"));
    }
    head
}

/// As the data plane does it.
fn check(signatures: &Signatures, key: &ResourceId, secret: &SigningKey, (head, body): (&Parts, &[u8])) {
    let source = Source::of([198, 51, 100, 7].into());
    let claim = Claim::read(&head.headers).unwrap_or_else(|rejection| unreachable!("{}", rejection.message));
    assert!(ResourceId::parse(claim.key_id()).as_ref() == Some(key));
    assert!(signatures.frozen(key, source, NOW_MS).is_none());
    assert!(claim.check_time(NOW_MS).is_ok() && claim.check_host(head, &[]).is_ok());
    assert!(claim.verify(&[secret], head, body).is_ok());
    let spent = signatures.spend(key, claim.nonce_digest(), nonces::most(None), NOW_MS);
    assert!(spent == Spend::Fresh);
    signatures.succeeded(key, source, NOW_MS);
}
