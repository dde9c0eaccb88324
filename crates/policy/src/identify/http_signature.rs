//! The scheme `rfc9421`: HTTP Message Signatures (RFC 9421) with HMAC-SHA256, the body bound by its
//! `Content-Digest` (RFC 9530). Answers are signed the same way for callers who ask for it.

use std::borrow::Cow;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::body_hash::digest_fits;
use super::hmac::SigningKey;
use super::signed::{Fault, is_nonce};
use super::structured::{self, Item, Member, Value};

pub(super) const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const ACCEPT_SIGNATURE: HeaderName = HeaderName::from_static("accept-signature");
/// The only algorithm.
pub const ALGORITHM: &str = "hmac-sha256";
/// What every signature covers; with a body also [`CONTENT_DIGEST`].
pub const REQUIRED: [&str; 4] = ["@method", "@authority", "@path", "@query"];
/// The header that binds the body.
pub const CONTENT_DIGEST: &str = "content-digest";
/// Covered components at most: more than a request has headers.
const MOST_COMPONENTS: usize = 128;

/// A signature over a request, as its headers state it.
#[derive(Debug)]
pub struct HttpSignature {
    /// The key's id.
    pub key_id: String,
    /// When it was made, in Unix seconds.
    pub created_s: u64,
    /// When it ends, if it says so.
    pub expires_s: Option<u64>,
    /// Used once.
    pub nonce: String,
    components: Vec<String>,
    /// The value of `@signature-params`, as it was written.
    parameters: String,
    signature: Vec<u8>,
}

impl HttpSignature {
    /// Reads the one signature of a request, or the first of several whose key id may be one of ours.
    ///
    /// # Errors
    /// What is missing or malformed.
    pub fn read(headers: &HeaderMap) -> Result<Self, Fault> {
        let fault = |text: &'static str| Fault(text.into());
        let malformed = "`Signature-Input` is not a well-formed dictionary (RFC 9421).";
        let input = structured::combined(headers, &SIGNATURE_INPUT).ok_or_else(|| fault(malformed))?;
        let inputs = structured::dictionary(&input).ok_or_else(|| fault(malformed))?;
        let ours = |member: &&Member<'_>| {
            let key_id = text(member, "keyid").and_then(|id| model::ResourceId::parse(&id));
            key_id.is_some()
        };
        let member = inputs.iter().find(ours).or(inputs.first()).ok_or_else(|| fault(malformed))?;
        let given = structured::combined(headers, &SIGNATURE);
        let given = given.as_deref().and_then(structured::dictionary).unwrap_or_default();
        let signature = given.into_iter().find(|signature| signature.name == member.name);
        let Some(Value::One(Item::Bytes(signature))) = signature.map(|signature| signature.value) else {
            let message = format!("`Signature` has no byte sequence named `{}`.", member.name);
            return Err(Fault(message.into()));
        };
        Self::of(member, signature)
    }

    fn of(member: &Member<'_>, signature: Vec<u8>) -> Result<Self, Fault> {
        let missing = |name: &str| Fault(format!("`Signature-Input` needs the parameter `{name}`.").into());
        let seconds = |name: &str| match member.parameter(name) {
            Some(Item::Integer(seconds)) => u64::try_from(*seconds).ok(),
            _ => None,
        };
        if let Some(algorithm) = member.parameter("alg")
            && *algorithm != Item::Text(ALGORITHM.to_owned())
        {
            return Err(Fault(format!("The only algorithm is `{ALGORITHM}`.").into()));
        }
        let nonce = text(member, "nonce").ok_or_else(|| missing("nonce"))?;
        if !is_nonce(&nonce) {
            return Err(Fault("`nonce` must have 1 to 128 visible ASCII characters.".into()));
        }
        if member.parameter("expires").is_some() && seconds("expires").is_none() {
            return Err(Fault("`expires` must be Unix seconds.".into()));
        }
        Ok(Self {
            key_id: text(member, "keyid").ok_or_else(|| missing("keyid"))?,
            created_s: seconds("created").ok_or_else(|| missing("created"))?,
            expires_s: seconds("expires"),
            nonce,
            components: components(member)?,
            parameters: member.raw.to_owned(),
            signature,
        })
    }

    /// What was signed, line by line.
    ///
    /// # Errors
    /// Which covered component the request does not have.
    pub fn base(&self, request: &Parts) -> Result<String, Fault> {
        base(&self.components, &self.parameters, request)
    }

    /// Whether the body is bound where there is one: checked before its digest is.
    ///
    /// # Errors
    /// Says what to cover.
    pub fn check_covers(&self, body: &[u8]) -> Result<(), Fault> {
        let covers = self.components.iter().any(|component| component == CONTENT_DIGEST);
        if !body.is_empty() && !covers {
            return Err(Fault("The signature of a request with a body must cover `content-digest`.".into()));
        }
        Ok(())
    }

    /// Whether the digest that is covered is that of the body.
    #[must_use]
    pub fn digest_fits(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let covers = self.components.iter().any(|component| component == CONTENT_DIGEST);
        !covers || digest_fits(headers, body)
    }

    /// Which of the secrets made the signature over this base.
    #[must_use]
    pub fn fits(&self, secrets: &[&SigningKey], base: &str) -> Option<usize> {
        secrets.iter().position(|secret| secret.verifies(base.as_bytes(), &self.signature))
    }
}

