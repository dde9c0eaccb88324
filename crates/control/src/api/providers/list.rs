//! `GET /api/v1/admin/providers`: the presets, in the order in which they are shown.

use llm::Family;
use llm::provider::{Preset, presets};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::{Json, ok};
use crate::api::context::Context;
use crate::api::page::List;

/// A preset as answers show it.
#[derive(Serialize, JsonSchema)]
pub struct View {
    id: &'static str,
    name: &'static str,
    families: Vec<&'static str>,
    base_url: Option<&'static str>,
    credential_required: bool,
    models: &'static [String],
    /// Why no account of it can be used yet; `null` when it can.
    unavailable: Option<&'static str>,
}

impl From<&'static Preset> for View {
    fn from(preset: &'static Preset) -> Self {
        Self {
            id: &preset.id,
            name: &preset.name,
            families: preset.families.iter().map(|family| Family::name(*family)).collect(),
            base_url: preset.base_url.as_deref(),
            credential_required: preset.credential_required,
            models: &preset.models,
            unavailable: preset.unavailable.as_deref(),
        }
    }
}

/// Lists the presets.
pub async fn handler(_: Context) -> Json<List<View>> {
    let items = presets().iter().map(View::from).collect();
    std::future::ready(ok(List::whole(items))).await
}
