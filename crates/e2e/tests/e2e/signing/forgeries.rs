//! T54: nothing of a signed request can be changed, byte by byte, and none can be used at another address.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use testkit::admin::unlimited;
use testkit::gateway::Options;
use testkit::http::{Answer, Request};
use testkit::trust::Proof;

use super::{BODY, PATH, Signer, Stated, at, now, seconds};
use crate::stage::Stage;

const PROOF: Proof = Proof::new(
    "T54-forged",
    "R15",
    "A signed request of which one byte is changed, in each byte of body, signature and headers, or that is sent to \
     another address, or that states a time that is no number, is refused",
);

const SIGNATURE: &[&str] = &["INVALID_SIGNATURE"];
const TIME: &[&str] = &["INVALID_SIGNATURE", "TIMESTAMP_EXPIRED"];
const KEY: &[&str] = &["INVALID_SIGNATURE", "INVALID_API_KEY"];
/// What is no header of HTTP is refused before anybody looks for a signature.
const MALFORMED: &[&str] = &["INVALID_SIGNATURE", "INVALID_REQUEST"];
const ANY: &[&str] = &["INVALID_SIGNATURE", "TIMESTAMP_EXPIRED", "INVALID_API_KEY"];

/// A part of a request: the header's name, or the body where it is empty, and the codes that a change of it may have.
type Part = (&'static str, &'static [&'static str]);

const HMAC_PARTS: [Part; 5] = [
    ("", SIGNATURE),
    ("x-signature", SIGNATURE),
    ("x-nonce", SIGNATURE),
    ("x-timestamp", TIME),
    ("x-api-key", KEY),
];
const HTTP_PARTS: [Part; 5] = [
    ("", SIGNATURE),
    ("signature", SIGNATURE),
    ("content-digest", SIGNATURE),
    ("signature-input", ANY),
    ("host", MALFORMED),
];

/// Other addresses that a caller's request could be led to.
const ELSEWHERE: [&str; 12] = [
    "/v1/responses",
    "/v1/messages",
    "/v1/embeddings",
    "/external/v1/chat/completions",
    "/v1/completions",
    "/chat/completions",
    "/v1/chat/completions?a=1",
    "/v1/chat/completions/",
    "/v1//chat/completions",
    "/v1/chat/completion%73",
    "/api/v1/admin/api-keys",
    "/admin/keys",
];

/// Timestamps that some readers of numbers take for the time.
fn odd_times(now: u64) -> Vec<String> {
    let text = now.to_string();
    let (start, end) = text.split_at(4);
    let wide =
        |from: u32| text.chars().filter_map(|digit| char::from_u32(from + digit.to_digit(10)?)).collect();
    vec![
        format!("+{text}"),
        format!("0{text}"),
        format!("{start}_{end}"),
        format!("{start} {end}"),
        format!("{text}.0"),
        format!("{text}e0"),
        format!("0x{now:08x}"),
        format!("{text}000"),
        format!("-{text}"),
        // Digits that are none of ASCII: full-width, and Arabic-Indic.
        wide(0xff10),
        wide(0x0660),
        String::new(),
    ]
}

/// A key of one of the schemes, and how often it has signed.
struct Forger<'s> {
    stage: &'s Stage,
    signer: RefCell<Rc<Signer>>,
    scheme: &'static str,
    signed: Cell<u64>,
    wrong: Cell<usize>,
}

/// After so many refusals another key signs: ten wrong signatures of a minute freeze a key for their network.
const WRONG_BY_KEY: usize = 8;

impl<'s> Forger<'s> {
    async fn new(stage: &'s Stage, scheme: &'static str) -> Result<Self> {
        let signer = RefCell::new(Self::signer_of(stage, scheme).await?);
        Ok(Self { stage, signer, scheme, signed: Cell::new(0), wrong: Cell::new(0) })
    }

    async fn signer_of(stage: &Stage, scheme: &str) -> Result<Rc<Signer>> {
        Ok(Rc::new(Signer::create(stage, scheme, json!({"rate_limit": unlimited()})).await?))
    }

    fn signer(&self) -> Rc<Signer> {
        Rc::clone(&self.signer.borrow())
    }

    /// A request that fits, with a nonce of its own.
    fn fitting(&self) -> Request {
        self.signed.set(self.signed.get() + 1);
        let nonce = format!("nonce-{}", self.signed.get());
        match self.scheme {
            "hmac-v1" => self.signer().signed(BODY, &now(&nonce)),
            _ => self.signer().signed_http("POST", PATH, (self.stage.gateway.address(), &nonce), BODY),
        }
    }

    async fn send(&self, bytes: &[u8]) -> Result<Answer> {
        let mut connection = self.stage.gateway.connect().await?;
        connection.send_raw(bytes).await?;
        let arriving = connection.arriving().await?;
        connection.rest(arriving).await
    }

    /// One that fits is served: it ends the count of failures, which would freeze the network, and shows that what was
    /// refused was refused for its change.
    async fn serve(&self) -> Result<()> {
        self.wrong.set(self.wrong.get() + 1);
        if self.wrong.get().is_multiple_of(WRONG_BY_KEY) {
            let other = Self::signer_of(self.stage, self.scheme).await?;
            self.signer.replace(other);
        }
        let answer = self.stage.gateway.call(&self.fitting()).await?;
        ensure!(answer.status() == 200, "one that fits: {} {}", answer.status(), answer.text());
        Ok(())
    }

    /// Changes each byte of a part, one at a time; how many were refused.
    async fn flip(&self, (name, codes): Part) -> Result<usize> {
        let length = part(&self.fitting().to_bytes(), name)?.len();
        for at in 0..length {
            let mut bytes = self.fitting().to_bytes();
            let part = part(&bytes, name)?;
            // Times have as many digits as before, and nonces are as long: every request has the same parts.
            ensure!(part.len() == length || at < part.len(), "{name} has another length");
            bytes[part.start + at] ^= 1;
            let answer = self.send(&bytes).await?;
            let refused = answer.code().is_some_and(|code| codes.contains(&code));
            ensure!(refused, "{} {name:?}, byte {at}: {} {}", self.scheme, answer.status(), answer.text());
            self.serve().await?;
        }
        Ok(length)
    }

    /// Sends what was signed for one address to all others; how many were refused.
    async fn lead_elsewhere(&self, spent: bool) -> Result<usize> {
        for path in ELSEWHERE {
            let request = self.fitting();
            if spent {
                ensure!(self.stage.gateway.call(&request).await?.status() == 200, "it does not fit");
            }
            let text = String::from_utf8_lossy(&request.to_bytes()).replacen(PATH, path, 1);
            let answer = self.send(text.as_bytes()).await?;
            ensure!(
                answer.status() >= 400,
                "{} at {path}: {} {}",
                self.scheme,
                answer.status(),
                answer.text()
            );
            let codes = ["INVALID_SIGNATURE", "NONCE_REUSED", "NOT_FOUND", "TOKEN_INVALID"];
            let known = answer.code().is_some_and(|code| codes.contains(&code));
            ensure!(known, "{} at {path}: {:?} {}", self.scheme, answer.code(), answer.text());
            if !spent {
                let there = self.stage.gateway.call(&request).await?;
                ensure!(there.status() == 200, "{path} has spent the nonce: {}", there.text());
            }
            self.serve().await?;
        }
        Ok(ELSEWHERE.len())
    }
}

/// Where a header's value lies in a request, or its body.
fn part(bytes: &[u8], name: &str) -> Result<std::ops::Range<usize>> {
    let text = std::str::from_utf8(bytes)?;
    let (head, _) = text.split_once("\r\n\r\n").context("no head")?;
    if name.is_empty() {
        return Ok(head.len() + 4..bytes.len());
    }
    let mut start = 0;
    for line in head.split("\r\n") {
        if let Some(value) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")) {
            let from = start + name.len() + 2;
            return Ok(from..from + value.len());
        }
        start += line.len() + 2;
    }
    bail!("no header {name}")
}

