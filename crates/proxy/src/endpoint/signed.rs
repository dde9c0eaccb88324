//! Signed requests: the checks of the access contract (§2), in its order. All that needs only the head comes
//! first; then the body is read; then the signature, and last the nonce, which only a right one spends.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::request::Parts;
use model::clock::EpochMs;
use model::record::SignatureNote;
use model::resource::Signing;
use model::{Code, Rejection, ResourceId};
use policy::identify::{Claim, Differs, ReplySigner, SigningKey};
use state::signatures::{Frozen, Source, Spend, Told, nonces};

use super::identify::{attribute, check_address, still_works, unknown, works_at_all};
use crate::catalog::Key;
use crate::catalog::families::Asked;
use crate::exchange::Exchange;

/// When to come back after nonces are full or could not be written down.
const COME_BACK_S: u64 = 60;

/// A caller whose signature is still to be checked, which takes the body.
pub(crate) struct Unverified {
    claim: Claim,
    key: Arc<Key>,
    source: Source,
}

/// Checks a request that is signed, as far as its head tells.
///
/// # Errors
/// The codes of the access contract, §2: headers, key, frozen, revoked, expired, address, timestamp.
pub(crate) fn signed(exchange: &mut Exchange, head: &Parts) -> Result<Unverified, Rejection> {
    let by_headers =
        if head.headers.contains_key("signature-input") { Signing::Rfc9421 } else { Signing::HmacV1 };
    let claim =
        Claim::read(&head.headers).map_err(|rejection| note(exchange, by_headers, "headers", rejection))?;
    let scheme = claim.scheme();
    let id = ResourceId::parse(claim.key_id());
    let key = id.and_then(|id| exchange.catalog.key(&id).map(Arc::clone));
    let key = key.ok_or_else(|| note(exchange, scheme, "key", unknown()))?;
    exchange.record.key_id = Some(key.key.id.clone());
    attribute(exchange, &key);
    let source = Source::of(exchange.record.client_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    check_frozen(exchange, &key, source).map_err(|rejection| note(exchange, scheme, "frozen", rejection))?;
    check_key(exchange, &key).map_err(|rejection| note(exchange, scheme, "key", rejection))?;
    check_address(exchange, &key).map_err(|rejection| note(exchange, scheme, "address", rejection))?;
    check_time(exchange, &claim)?;
    let hosts = &exchange.worker.shared.settings.public_hosts;
    let fits = claim.check_host(head, hosts).and_then(|()| check_scheme(&key, scheme));
    fits.map_err(|rejection| note(exchange, scheme, "headers", rejection))?;
    Ok(Unverified { claim, key, source })
}

fn check_time(exchange: &mut Exchange, claim: &Claim) -> Result<(), Rejection> {
    let now_ms = exchange.now_ms();
    claim.check_time(now_ms).map_err(|rejection| {
        let rejection = note(exchange, claim.scheme(), "timestamp", rejection);
        with_skew(exchange, claim.skew_s(now_ms), rejection)
    })
}

fn check_frozen(exchange: &mut Exchange, key: &Key, source: Source) -> Result<(), Rejection> {
    let frozen = exchange.worker.shared.signatures.frozen(&key.key.id, source, exchange.now_ms());
    let Some(frozen) = frozen else { return Ok(()) };
    exchange.checked("frozen", false, None, None);
    let mut rejection = Rejection::new(Code::SignatureFrozen);
    if let Frozen::Source(until) = frozen {
        rejection.resets_at = Some(until);
    }
    Err(rejection)
}

fn check_key(exchange: &mut Exchange, key: &Key) -> Result<(), Rejection> {
    let works = works_at_all(exchange, key);
    exchange.checked("key", works.is_ok(), None, None);
    works
}

fn check_scheme(key: &Key, scheme: Signing) -> Result<(), Rejection> {
    match key.key.access.signing {
        own if own == scheme => Ok(()),
        Signing::None => Err(Rejection::because(
            Code::InvalidSignature,
            "This key does not sign requests; send it as a bearer.",
        )),
        own => {
            let message = format!("This key signs with `{}`, not with `{}`.", own.name(), scheme.name());
            Err(Rejection::because(Code::InvalidSignature, message))
        }
    }
}

impl Unverified {
    /// Checks the signature over the body, and spends the nonce.
    ///
    /// All by the time that it is now, not by that of the head: a body may take longer than a nonce is
    /// remembered, and would bring a signature back that is long over.
    ///
    /// # Errors
    /// `API_KEY_REVOKED`, `API_KEY_EXPIRED`, `SIGNATURE_FROZEN` and `TIMESTAMP_EXPIRED` for what ended while
    /// the body came; `INVALID_SIGNATURE`, `SIGNATURE_FROZEN` when too many were guessed, `NONCE_REUSED`;
    /// `SERVICE_DEGRADED` when the key has no nonce left to spend or it cannot be written down.
    pub fn verify(mut self, exchange: &mut Exchange, head: &Parts, body: &[u8]) -> Result<(), Rejection> {
        let scheme = self.claim.scheme();
        self.key = still_works(exchange).map_err(|rejection| note(exchange, scheme, "key", rejection))?;
        check_frozen(exchange, &self.key, self.source)
            .map_err(|rejection| note(exchange, scheme, "frozen", rejection))?;
        check_time(exchange, &self.claim)?;
        let now_ms = exchange.now_ms();
        let works = |until: Option<u64>| until.is_none_or(|end| end > now_ms);
        let secrets: Vec<&SigningKey> =
            self.key.signers.iter().filter(|own| works(own.until)).map(|own| &own.secret).collect();
        // The signer knows nothing of how the path is read.
        let asked = head.extensions.get::<Asked>().map(|Asked(uri)| {
            let mut whole = head.clone();
            whole.uri = uri.clone();
            whole
        });
        let fits = match self.claim.verify(&secrets, asked.as_ref().unwrap_or(head), body) {
            Ok(fits) => fits,
            Err(differs) => return Err(self.refuse(exchange, differs)),
        };
        if let Err(rejection) = self.spend(exchange, now_ms) {
            let rejection = note(exchange, scheme, "nonce", rejection);
            return Err(with_skew(exchange, self.claim.skew_s(now_ms), rejection));
        }
        exchange.worker.shared.signatures.succeeded(&self.key.key.id, self.source, now_ms);
        exchange.checked("signature", true, None, None);
        let reply =
            secrets.get(fits).and_then(|secret| ReplySigner::wanted(head, self.claim.key_id(), secret));
        exchange.reply_signer = reply.map(Box::new);
        Ok(())
    }

    fn spend(&self, exchange: &Exchange, now_ms: EpochMs) -> Result<(), Rejection> {
        let own = &self.key.limits.usual;
        let rpm = if self.key.key.terms.is_whitelist { None } else { own.rpm };
        let signatures = &exchange.worker.shared.signatures;
        let nonce = self.claim.nonce_digest();
        let refusal = match signatures.spend(&self.key.key.id, nonce, nonces::most(rpm), now_ms) {
            Spend::Fresh => return Ok(()),
            Spend::Reused => return Err(Rejection::new(Code::NonceReused)),
            Spend::Full => {
                "This key has used as many nonces as are remembered; they are let go after half an hour."
            }
            Spend::Unsaved => "It cannot be written down that this nonce was used.",
        };
        Err(Rejection::because(Code::ServiceDegraded, refusal).retry_after(COME_BACK_S))
    }

    fn refuse(&self, exchange: &mut Exchange, differs: Differs) -> Rejection {
        exchange.checked("signature", false, None, None);
        let (shared, now_ms) = (Arc::clone(&exchange.worker.shared), exchange.now_ms());
        let scope = self.key.key.access.freeze_scope;
        let told = match differs.is_guess {
            true => shared.signatures.failed(&self.key.key.id, self.source, scope, now_ms),
            false => Told::Wrong,
        };
        let skew_s = self.claim.skew_s(now_ms);
        let cause = format!(
            "{}: the step `{}` differs; the signer's clock is {skew_s} s ahead; SHA-256 of the body as it came {}, of its \
             canonical form {}",
            self.claim.scheme().name(),
            differs.step,
            differs.raw_sha256,
            differs.canonical_sha256.as_deref().unwrap_or("none")
        );
        exchange.record.signature = Some(Box::new(SignatureNote {
            scheme: self.claim.scheme().name(),
            step: differs.step,
            skew_s: Some(skew_s),
            raw_body_sha256: Some(differs.raw_sha256.into()),
            canonical_body_sha256: differs.canonical_sha256.map(Into::into),
        }));
        let rejection = match told {
            Told::Wrong => Rejection::because(Code::InvalidSignature, differs.message),
            Told::Frozen => Rejection::new(Code::SignatureFrozen),
        };
        rejection.caused_by(cause)
    }
}

/// Notes in the record which step refused.
fn note(exchange: &mut Exchange, scheme: Signing, step: &'static str, rejection: Rejection) -> Rejection {
    exchange.record.signature = Some(Box::new(SignatureNote {
        scheme: scheme.name(),
        step,
        skew_s: None,
        raw_body_sha256: None,
        canonical_body_sha256: None,
    }));
    rejection
}

fn with_skew(exchange: &mut Exchange, skew_s: i64, rejection: Rejection) -> Rejection {
    if let Some(note) = exchange.record.signature.as_mut() {
        note.skew_s = Some(skew_s);
    }
    rejection.caused_by(format!("the signer's clock is {skew_s} s ahead of the gateway's"))
}
