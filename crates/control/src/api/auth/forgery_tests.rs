//! Access tokens that somebody made up: none is taken (reliability contract, T53).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use model::resource::Role;
use serde_json::{Value, json};
use testkit::trust::Proof;

use crate::session::{Claims, JwtKeys};
use crate::testing::{Fixture, NOW, temporary_folder};

const ROUTE: &str = "/api/v1/admin/users";

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// Signs what a thief of the key could sign: any head, any claims.
fn sign(folder: &std::path::Path, head: &str, claims: &str) -> String {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_ours = |path: &std::path::PathBuf| path.to_string_lossy().contains("/jwt-");
    let file = files.find(is_ours).unwrap();
    let key = EncodingKey::from_ed_pem(&std::fs::read(file).unwrap()).unwrap();
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).unwrap();
    format!("{message}.{signature}")
}

/// What is wrong with the signature or the head.
fn forged_heads(good: &str, kid: &str, claims: &Claims) -> Vec<(&'static str, String)> {
    let parts: Vec<&str> = good.split('.').collect();
    let [head, body, signature] = parts[..] else { panic!("{good}") };
    let with = |head: Value| format!("{}.{body}.{signature}", part(&head));
    let unsigned = |alg: &str| format!("{}.{body}.", part(&json!({"alg": alg, "kid": kid})));
    let hmac = |secret: &[u8], algorithm| {
        let mut header = Header::new(algorithm);
        header.kid = Some(kid.to_owned());
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
    flipped[0] ^= 1;
    let stranger = JwtKeys::load_or_create(temporary_folder().path(), NOW).unwrap();
    let foreign = stranger.sign(claims).unwrap();
    let owner =
        json!({"iss": "yumen", "sub": "a".repeat(26), "tid": "default", "sid": "a", "iat": 0, "exp": 1});
    vec![
        ("none", unsigned("none")),
        ("None", unsigned("None")),
        ("NONE", unsigned("NONE")),
        ("none with our signature", with(json!({"alg": "none", "kid": kid}))),
        ("HS256 with the key's id", hmac(kid.as_bytes(), Algorithm::HS256)),
        ("HS256 with nothing", hmac(b"", Algorithm::HS256)),
        ("HS512", hmac(b"public key", Algorithm::HS512)),
        ("RS256", with(json!({"alg": "RS256", "kid": kid}))),
        ("ES256", with(json!({"alg": "ES256", "kid": kid}))),
        ("PS256", with(json!({"alg": "PS256", "kid": kid}))),
        ("no algorithm", with(json!({"kid": kid}))),
        ("no key", with(json!({"alg": "EdDSA"}))),
        ("a key that is a path", with(json!({"alg": "EdDSA", "kid": "../../../../dev/null"}))),
        ("a key that is SQL", with(json!({"alg": "EdDSA", "kid": "x' UNION SELECT 'key"}))),
        ("a key that is a URL", with(json!({"alg": "EdDSA", "kid": "https://evil.example/key"}))),
        ("a key that is a list", with(json!({"alg": "EdDSA", "kid": [kid]}))),
        ("another's key", foreign.clone()),
        ("another's signature", format!("{head}.{body}.{}", foreign.rsplit('.').next().unwrap())),
        ("a flipped signature", format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(flipped))),
        ("no signature", format!("{head}.{body}.")),
        ("no third part", format!("{head}.{body}")),
        ("a fourth part", format!("{good}.{signature}")),
        ("padding", format!("{head}.{body}.{signature}==")),
        ("other claims", format!("{head}.{}.{signature}", part(&owner))),
        (
            "other base64",
            format!(
                "{}.{body}.{signature}",
                STANDARD.encode(json!({"alg": "EdDSA", "kid": kid, "typ": "??>"}).to_string())
            ),
        ),
        (
            "padded base64",
            format!(
                "{}.{body}.{signature}",
                URL_SAFE.encode(json!({"alg": "EdDSA", "kid": kid}).to_string())
            ),
        ),
        ("rubbish", "a.b.c".to_owned()),
        ("huge", format!("{head}.{}.{signature}", "A".repeat(100_000))),
    ]
}

/// Signed with the right key, but saying what we never say.
fn odd_claims(folder: &std::path::Path, kid: &str, claims: &Claims) -> Vec<(&'static str, String)> {
    let good = serde_json::to_value(claims).unwrap();
    let now = NOW / 1_000;
    let head = json!({"alg": "EdDSA", "kid": kid}).to_string();
    let says = |change: Value| {
        let mut claims = good.clone();
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        sign(folder, &head, &claims.to_string())
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        sign(folder, &head, &claims.to_string())
    };
    let text = good.to_string();
    let twice = format!("{},\"sub\":\"{}\"}}", &text[..text.len() - 1], "a".repeat(26));
    let headed = |head: Value| sign(folder, &head.to_string(), &text);
    vec![
        ("no end", without("exp")),
        ("no issuer", without("iss")),
        ("no subject", without("sub")),
        ("no beginning", without("iat")),
        ("another issuer", says(json!({"iss": "evil"}))),
        ("an audience", says(json!({"aud": "another"}))),
        ("not before", says(json!({"nbf": now + 600}))),
        ("from the future", says(json!({"iat": now + 600, "exp": now + 1_200}))),
        ("for ever", says(json!({"exp": u64::from(u32::MAX)}))),
        ("an end that is text", says(json!({"exp": "never"}))),
        ("an end before its beginning", says(json!({"iat": now, "exp": now - 1}))),
        ("a role", says(json!({"role": "owner"}))),
        ("another tenant", says(json!({"tid": "acme"}))),
        ("a subject twice", sign(folder, &head, &twice)),
        ("a key set", headed(json!({"alg": "EdDSA", "kid": kid, "jku": "https://evil.example/jwks"}))),
        ("a certificate", headed(json!({"alg": "EdDSA", "kid": kid, "x5u": "https://evil.example/c"}))),
        ("a key of its own", headed(json!({"alg": "EdDSA", "kid": kid, "jwk": {"kty": "OKP"}}))),
        ("a demand", headed(json!({"alg": "EdDSA", "kid": kid, "crit": ["exp"]}))),
    ]
}

#[tokio::test]
async fn no_forged_token_is_taken() {
    let fixture = Fixture::empty().await;
    let (user, good) = fixture.signed_in(Role::Owner).await;
    assert_eq!(fixture.get(ROUTE, &good).await.status, 200);
    let kid = fixture.state.jwt_keys.list()[0].kid.clone();
    let folder = fixture.keys_folder();
    let claims = Claims::issue(&user, &user.id, NOW);
    let resigned =
        sign(&folder, &json!({"alg": "EdDSA", "kid": kid}).to_string(), &json!(claims).to_string());
    assert_eq!(fixture.get(ROUTE, &resigned).await.status, 200, "the test signs as we do");
    let mut forgeries = forged_heads(&good, &kid, &claims);
    forgeries.extend(odd_claims(&folder, &kid, &claims));
    let count = forgeries.len();
    assert!(count >= 45, "{count}");
    for (what, token) in forgeries {
        let seen = fixture.get(ROUTE, &token).await;
        assert_eq!(
            (seen.status, seen.json["code"].as_str()),
            (401, Some("TOKEN_INVALID")),
            "{what}: {}",
            seen.json
        );
    }
    let proof = Proof::new("T53", "R15", "Access tokens that somebody made up are not taken");
    proof.held(&format!("0 of {count} forgeries taken")).unwrap();
}
