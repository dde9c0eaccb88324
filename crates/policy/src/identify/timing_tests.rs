//! T57: how long a check takes says neither how much of a secret or of a signature is right nor whether there is such a
//! key. Run optimised (`profile.dev.package.policy`), as it is shipped.

use std::hint::black_box;

use http::HeaderMap;
use model::Secret;
use testkit::chance::{self, Chance};
use testkit::environment::nightly;
use testkit::timing::{self, Kind, LIMIT};
use testkit::trust::Proof;

use super::Pepper;
use super::hmac::{self, HmacHeaders, SigningKey};
use super::http_signature::HttpSignature;

const PEPPER: [u8; 32] = [7; 32];
const SECRET: &str = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwxyz";
const BODY: &[u8] = br#"{"model":"demo-chat","messages":[{"role":"user","content":"hi"}]}"#;

/// Runs that are measured of each difference.
fn count() -> usize {
    if nightly() { 1_000_000 } else { 100_000 }
}

/// A look-up of a key: what was sent, and what is stored of the key that was found.
struct Lookup {
    pepper: Pepper,
    sent: String,
    stored: Option<[u8; 32]>,
}

impl Lookup {
    fn new() -> Self {
        Self { pepper: Pepper::new(&PEPPER), sent: SECRET.to_owned(), stored: Some(stored()) }
    }

    fn send(&mut self, sent: &[u8; 58]) {
        self.sent.clear();
        self.sent.extend(sent.iter().copied().map(char::from));
    }
}

fn stored() -> [u8; 32] {
    SigningKey(aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &PEPPER)).sign(SECRET.as_bytes())
}

/// A secret of the right form that is not the right one.
fn any_secret(chance: &mut Chance) -> [u8; 58] {
    std::array::from_fn(|_| chance.one_of(b"abcdefghijklmnopqrstuvwxyz234567").unwrap_or(b'a'))
}

/// The right secret but for its last character.
fn nearly() -> [u8; 58] {
    let mut secret: [u8; 58] = SECRET.as_bytes().try_into().expect("58 characters");
    secret[57] = b'a';
    secret
}

/// |t| between a secret of which nearly all is right, and any.
fn of_the_prefix(seed: u64) -> f64 {
    let input = |kind, chance: &mut Chance| {
        let any = any_secret(chance);
        if kind == Kind::Fixed { nearly() } else { any }
    };
    let run = |state: &Lookup| {
        black_box(state.pepper.recognises(black_box(&state.sent), black_box(state.stored.as_ref())));
    };
    timing::times((seed, count()), &mut Lookup::new(), input, Lookup::send, run).t()
}

/// |t| between a key that there is and one that there is not, of a look-up that is given.
fn of_the_key(seed: u64, count: usize, look_up: fn(&Pepper, &str, Option<&[u8; 32]>) -> bool) -> f64 {
    let input = |kind, chance: &mut Chance| (any_secret(chance), (kind == Kind::Fixed).then(stored));
    let place = |state: &mut Lookup, input: &([u8; 58], Option<[u8; 32]>)| {
        state.send(&input.0);
        state.stored = input.1;
    };
    let run = |state: &Lookup| {
        black_box(look_up(&state.pepper, black_box(&state.sent), black_box(state.stored.as_ref())));
    };
    timing::times((seed, count), &mut Lookup::new(), input, place, run).t()
}

#[test]
fn a_look_up_takes_as_long_whatever_is_wrong_with_the_secret() {
    let seed = chance::seed();
    // A look-up that spares the hash where there is no key must be found out, or nothing is shown here.
    let sparing = of_the_key(seed, 20_000, |pepper, secret, stored| {
        stored.is_some_and(|stored| pepper.verifies(secret, stored))
    });
    assert!(sparing > LIMIT, "{sparing}");
    let prefix = timing::rounds(|round| of_the_prefix(seed.wrapping_add(round)));
    let key = timing::rounds(|round| of_the_key(seed.wrapping_add(round), count(), Pepper::recognises));
    let [(prefix_fits, prefix), (key_fits, key)] = [&prefix, &key].map(|rounds| timing::verdict(rounds));
    assert!(prefix_fits && key_fits, "57 right characters of 58: |t| {prefix}; no such key: {key}");
    let what =
        "The time of a look-up says neither how much of a secret is right nor whether there is such a key";
    let figure = format!(
        "{} runs each: |t| {prefix} for 57 right characters of 58, {key} for no such key; {sparing:.0} for a planted \
         look-up that spares the hash",
        count()
    );
    Proof::new("T57", "R15", what).held_with(seed, &figure).expect("the figure is kept");
}

/// A signature as it was sent, and what it is checked against.
struct Signed<C> {
    claim: C,
    key: SigningKey,
}

fn signing_key() -> SigningKey {
    SigningKey::new(&Secret::new(SECRET.to_owned()))
}

