//! Puts together the address of a request from a base URL: what the vendor's own SDK takes, and
//! what that SDK appends.

use http::Uri;

use super::Preset;
use crate::surface::{Family, Surface};

/// The address for a request to `surface` below `base_url`. `upstream_model` matters where the path names
/// the model, at Google and Azure; `api_version` at Azure only.
///
/// # Errors
/// In words, when `base_url` is not an absolute URL without query, fragment and user. Whether the provider has
/// such an endpoint is the question of [`Preset::speaks`].
pub fn endpoint(
    preset: &Preset,
    base_url: &str,
    surface: Surface,
    upstream_model: &str,
    api_version: Option<&str>,
) -> Result<Uri, String> {
    check_base(base_url)?;
    let base = base_url.trim_end_matches('/');
    let tail = surface.tail();
    let address = match surface.family() {
        Family::Gemini => gemini(base, tail, upstream_model),
        Family::Bedrock => format!("{base}/model/{}{tail}", encoded(upstream_model)),
        Family::Anthropic => format!("{}/v1{tail}", base.strip_suffix("/v1").unwrap_or(base)),
        Family::OpenAi if preset.id == "azure" => azure(base, tail, upstream_model, api_version),
        Family::OpenAi => format!("{base}{tail}"),
    };
    address.parse().map_err(|error| format!("the address `{address}` is not a URL: {error}"))
}

/// The address whose answer to a `GET` tells for nothing whether the account's credential is taken: the list of
/// models, at `OpenRouter`, which shows that one to everybody, the key itself. `None` when the provider has
/// neither.
///
/// # Errors
/// In words, when `base_url` is not an absolute URL without query, fragment and user.
pub fn credential_check(
    preset: &Preset,
    base_url: &str,
    api_version: Option<&str>,
) -> Result<Option<Uri>, String> {
    check_base(base_url)?;
    let base = base_url.trim_end_matches('/');
    let address = match preset.families.first() {
        None | Some(Family::Bedrock) => return Ok(None),
        Some(Family::Gemini) => format!("{}/v1beta/models?pageSize=1", gemini_host(base)),
        Some(Family::Anthropic) => format!("{}/v1/models?limit=1", base.strip_suffix("/v1").unwrap_or(base)),
        Some(Family::OpenAi) if preset.id == "azure" => match azure_models(base, api_version) {
            Some(address) => address,
            None => return Ok(None),
        },
        Some(Family::OpenAi) if preset.id == "openrouter" => format!("{base}/key"),
        Some(Family::OpenAi) => format!("{base}/models"),
    };
    let address =
        address.parse().map_err(|error| format!("the address `{address}` is not a URL: {error}"))?;
    Ok(Some(address))
}

/// Azure's list is of the resource, not of its deployments; Azure AI services have none.
fn azure_models(base: &str, api_version: Option<&str>) -> Option<String> {
    if base.ends_with("/models") {
        return None;
    }
    let resource = base.strip_suffix("/openai/v1").or_else(|| base.strip_suffix("/openai")).unwrap_or(base);
    let version = api_version.map(encoded).filter(|version| !version.is_empty());
    Some(match version.as_deref() {
        None | Some("v1") => format!("{resource}/openai/v1/models"),
        Some(version @ ("preview" | "latest")) => {
            format!("{resource}/openai/v1/models?api-version={version}")
        }
        Some(version) => format!("{resource}/openai/models?api-version={version}"),
    })
}

fn check_base(base_url: &str) -> Result<(), String> {
    let refused = |why: &str| Err(format!("the base URL `{base_url}` {why}"));
    let Some((scheme, rest)) = base_url.split_once("://") else {
        return refused("has no scheme such as https://");
    };
    if !matches!(scheme, "https" | "http" | "h2c" | "demo") {
        return refused("must begin with https:// or http://");
    }
    if rest.contains(['?', '#']) {
        return refused("must have neither query nor fragment");
    }
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() {
        return refused("names no host");
    }
    if host.contains('@') {
        return Err("the base URL must not contain a user name or password".to_owned());
    }
    Ok(())
}

/// Google's host, with or without a version; the model within the path.
fn gemini(base: &str, action: &str, model: &str) -> String {
    let host = gemini_host(base);
    let model = model.strip_prefix("models/").unwrap_or(model);
    let (collection, name) = match model.strip_prefix("tunedModels/") {
        Some(name) => ("tunedModels", name),
        None => ("models", model),
    };
    format!("{host}/v1beta/{collection}/{}{action}", encoded(name))
}

fn gemini_host(base: &str) -> &str {
    let base = base.strip_suffix("/openai").unwrap_or(base);
    base.strip_suffix("/v1beta").or_else(|| base.strip_suffix("/v1")).unwrap_or(base)
}

