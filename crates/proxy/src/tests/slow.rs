//! Bodies that take long: what held when their head came may be over when they are whole.

use std::sync::Arc;
use std::time::Duration;

use ledger::MemoryMeter;
use model::resource::key::{KeyStatus, Limit};
use model::resource::{Configuration, KeyAccess, KeyTerms, RateLimit, Signing, SigningSecret};
use model::{Code, Secret};
use policy::identify::SigningKey;
use policy::identify::body_hash::sha256_hex;
use policy::identify::hmac::{message, sign};

use super::stage::{Caller, MODEL, Stage, Upstream, answer, pass, run};
use crate::Catalog;
use crate::settings::{DefaultLimits, Settings};

const MINUTE_MS: u64 = 60_000;

/// A stage whose callers may take hours, and what it is configured with.
fn stage(change: impl FnOnce(&mut Configuration)) -> (Stage, Configuration) {
    let upstream = Upstream::always(vec![answer()]);
    let mut kept = Configuration::default();
    let with_time = |configuration: &mut Configuration, settings: &mut Settings| {
        settings.client.body_idle = Duration::from_secs(24 * 3_600);
        change(configuration);
        kept = configuration.clone();
    };
    let stage =
        Stage::with(KeyTerms::default(), &[(&upstream, None)], Arc::new(MemoryMeter::default()), with_time);
    (stage, kept)
}

fn body() -> String {
    format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"hi"}}]}}"#)
}

/// A caller who has sent all of a request but the end of its body, and that end.
async fn begin(stage: &Stage, headers: &str) -> (Caller, String) {
    let body = body();
    let (first, rest) = body.split_at(body.len() / 2);
    (stage.begin("/v1/chat/completions", headers, first, body.len()).await, rest.to_owned())
}

/// The status line and headers of the whole answer, and what follows.
async fn finish((mut caller, rest): (Caller, String)) -> String {
    caller.send(&rest).await;
    caller.end().await;
    caller.text()
}

async fn call(stage: &Stage, headers: &str) -> String {
    finish(begin(stage, headers).await).await
}

fn assert_code(answer: &str, code: Code) {
    assert!(answer.contains(&format!("x-yumen-code: {}", code.name())), "{answer}");
}

fn signs(configuration: &mut Configuration) {
    let key = Arc::make_mut(&mut configuration.keys[0]);
    let secret = SigningSecret { secret: Secret::new("s".repeat(32)), until: None };
    key.access =
        KeyAccess { signing: Signing::HmacV1, secrets: vec![secret], bearer: true, ..KeyAccess::default() };
}

/// The headers of a signature that is made now.
fn signature(stage: &Stage, configuration: &Configuration, nonce: &str) -> String {
    let key = configuration.keys[0].id.as_str();
    let now = (stage.worker.shared.clock.now_ms() / 1_000).to_string();
    let secret = SigningKey::new(&configuration.keys[0].access.secrets[0].secret);
    let signature = sign(&secret, &message(key, &now, nonce, &sha256_hex(body().as_bytes())));
    format!("x-api-key: {key}\r\nx-timestamp: {now}\r\nx-nonce: {nonce}\r\nx-signature: {signature}\r\n")
}

#[test]
fn a_signature_is_not_used_again_by_a_body_that_outlasts_its_nonce() {
    run(async {
        let (stage, configuration) = stage(signs);
        let signed = signature(&stage, &configuration, "one");
        assert!(call(&stage, &signed).await.starts_with("HTTP/1.1 200"));
        let slow = begin(&stage, &signed).await;
        pass(31 * MINUTE_MS).await;
        let now_ms = stage.worker.shared.clock.now_ms();
        stage.worker.shared.signatures.keep(now_ms).unwrap();
        assert_code(&finish(slow).await, Code::TimestampExpired);
    });
}

#[test]
fn a_nonce_is_remembered_from_when_it_was_spent() {
    run(async {
        let (stage, configuration) = stage(signs);
        let signed = signature(&stage, &configuration, "one");
        let slow = begin(&stage, &signed).await;
        pass(4 * MINUTE_MS).await;
        assert!(finish(slow).await.starts_with("HTTP/1.1 200"));
        pass(27 * MINUTE_MS).await;
        let (shared, key) = (&stage.worker.shared, &configuration.keys[0].id);
        let remembered = |now_ms| {
            shared.signatures.keep(now_ms).unwrap();
            shared.signatures.remembered(key)
        };
        let now_ms = shared.clock.now_ms();
        assert_eq!((remembered(now_ms), remembered(now_ms + 4 * MINUTE_MS)), (1, 0));
    });
}

#[test]
fn a_key_that_ends_while_the_body_comes_buys_nothing() {
    run(async {
        for (signed, ends, code) in [
            (true, KeyEnds::Revoked, Code::ApiKeyRevoked),
            (false, KeyEnds::Revoked, Code::ApiKeyRevoked),
            (true, KeyEnds::Expired, Code::ApiKeyExpired),
            (false, KeyEnds::Expired, Code::ApiKeyExpired),
            (true, KeyEnds::Deleted, Code::InvalidApiKey),
            (false, KeyEnds::Deleted, Code::InvalidApiKey),
            (true, KeyEnds::Renewed, Code::InvalidSignature),
        ] {
            let (stage, mut configuration) = stage(signs);
            let headers = if signed { signature(&stage, &configuration, "one") } else { String::new() };
            let slow = begin(&stage, &headers).await;
            pass(MINUTE_MS).await;
            end(ends, &stage, &mut configuration);
            assert_code(&finish(slow).await, code);
        }
    });
}

/// How a key ends.
#[derive(Clone, Copy)]
enum KeyEnds {
    Revoked,
    Expired,
    Deleted,
    Renewed,
}

fn end(how: KeyEnds, stage: &Stage, configuration: &mut Configuration) {
    let now_ms = stage.worker.shared.clock.now_ms();
    let key = Arc::make_mut(&mut configuration.keys[0]);
    match how {
        KeyEnds::Revoked => key.status = KeyStatus::Revoked,
        KeyEnds::Expired => key.expires_at = Some(now_ms - 1),
        KeyEnds::Deleted => configuration.keys.clear(),
        KeyEnds::Renewed => key.access.renew_signing(Secret::new("t".repeat(32)), None, now_ms),
    }
    let catalog = Catalog::compile(configuration, &DefaultLimits::none(), None);
    stage.worker.shared.catalog.store(Arc::new(catalog));
}

#[test]
fn a_key_that_is_frozen_while_the_body_comes_buys_nothing() {
    run(async {
        let (stage, configuration) = stage(signs);
        let slow = begin(&stage, &signature(&stage, &configuration, "one")).await;
        let wrong = signature(&stage, &configuration, "two").replace("x-nonce: two", "x-nonce: three");
        for _ in 0..5 {
            assert_code(&call(&stage, &wrong).await, Code::InvalidSignature);
        }
        assert_code(&finish(slow).await, Code::SignatureFrozen);
    });
}

#[test]
fn a_slow_body_does_not_turn_the_windows_of_its_key_back() {
    run(async {
        let (stage, _) = stage(|configuration| {
            let key = Arc::make_mut(&mut configuration.keys[0]);
            key.rate_limit = RateLimit { rpm: Limit::AtMost(2), ..RateLimit::default() }.into();
        });
        let slow = begin(&stage, "").await;
        pass(2 * MINUTE_MS).await;
        assert!(call(&stage, "").await.starts_with("HTTP/1.1 200"));
        assert!(finish(slow).await.starts_with("HTTP/1.1 200"));
        assert_code(&call(&stage, "").await, Code::RateLimitRpm);
    });
}
