//! The answer to who asks how many tokens a request has, where no provider counts them.

use crate::Surface;

/// What a caller of `surface` is told of `tokens`; `None` where the surface does not ask for a count.
#[must_use]
pub fn count_answer(surface: Surface, tokens: u64) -> Option<String> {
    match surface {
        Surface::CountTokens => Some(format!(r#"{{"input_tokens":{tokens}}}"#)),
        Surface::ResponsesInputTokens => {
            Some(format!(r#"{{"object":"response.input_tokens","input_tokens":{tokens}}}"#))
        }
        Surface::GeminiCountTokens => Some(format!(r#"{{"totalTokens":{tokens}}}"#)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_surface_that_asks_for_a_count_has_an_answer_of_its_own() {
        for surface in Surface::ALL {
            let answer = count_answer(surface, 7);
            assert_eq!(answer.is_some(), surface.counts(), "{surface:?}");
            assert!(!surface.counts() || surface.is_free(), "{surface:?}");
            let Some(answer) = answer else { continue };
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            let counts = answer.as_object().unwrap().values().filter(|value| **value == 7);
            assert_eq!(counts.count(), 1, "{answer}");
        }
    }
}