/// Azure (dialects reference §1.6): deployments below a dated version, or the path that needs none;
/// `…/models` of Azure AI services takes the model in the body.
fn azure(base: &str, tail: &str, deployment: &str, api_version: Option<&str>) -> String {
    let version = api_version.map(encoded).filter(|version| !version.is_empty());
    let query = version.as_ref().map(|version| format!("?api-version={version}")).unwrap_or_default();
    if base.ends_with("/models") {
        return format!("{base}{tail}{query}");
    }
    let resource = base.strip_suffix("/openai/v1").or_else(|| base.strip_suffix("/openai")).unwrap_or(base);
    match version.as_deref() {
        None | Some("v1") => format!("{resource}/openai/v1{tail}"),
        Some("preview" | "latest") => format!("{resource}/openai/v1{tail}{query}"),
        // Responses name the deployment in the body.
        Some(_) if tail.starts_with("/responses") => format!("{resource}/openai{tail}{query}"),
        Some(_) => format!("{resource}/openai/deployments/{}{tail}{query}", encoded(deployment)),
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::preset;

    fn check(id: &str, base: &str, surface: Surface, version: Option<&str>, expected: &str) {
        let uri = endpoint(preset(id).unwrap(), base, surface, "my dep/1", version).unwrap();
        assert_eq!(uri.to_string(), expected);
    }

    #[test]
    fn a_credential_is_checked_where_that_costs_nothing() {
        for (id, base, version, expected) in [
            ("openai", "https://a.example/v1", None, Some("https://a.example/v1/models")),
            ("openrouter", "https://a.example/api/v1", None, Some("https://a.example/api/v1/key")),
            ("anthropic", "https://a.example/v1/", None, Some("https://a.example/v1/models?limit=1")),
            (
                "gemini",
                "https://a.example/v1beta/openai",
                None,
                Some("https://a.example/v1beta/models?pageSize=1"),
            ),
            ("azure", "https://a.example", None, Some("https://a.example/openai/v1/models")),
            (
                "azure",
                "https://a.example/openai",
                Some("2024-10-21"),
                Some("https://a.example/openai/models?api-version=2024-10-21"),
            ),
            (
                "azure",
                "https://a.example/openai/v1",
                Some("preview"),
                Some("https://a.example/openai/v1/models?api-version=preview"),
            ),
            ("azure", "https://a.example/models", None, None),
            ("bedrock", "https://a.example", None, None),
        ] {
            let uri = credential_check(preset(id).unwrap(), base, version).unwrap();
            assert_eq!(uri.map(|uri| uri.to_string()).as_deref(), expected, "{id} {base}");
        }
        assert!(credential_check(preset("openai").unwrap(), "a.example", None).is_err());
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table of one entry per case")]
    fn addresses_are_what_the_vendors_sdk_would_call() {
        use Surface::{
            ChatCompletions, CountTokens, EmbedContent, Embeddings, GenerateContent, Messages, Rerank,
            Responses, StoredResponse, StreamGenerateContent,
        };
        for (id, base, surface, version, expected) in [
            ("openai", "https://a.example/v1", Responses, None, "https://a.example/v1/responses"),
            ("azure", "https://a.example", Responses, None, "https://a.example/openai/v1/responses"),
            (
                "azure",
                "https://a.example/",
                StoredResponse,
                Some("2025-04-01-preview"),
                "https://a.example/openai/responses/?api-version=2025-04-01-preview",
            ),
            (
                "gemini",
                "https://a.example",
                GenerateContent,
                None,
                "https://a.example/v1beta/models/my%20dep%2F1:generateContent",
            ),
            (
                "gemini",
                "https://a.example/x/v1/",
                StreamGenerateContent,
                None,
                "https://a.example/x/v1beta/models/my%20dep%2F1:streamGenerateContent",
            ),
            (
                "gemini",
                "https://a.example/v1beta/openai",
                EmbedContent,
                None,
                "https://a.example/v1beta/models/my%20dep%2F1:embedContent",
            ),
            (
                "openai",
                "https://a.example/v1",
                ChatCompletions,
                None,
                "https://a.example/v1/chat/completions",
            ),
            ("openai", "https://a.example/v1/", Embeddings, None, "https://a.example/v1/embeddings"),
            ("vllm", "http://10.0.0.1:8000/v1", Rerank, None, "http://10.0.0.1:8000/v1/rerank"),
            ("anthropic", "https://a.example", Messages, None, "https://a.example/v1/messages"),
            (
                "anthropic",
                "https://a.example/v1/",
                CountTokens,
                None,
                "https://a.example/v1/messages/count_tokens",
            ),
            (
                "deepseek",
                "https://a.example/anthropic",
                Messages,
                None,
                "https://a.example/anthropic/v1/messages",
            ),
            (
                "azure",
                "https://r.example/",
                ChatCompletions,
                None,
                "https://r.example/openai/v1/chat/completions",
            ),
            (
                "azure",
                "https://r.example/openai/v1",
                ChatCompletions,
                Some("preview"),
                "https://r.example/openai/v1/chat/completions?api-version=preview",
            ),
            (
                "azure",
                "https://r.example",
                Embeddings,
                Some("2024-10-21"),
                "https://r.example/openai/deployments/my%20dep%2F1/embeddings?api-version=2024-10-21",
            ),
            (
                "azure",
                "https://r.example/models",
                ChatCompletions,
                Some("2024-05-01-preview"),
                "https://r.example/models/chat/completions?api-version=2024-05-01-preview",
            ),
            (
                "bedrock",
                "https://a.example/",
                Surface::ConverseStream,
                None,
                "https://a.example/model/my%20dep%2F1/converse-stream",
            ),
            ("demo", "demo://demo", ChatCompletions, None, "demo://demo/chat/completions"),
            ("demo", "demo://demo", Messages, None, "demo://demo/v1/messages"),
        ] {
            check(id, base, surface, version, expected);
        }
    }

    #[test]
    fn refuses_bases_that_are_no_plain_url() {
        let openai = preset("openai").unwrap();
        for base in [
            "",
            "a.example/v1",
            "ftp://a.example",
            "https://",
            "https://a.example?x=1",
            "https://a.example/#f",
            "https://user:secret@a.example",
            "https://a b.example",
        ] {
            let refused = endpoint(openai, base, Surface::ChatCompletions, "m", None).expect_err(base);
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}
