//! Both schemes over whole requests, and the test case of RFC 9421 itself.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode};
use model::Secret;

use super::super::body_hash::content_digest;
use super::super::http_signature::{NewSignature, ReplySigner, sign};
use super::*;

const NOW_S: u64 = 1_790_000_000;
const BODY: &[u8] = br#"{"model":"m"}"#;
const KEY_ID: &str = "agm4fyq3zxeuxpzr4mwkq2v3ca";

fn secret() -> SigningKey {
    SigningKey::new(&Secret::new("sk-sign-test".to_owned()))
}

/// A request signed as RFC 9421 says, before `change`.
fn signed(change: impl FnOnce(&mut Parts)) -> Parts {
    let request = Request::post("/v1/chat/completions?beta=1&x=%20")
        .header("host", "Gateway.Example:443")
        .header("content-digest", content_digest(BODY));
    let (mut parts, ()) = request.body(()).expect("a request").into_parts();
    let new = NewSignature { key_id: KEY_ID, created_s: NOW_S, nonce: "n-1", has_body: true };
    let base = new.base(&parts).unwrap_or_else(|fault| panic!("{}", fault.0));
    let input = format!("sig1={}", new.parameters());
    parts.headers.insert("signature-input", input.parse().expect("a value"));
    parts.headers.insert("signature", sign(&secret(), "sig1", &base).parse().expect("a value"));
    change(&mut parts);
    parts
}

fn claim(parts: &Parts) -> Claim {
    Claim::read(&parts.headers).unwrap_or_else(|rejection| panic!("{}", rejection.message))
}

fn step(parts: &Parts, body: &[u8]) -> Option<&'static str> {
    claim(parts).verify(&[&secret()], parts, body).err().map(|differs| differs.step)
}

#[test]
fn the_hmac_test_case_of_rfc_9421_gives_its_signature() {
    // RFC 9421, appendix B.2.5, with the key of B.1.5.
    let key = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let key = STANDARD.decode(key).expect("base64");
    let key = SigningKey(hmac::Key::new(hmac::HMAC_SHA256, &key));
    let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\
        \"content-type\": application/json\n\"@signature-params\": (\"date\" \"@authority\" \"content-type\")\
        ;created=1618884473;keyid=\"test-shared-secret\"";
    assert_eq!(sign(&key, "sig-b25", base), "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:");
}

#[test]
fn a_request_is_bound_by_everything_that_is_covered() {
    let parts = signed(|_| {});
    let read = claim(&parts);
    assert_eq!((read.key_id(), read.scheme(), read.skew_s(NOW_S * 1_000)), (KEY_ID, Signing::Rfc9421, 0));
    assert_eq!(step(&parts, BODY), None);
    assert_eq!(step(&parts, b"{}"), Some("digest"));
    let other = SigningKey::new(&Secret::new("other".to_owned()));
    assert!(claim(&parts).verify(&[&other], &parts, BODY).is_err());
    assert!(claim(&parts).verify(&[&other, &secret()], &parts, BODY).is_ok());
    for (path, host) in [
        ("/v1/messages?beta=1&x=%20", "gateway.example"),
        ("/v1/chat/completions?beta=2&x=%20", "gateway.example"),
        ("/v1/chat/completions?beta=1&x=+", "gateway.example"),
        ("/v1/chat/completions", "gateway.example"),
        ("/v1/chat/completions?beta=1&x=%20", "other.example"),
    ] {
        let parts = signed(|parts| {
            parts.uri = path.parse().expect("a path");
            parts.headers.insert("host", host.parse().expect("a host"));
        });
        assert_eq!(step(&parts, BODY), Some("signature"), "{path} {host}");
    }
    let parts = signed(|parts| parts.method = http::Method::PUT);
    assert_eq!(step(&parts, BODY), Some("signature"));
    let digest = content_digest(b"{}").parse::<http::HeaderValue>().expect("a value");
    let parts = signed(|parts| drop(parts.headers.insert("content-digest", digest)));
    assert_eq!(step(&parts, b"{}"), Some("signature"));
}

#[test]
fn a_default_port_and_the_case_of_the_host_do_not_matter() {
    for host in ["gateway.example", "GATEWAY.example:80", "gateway.example:443"] {
        let parts = signed(|parts| drop(parts.headers.insert("host", host.parse().expect("a host"))));
        assert_eq!(step(&parts, BODY), None, "{host}");
    }
    let hosts = ["gateway.example".to_owned()];
    let parts = signed(|_| {});
    assert!(claim(&parts).check_host(&parts, &hosts).is_ok());
    let refused = claim(&parts).check_host(&parts, &["other.example".to_owned()]).expect_err("refused");
    assert_eq!(refused.code, Code::InvalidSignature);
}