/// The names of what is covered: all that must be, each once.
fn components(member: &Member<'_>) -> Result<Vec<String>, Fault> {
    let Value::List(items) = &member.value else {
        return Err(Fault("`Signature-Input` must list the covered components.".into()));
    };
    let mut names = Vec::with_capacity(items.len());
    for (item, parameters) in items {
        let Item::Text(name) = item else {
            return Err(Fault("A covered component must be a string.".into()));
        };
        if !parameters.is_empty() || names.contains(name) {
            let message = format!("The component `{}` has parameters, or is covered twice.", shown(name));
            return Err(Fault(message.into()));
        }
        names.push(name.clone());
    }
    if names.len() > MOST_COMPONENTS {
        return Err(Fault("The signature covers too many components.".into()));
    }
    match REQUIRED.into_iter().find(|required| !names.iter().any(|name| name == required)) {
        Some(missing) => Err(Fault(format!("The signature must cover `{missing}`.").into())),
        None => Ok(names),
    }
}

fn shown(text: &str) -> String {
    crate::authorize::shown(text)
}

fn text(member: &Member<'_>, name: &str) -> Option<String> {
    match member.parameter(name) {
        Some(Item::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

/// The signature base (RFC 9421 §2.5).
fn base(components: &[String], parameters: &str, request: &Parts) -> Result<String, Fault> {
    let mut lines = String::with_capacity(512);
    for component in components {
        let value = component_of(request, component).ok_or_else(|| {
            let name = shown(component);
            Fault(format!("The covered component `{name}` is not known or not in the request.").into())
        })?;
        for part in ["\"", component, "\": ", &value, "\n"] {
            lines.push_str(part);
        }
    }
    lines.push_str("\"@signature-params\": ");
    lines.push_str(parameters);
    Ok(lines)
}

fn component_of<'r>(request: &'r Parts, component: &str) -> Option<Cow<'r, str>> {
    match component {
        "@method" => Some(request.method.as_str().into()),
        "@authority" => authority(request).map(Cow::Owned),
        "@path" => Some(match request.uri.path() {
            "" => "/".into(),
            path => path.into(),
        }),
        "@query" => Some(request.uri.query().map_or("?".into(), |query| format!("?{query}").into())),
        derived if derived.starts_with('@') => None,
        name if name.bytes().any(|byte| byte.is_ascii_uppercase()) => None,
        name => structured::combined(&request.headers, &name.parse().ok()?).map(Cow::Owned),
    }
}

/// To whom the request was sent: in lower case, without a default port.
#[must_use]
pub fn authority(request: &Parts) -> Option<String> {
    let stated = request.uri.authority().map(http::uri::Authority::as_str);
    let host = stated.or_else(|| request.headers.get(HOST)?.to_str().ok())?.to_ascii_lowercase();
    let plain = host.strip_suffix(":80").or_else(|| host.strip_suffix(":443"));
    // `[::80]` is an address, not a port.
    Some(match plain {
        Some(plain) if !host.ends_with(']') => plain.to_owned(),
        _ => host,
    })
}

/// What is needed to sign a request.
pub struct NewSignature<'a> {
    /// The key's id.
    pub key_id: &'a str,
    /// Unix seconds.
    pub created_s: u64,
    /// Used once.
    pub nonce: &'a str,
    /// Whether there is a body, so that its digest is covered.
    pub has_body: bool,
}