async fn odd_times_are_refused(hmac: &Forger<'_>, http: &Forger<'_>) -> Result<usize> {
    let mut refused = 0;
    for (number, time) in odd_times(seconds()).into_iter().enumerate() {
        let stated = Stated { timestamp: time.clone(), nonce: format!("odd-{number}") };
        let by_hmac = hmac.signer().signed(BODY, &stated);
        let text = String::from_utf8(http.fitting().to_bytes())?;
        let (before, rest) = text.split_once("created=").context("no `created`")?;
        let (_, after) = rest.split_once(';').context("nothing after it")?;
        let text = format!("{before}created={time};{after}");
        for (what, answer) in [
            ("hmac-v1", hmac.send(&by_hmac.to_bytes()).await?),
            ("rfc9421", http.send(text.as_bytes()).await?),
        ] {
            let known = answer.code().is_some_and(|code| TIME.contains(&code) || MALFORMED.contains(&code));
            ensure!(known, "{what} {time:?}: {} {}", answer.status(), answer.text());
            refused += 1;
        }
        hmac.serve().await?;
        http.serve().await?;
    }
    // What is within the edge is taken, what is beyond it is not, whatever the signature; with room for a busy machine.
    for (skew, taken) in [(-290, true), (-302, false), (298, true), (320, false)] {
        let request =
            hmac.signer().signed(BODY, &at(seconds().saturating_add_signed(skew), &format!("edge{skew}")));
        let answer = hmac.stage.gateway.call(&request).await?;
        ensure!((answer.status() == 200) == taken, "{skew} s: {} {}", answer.status(), answer.text());
    }
    Ok(refused)
}

#[tokio::test]
async fn nothing_of_a_signed_request_can_be_changed_or_used_elsewhere() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let hmac = Forger::new(&stage, "hmac-v1").await?;
    let http = Forger::new(&stage, "rfc9421").await?;
    let mut flipped = 0;
    for part in HMAC_PARTS {
        flipped += hmac.flip(part).await?;
    }
    for part in HTTP_PARTS {
        flipped += http.flip(part).await?;
    }
    // `hmac-v1` binds no address: there the nonce, once it is spent, is what refuses.
    let elsewhere = hmac.lead_elsewhere(true).await? + http.lead_elsewhere(false).await?;
    let odd = odd_times_are_refused(&hmac, &http).await?;
    ensure!(flipped > 400, "{flipped} bytes");
    PROOF.held(&format!(
        "{flipped} changed bytes, {elsewhere} other addresses, {odd} odd times, in both schemes: 0 accepted"
    ))
}