fn refused(input: &str, signature: &str) -> String {
    let parts = signed(|parts| {
        parts.headers.insert("signature-input", input.parse().expect("a value"));
        parts.headers.insert("signature", signature.parse().expect("a value"));
    });
    let rejection = Claim::read(&parts.headers).err().unwrap_or_else(|| panic!("{input} is accepted"));
    assert_eq!(rejection.code, Code::InvalidSignature);
    rejection.message.into_owned()
}

#[test]
fn everything_required_is_named_when_it_is_missing() {
    let all = r#"("@method" "@authority" "@path" "@query")"#;
    let parameters = r#";created=1;keyid="k";nonce="n""#;
    let signature = "s=:aGk=:";
    for (input, named) in [
        ("s=1".to_owned(), "components"),
        ("s=(1)".to_owned() + parameters, "string"),
        ("s=()".to_owned() + parameters, "@method"),
        ("s=(\"@method\" \"@authority\" \"@path\")".to_owned() + parameters, "@query"),
        (format!("s={all};keyid=\"k\";nonce=\"n\""), "created"),
        (format!("s={all};created=1;nonce=\"n\""), "keyid"),
        (format!("s={all};created=1;keyid=\"k\""), "nonce"),
        (format!("s={all};created=\"1\";keyid=\"k\";nonce=\"n\""), "created"),
        (format!("s={all};created=1;keyid=\"k\";nonce=\"a b\""), "nonce"),
        (format!("s={all}{parameters};alg=\"ed25519\""), "hmac-sha256"),
        (format!("s={all}{parameters};expires=\"x\""), "expires"),
        (format!("s={}{parameters}", all.replace("@query\"", "@query\" \"@query\"")), "@query"),
        (format!("s={}{parameters}", all.replace("@query\"", "@query\";req")), "@query"),
        ("s".to_owned(), "components"),
        ("=".to_owned(), "well-formed"),
    ] {
        let message = match input.as_str() {
            "s=1" | "s" => refused(&format!("{input}{parameters}"), signature),
            _ => refused(&input, signature),
        };
        assert!(message.contains(named), "{input}: {message}");
    }
    let good = format!("s={all}{parameters}");
    for signature in ["t=:aGk=:", "s=1", "s=\"aGk=\"", "junk junk"] {
        assert!(refused(&good, signature).contains("Signature"), "{signature}");
    }
}

#[test]
fn a_body_must_be_covered_and_a_component_must_be_there() {
    let all = r#"("@method" "@authority" "@path" "@query""#;
    let parameters = r#");created=1;keyid="k";nonce="n""#;
    for (more, body) in [("", BODY), (" \"x-missing\"", b""), (" \"@target-uri\"", b""), (" \"Host\"", b"")] {
        let input = format!("s={all}{more}{parameters}");
        let parts = signed(|parts| {
            parts.headers.insert("signature-input", input.parse().expect("a value"));
            parts.headers.insert("signature", "s=:aGk=:".parse().expect("a value"));
        });
        let differs = claim(&parts).verify(&[&secret()], &parts, body).expect_err("refused");
        assert_eq!((differs.step, differs.is_guess), ("headers", false), "{more}");
    }
}

#[test]
fn of_several_signatures_the_first_that_may_be_ours_counts() {
    let parts = signed(|parts| {
        let input = parts.headers["signature-input"].to_str().expect("text").to_owned();
        let input = format!(r#"proxy=("@method");created=1;keyid="p", {input}"#);
        parts.headers.insert("signature-input", input.parse().expect("a value"));
    });
    assert_eq!(step(&parts, BODY), None);
}

#[test]
fn time_has_its_edges() {
    let parts = signed(|_| {});
    for (away, accepted) in [(0, true), (300, true), (301, false)] {
        for now_s in [NOW_S + away, NOW_S - away] {
            let checked = claim(&parts).check_time(now_s * 1_000 + 999);
            assert_eq!(checked.is_ok(), accepted, "{away}");
            assert!(checked.err().is_none_or(|rejection| rejection.code == Code::TimestampExpired));
        }
    }
    let late = claim(&parts).check_time((NOW_S + 600) * 1_000).expect_err("late");
    assert!(late.message.contains("600 s behind"), "{}", late.message);
    let expiring = signed(|parts| {
        let input =
            format!("{};expires={}", parts.headers["signature-input"].to_str().expect("text"), NOW_S + 5);
        parts.headers.insert("signature-input", input.parse().expect("a value"));
    });
    assert!(claim(&expiring).check_time((NOW_S + 5) * 1_000).is_ok());
    assert!(claim(&expiring).check_time((NOW_S + 6) * 1_000).is_err());
}

#[test]
fn a_request_is_signed_by_its_headers_alone() {
    let of = |name: &'static str, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a value"));
        headers
    };
    for (name, value, signs) in [
        ("x-signature", "", true),
        ("signature-input", "junk", true),
        ("authorization", "Signature keyId=\"a\"", true),
        ("authorization", "signature x", true),
        ("authorization", "Bearer x", false),
        ("x-timestamp", "1", false),
        ("signature", "s=:aGk=:", false),
    ] {
        assert_eq!(is_signed(&of(name, value)), signs, "{name}: {value}");
    }
    let draft = Claim::read(&of("authorization", "Signature keyId=\"a\"")).err().expect("refused");
    assert_eq!(draft.code, Code::InvalidSignature);
    let mut both = of("x-signature", "00");
    both.insert("signature-input", "s".parse().expect("a value"));
    assert_eq!(Claim::read(&both).err().map(|r| r.code), Some(Code::InvalidRequestCredentials));
    let mut lacking = of("x-timestamp", "1790000000");
    lacking.insert("x-nonce", "n".parse().expect("a value"));
    assert!(lacks_signature(&lacking));
}