impl NewSignature<'_> {
    /// The value of `@signature-params`.
    #[must_use]
    pub fn parameters(&self) -> String {
        let covered = self.covered().iter().map(|name| structured::quoted(name)).collect::<Vec<_>>();
        format!(
            "({});created={};keyid={};alg=\"{ALGORITHM}\";nonce={}",
            covered.join(" "),
            self.created_s,
            structured::quoted(self.key_id),
            structured::quoted(self.nonce)
        )
    }

    fn covered(&self) -> Vec<String> {
        let digest = self.has_body.then_some(CONTENT_DIGEST);
        REQUIRED.into_iter().chain(digest).map(str::to_owned).collect()
    }

    /// What is signed of a request that has its `Content-Digest` already.
    ///
    /// # Errors
    /// The request has no host, or no `Content-Digest` although it has a body.
    pub fn base(&self, request: &Parts) -> Result<String, Fault> {
        base(&self.covered(), &self.parameters(), request)
    }
}

/// The value of `Signature` for a base, under this label.
#[must_use]
pub fn sign(secret: &SigningKey, label: &str, base: &str) -> String {
    format!("{label}={}", structured::bytes(&secret.sign(base.as_bytes())))
}

/// How a caller wants the answer signed, from `Accept-Signature`.
pub struct ReplySigner {
    label: String,
    key_id: String,
    nonce: Option<String>,
    tag: Option<String>,
    method: Method,
    secret: SigningKey,
}

impl ReplySigner {
    /// `None` when the caller does not ask, or asks in a way that is not well formed.
    #[must_use]
    pub fn wanted(request: &Parts, key_id: &str, secret: &SigningKey) -> Option<Self> {
        let wish = structured::combined(&request.headers, &ACCEPT_SIGNATURE)?;
        let wishes = structured::dictionary(&wish)?;
        let wish = wishes.first()?;
        Some(Self {
            label: wish.name.to_owned(),
            key_id: key_id.to_owned(),
            nonce: text(wish, "nonce"),
            tag: text(wish, "tag"),
            method: request.method.clone(),
            secret: secret.clone(),
        })
    }

    /// The values of `Signature-Input` and `Signature` for an answer. The digest is that in the answer's
    /// headers; a stream has none, and its signature binds only the status and the request.
    #[must_use]
    pub fn sign(&self, status: StatusCode, digest: Option<&str>, created_s: u64) -> (String, String) {
        let mut lines = format!("\"@status\": {}\n", status.as_u16());
        let mut covered = "\"@status\"".to_owned();
        if let Some(digest) = digest {
            lines += &format!("\"{CONTENT_DIGEST}\": {digest}\n");
            covered += " \"content-digest\"";
        }
        lines += &format!("\"@method\";req: {}\n", self.method);
        covered += " \"@method\";req";
        let mut parameters = format!(
            "({covered});created={created_s};keyid={};alg=\"{ALGORITHM}\"",
            structured::quoted(&self.key_id)
        );
        for (name, value) in [("nonce", &self.nonce), ("tag", &self.tag)] {
            if let Some(value) = value {
                parameters += &format!(";{name}={}", structured::quoted(value));
            }
        }
        let base = lines + "\"@signature-params\": " + &parameters;
        (format!("{}={parameters}", self.label), sign(&self.secret, &self.label, &base))
    }
}