/// A signature of which all but the last byte is right, or any.
fn signature(kind: Kind, right: &[u8; 32], chance: &mut Chance) -> [u8; 32] {
    let any = std::array::from_fn(|_| chance.number() as u8);
    let mut nearly = *right;
    nearly[31] ^= 1;
    if kind == Kind::Fixed { nearly } else { any }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
        .collect()
}

fn hmac_headers(signature: &[u8; 32]) -> HmacHeaders {
    let signature = super::body_hash::hex(signature);
    let sent = [
        ("x-api-key", "ak"),
        ("x-timestamp", "1790000000"),
        ("x-nonce", "n-1"),
        ("x-signature", signature.as_str()),
    ];
    HmacHeaders::read(&headers(&sent)).unwrap_or_else(|fault| panic!("{}", fault.0))
}

fn of_hmac_v1(seed: u64) -> f64 {
    let body_hash = super::body_hash::sha256_hex(BODY);
    let right = signing_key().sign(hmac::message("ak", "1790000000", "n-1", &body_hash).as_bytes());
    let fitting = hmac_headers(&right);
    assert!(fitting.verify(&[&signing_key()], BODY).is_ok(), "the right signature fits");
    let mut state = Signed { claim: fitting, key: signing_key() };
    let input = |kind, chance: &mut Chance| signature(kind, &right, chance);
    let place = |state: &mut Signed<HmacHeaders>, input: &[u8; 32]| state.claim = hmac_headers(input);
    let run = |state: &Signed<HmacHeaders>| {
        black_box(black_box(&state.claim).verify(&[&state.key], black_box(BODY)).is_ok());
    };
    timing::times((seed, count()), &mut state, input, place, run).t()
}

/// What is signed of a request.
const BASE: &str =
    "\"@method\": POST\n\"@authority\": localhost\n\"@path\": /v1/chat/completions\n\"@query\": ?\n";
const PARAMETERS: &str =
    "(\"@method\" \"@authority\" \"@path\" \"@query\");created=1790000000;keyid=\"ak\";nonce=\"n-1\"";

fn http_signature(signature: &[u8; 32]) -> HttpSignature {
    let sent = [
        ("signature-input", format!("a={PARAMETERS}")),
        ("signature", format!("a={}", super::structured::bytes(signature))),
    ];
    let sent = sent.each_ref().map(|(name, value)| (*name, value.as_str()));
    HttpSignature::read(&headers(&sent)).unwrap_or_else(|fault| panic!("{}", fault.0))
}

fn of_rfc9421(seed: u64) -> f64 {
    let right = signing_key().sign(BASE.as_bytes());
    let fitting = http_signature(&right);
    assert_eq!(fitting.fits(&[&signing_key()], BASE), Some(0), "the right signature fits");
    let mut state = Signed { claim: fitting, key: signing_key() };
    let input = |kind, chance: &mut Chance| signature(kind, &right, chance);
    let place = |state: &mut Signed<HttpSignature>, input: &[u8; 32]| state.claim = http_signature(input);
    let run = |state: &Signed<HttpSignature>| {
        black_box(black_box(&state.claim).fits(&[&state.key], black_box(BASE)));
    };
    timing::times((seed, count()), &mut state, input, place, run).t()
}

/// |t| of a comparison that stops at the first byte that differs.
fn of_an_early_exit(seed: u64) -> f64 {
    let right = stored();
    let input = |kind, chance: &mut Chance| signature(kind, &right, chance);
    let run = |sent: &[u8; 32]| {
        black_box(sent.iter().zip(&right).all(|(sent, right)| black_box(sent) == right));
    };
    timing::times((seed, 20_000), &mut [0; 32], input, |state, input| *state = *input, run).t()
}

#[test]
fn a_signature_takes_as_long_to_check_however_much_of_it_is_right() {
    let seed = chance::seed();
    // A comparison that stops early must be found out, or nothing is shown here.
    let early = of_an_early_exit(seed);
    assert!(early > LIMIT, "{early}");
    let hmac = timing::rounds(|round| of_hmac_v1(seed.wrapping_add(round)));
    let http = timing::rounds(|round| of_rfc9421(seed.wrapping_add(round)));
    let [(hmac_fits, hmac), (http_fits, http)] = [&hmac, &http].map(|rounds| timing::verdict(rounds));
    assert!(hmac_fits && http_fits, "31 right bytes of 32: |t| {hmac} for hmac-v1, {http} for rfc9421");
    let what = "The time of a check of a signature does not say how much of it is right";
    let figure = format!(
        "{} runs each, 31 right bytes of 32 beside any: |t| {hmac} for hmac-v1, {http} for rfc9421; {early:.0} for a \
         planted comparison that stops early",
        count()
    );
    Proof::new("T57-signature", "R15", what).held_with(seed, &figure).expect("the figure is kept");
}
