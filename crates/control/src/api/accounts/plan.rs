//! What an account must fulfil before it is stored, whether created or changed.

use egress::{Class, Origin, Scheme, check_address};
use llm::provider::{self, Preset};
use llm::{Family, Surface};
use model::resource::{Account, ModelDialect, ModelEntry};
use model::{Code, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::{Answer, Refusal};
use crate::api::check;

/// The longest credential, in bytes.
const LONGEST_CREDENTIAL: usize = 8_192;

/// A credential as it comes in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "type", rename_all = "snake_case")]
pub enum Credential {
    /// The provider's API key.
    ApiKey {
        /// The key; wiped from memory once sealed.
        #[serde(deserialize_with = "secret")]
        #[schemars(with = "String", regex(pattern = "^[!-~]{1,8192}$"))]
        api_key: Secret<String>,
    },
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

impl Credential {
    /// The key, checked: it must fit into a header.
    ///
    /// # Errors
    /// `INVALID_REQUEST` at `credential`.
    pub fn checked(self) -> Answer<Secret<String>> {
        let Self::ApiKey { api_key } = self;
        let length = api_key.expose().len();
        let visible = api_key.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if length == 0 || length > LONGEST_CREDENTIAL || !visible {
            let message = "`api_key` must be visible ASCII without spaces.";
            return Err(Refusal::invalid("credential", message));
        }
        Ok(api_key)
    }
}

/// Checks an account as a whole, its preset first.
///
/// # Errors
/// `INVALID_REQUEST` at the field that is wrong.
pub fn check(account: &Account) -> Answer<()> {
    let preset = provider::preset(&account.provider).ok_or_else(unknown_provider)?;
    if let Some(why) = &preset.unavailable {
        return Err(Refusal::because(Code::UnsupportedFeature, format!("{}: {why}", preset.name)));
    }
    check_base_url(account, preset)?;
    if preset.credential_required && account.credential.is_none() {
        let message = format!("The provider `{}` needs a `credential`.", preset.id);
        return Err(Refusal::invalid("credential", message));
    }
    let key = account.credential.as_ref().map(|key| key.expose().as_str()).unwrap_or_default();
    if account.provider == "bedrock" && ["AKIA", "ASIA"].iter().any(|mark| key.starts_with(mark)) {
        let message = "This is an AWS access key, with which requests are signed, and this version cannot sign \
             them: use a Bedrock API key.";
        return Err(Refusal::because(Code::UnsupportedFeature, message));
    }
    if account.models.is_empty() && preset.models.is_empty() {
        let message =
            format!("The provider `{}` has no models of its own; name some in `models`.", preset.id);
        return Err(Refusal::invalid("models", message));
    }
    check_models(&account.models, preset)
}

fn unknown_provider() -> Refusal {
    let known: Vec<&str> = provider::presets().iter().map(|preset| preset.id.as_str()).collect();
    let message = format!("`provider` must be one of {}.", known.join(", "));
    Refusal::invalid("provider", message)
}

/// A model as it comes in: its name, or the two names.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "models must be names or objects of `name`, `upstream` and perhaps `dialect`")]
pub enum Offered {
    /// Offered under its own name.
    Same(String),
    /// Offered under another name.
    Mapped(Mapped),
}

/// The two names of a mapped model, and how it is called.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mapped {
    name: String,
    upstream: String,
    /// The one dialect of the provider's in which the model is called; without, whichever fits the caller.
    #[serde(default)]
    dialect: Option<ModelDialect>,
}

impl From<Offered> for ModelEntry {
    fn from(offered: Offered) -> Self {
        match offered {
            Offered::Same(name) => Self::Same(name),
            Offered::Mapped(Mapped { name, upstream, dialect }) => Self::Mapped { name, upstream, dialect },
        }
    }
}

fn check_models(models: &[ModelEntry], preset: &Preset) -> Answer<()> {
    check::at_most("models", models.len())?;
    let mut seen = std::collections::HashSet::new();
    for entry in models {
        check::name("models", entry.public())?;
        check::name("models", entry.upstream())?;
        if entry.dialect().is_some_and(|dialect| !preset.may_speak(dialect.into())) {
            let message =
                format!("The provider `{}` does not speak the dialect of {:?}.", preset.id, entry.public());
            return Err(Refusal::invalid("models", message));
        }
        if !seen.insert(entry.public()) {
            let message = format!("`models` names {:?} twice.", entry.public());
            return Err(Refusal::invalid("models", message));
        }
    }
    Ok(())
}

/// Plain http and private addresses only with `allow_private` (access.md §8). A name is checked again
/// whenever it is resolved; this only saves the administrator the wait.
fn check_base_url(account: &Account, preset: &Preset) -> Answer<()> {
    let Some(url) = account.base_url.as_deref().or(preset.base_url.as_deref()) else {
        let message = format!("The provider `{}` needs a `base_url`.", preset.id);
        return Err(Refusal::invalid("base_url", message));
    };
    let refuse = |why: String| Refusal::invalid("base_url", format!("`base_url`: {why}."));
    let origin = Origin::parse(url).map_err(|error| refuse(error.to_string()))?;
    if origin.scheme() == Scheme::Demo && account.base_url.is_some() {
        return Err(refuse("the scheme is not http or https".to_owned()));
    }
    let surface = match preset.families.first() {
        Some(Family::Anthropic) => Surface::Messages,
        Some(Family::Gemini) => Surface::GenerateContent,
        Some(Family::Bedrock) => Surface::Converse,
        Some(Family::OpenAi) | None => Surface::ChatCompletions,
    };
    provider::endpoint(preset, url, surface, "model", account.api_version.as_deref()).map_err(refuse)?;
    if matches!(origin.scheme(), Scheme::Http | Scheme::H2c) && !account.allow_private {
        return Err(refuse("plain http needs `allow_private`: true".to_owned()));
    }
    if let Some(address) = origin.address() {
        check_address(Class::Provider, account.allow_private, address)
            .map_err(|why| refuse(why.to_string()))?;
    }
    Ok(())
}
