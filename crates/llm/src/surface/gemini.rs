//! Gemini's paths: the model's name and the action behind a colon, below either version or none.

use super::Surface;

const ACTIONS: [Surface; 5] = [
    Surface::GenerateContent,
    Surface::StreamGenerateContent,
    Surface::GeminiCountTokens,
    Surface::EmbedContent,
    Surface::BatchEmbedContents,
];

/// The action and the model that `path` names. A model of the usual collection is named without it, a
/// tuned one with it (`tunedModels/…`).
pub(super) fn read(path: &str) -> Option<(Surface, String)> {
    let below = ["/v1beta/", "/v1/", "/"].into_iter().find_map(|root| path.strip_prefix(root))?;
    let (collection, rest) = below.split_once('/')?;
    if !matches!(collection, "models" | "tunedModels") {
        return None;
    }
    let decoded = percent_decoded(rest);
    let (name, surface) =
        ACTIONS.into_iter().find_map(|surface| Some((decoded.strip_suffix(surface.tail())?, surface)))?;
    let name = name.strip_prefix("models/").unwrap_or(name);
    if name.is_empty() {
        return None;
    }
    let model = if collection == "models" { name.to_owned() } else { format!("{collection}/{name}") };
    Some((surface, model))
}

/// A part of a path with its percent escapes resolved; what is no escape stays as it is.
#[must_use]
pub fn percent_decoded(text: &str) -> String {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = match tail {
            [high, low, ..] if first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_actions_are_read_from_every_form_of_path() {
        for (path, model, surface) in [
            ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro", Surface::GenerateContent),
            ("/v1/models/a:streamGenerateContent", "a", Surface::StreamGenerateContent),
            ("/models/a:countTokens", "a", Surface::GeminiCountTokens),
            ("/v1beta/models/a%3AembedContent", "a", Surface::EmbedContent),
            ("/v1beta/models/vendor/a:b:batchEmbedContents", "vendor/a:b", Surface::BatchEmbedContents),
            ("/v1beta/models/vendor%2Fa%20b:generateContent", "vendor/a b", Surface::GenerateContent),
            ("/v1beta/models/models%2Fa:generateContent", "a", Surface::GenerateContent),
            ("/v1beta/tunedModels/t-1:generateContent", "tunedModels/t-1", Surface::GenerateContent),
        ] {
            assert_eq!(read(path), Some((surface, model.to_owned())), "{path}");
        }
        for path in
            ["/v1beta/models/:generateContent", "/v1beta/files/a:generateContent", "/v1beta/models", "/"]
        {
            assert_eq!(read(path), None, "{path}");
        }
    }
}
