//! How the providers deviate whose exchanges were recorded.

use llm::{Quirks, provider};

/// The quirks of a vendor as recordings name it; none of one that has no preset.
pub fn quirks_of(vendor: &str) -> Quirks {
    let id = if matches!(vendor, "google" | "vertex") { "gemini" } else { vendor };
    provider::preset(id).map(|preset| preset.quirks).unwrap_or_default()
}