#[test]
fn an_answer_is_signed_for_who_asks() {
    let asking = signed(|parts| {
        parts
            .headers
            .insert("accept-signature", r#"reply=("@status");nonce="abc";tag="t""#.parse().expect("a value"));
    });
    assert!(ReplySigner::wanted(&signed(|_| {}), KEY_ID, &secret()).is_none());
    let signer = ReplySigner::wanted(&asking, KEY_ID, &secret()).expect("asked for");
    let digest = content_digest(b"{}");
    let (input, signature) = signer.sign(StatusCode::OK, Some(&digest), NOW_S);
    let parameters = format!(
        "(\"@status\" \"content-digest\" \"@method\";req);created={NOW_S};keyid=\"{KEY_ID}\";alg=\"hmac-sha256\"\
         ;nonce=\"abc\";tag=\"t\""
    );
    assert_eq!(input, format!("reply={parameters}"));
    let base = format!(
        "\"@status\": 200\n\"content-digest\": {digest}\n\"@method\";req: POST\n\"@signature-params\": {parameters}"
    );
    assert_eq!(signature, sign(&secret(), "reply", &base));
    let (input, _) = signer.sign(StatusCode::OK, None, NOW_S);
    assert!(input.starts_with("reply=(\"@status\" \"@method\";req);"), "{input}");
}

/// A request signed as `hmac-v1` says.
fn signed_hmac() -> Parts {
    use super::super::body_hash::sha256_hex;
    use super::super::hmac;
    let (timestamp, nonce) = (NOW_S.to_string(), "n-1");
    let message = hmac::message(KEY_ID, &timestamp, nonce, &sha256_hex(BODY));
    let request = Request::post("/v1/chat/completions")
        .header("x-api-key", KEY_ID)
        .header("x-timestamp", timestamp)
        .header("x-nonce", nonce)
        .header("x-signature", hmac::sign(&secret(), &message));
    request.body(()).expect("a request").into_parts().0
}

/// Whether a request is accepted as the key's own, so changed, right at the time that it was signed.
fn passes(parts: &Parts, body: &[u8]) -> bool {
    let Ok(claim) = Claim::read(&parts.headers) else { return false };
    claim.key_id() == KEY_ID
        && claim.check_time(NOW_S * 1_000).is_ok()
        && claim.verify(&[&secret()], parts, body).is_ok()
}

#[test]
fn no_flipped_byte_of_any_field_is_accepted() {
    let mut tried = 0;
    for (parts, covered) in [
        (signed_hmac(), &["x-api-key", "x-timestamp", "x-nonce", "x-signature"][..]),
        (signed(|_| {}), &["signature-input", "signature", "content-digest", "host"][..]),
    ] {
        assert!(passes(&parts, BODY));
        for name in covered {
            let value = parts.headers[*name].as_bytes().to_vec();
            for (at, bit) in (0..value.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut flipped = value.clone();
                flipped[at] ^= 1 << bit;
                // The case of a host does not matter, and another default port is as good.
                if *name == "host" && flipped.eq_ignore_ascii_case(&value) {
                    continue;
                }
                let Ok(flipped) = http::HeaderValue::from_bytes(&flipped) else { continue };
                let mut parts = parts.clone();
                parts.headers.insert(*name, flipped);
                assert!(!passes(&parts, BODY), "{name}: byte {at}, bit {bit}");
                tried += 1;
            }
        }
        for (at, bit) in (0..BODY.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut body = BODY.to_vec();
            body[at] ^= 1 << bit;
            assert!(!passes(&parts, &body), "body: byte {at}, bit {bit}");
            tried += 1;
        }
    }
    assert!(tried > 2_000, "{tried}");
}

#[test]
fn digits_of_other_scripts_and_numbers_with_extras_are_no_timestamps() {
    for timestamp in
        ["1790000000 ", "1_790_00000", "\u{661}790000000", "1790000000.0", "-790000000", "0x6AB13B80"]
    {
        let mut parts = signed_hmac();
        let Ok(value) = http::HeaderValue::from_bytes(timestamp.as_bytes()) else { continue };
        parts.headers.insert("x-timestamp", value);
        assert!(!passes(&parts, BODY), "{timestamp}");
    }
}
