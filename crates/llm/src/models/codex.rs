//! The list of models that Codex reads: `{"models":[…]}`, each with what its agent must know.

use serde::Serialize;
use serde_json::{Value, json};

use super::{ModelCard, json as bytes};

/// What the agent tells a model that its own catalogue does not know.
const INSTRUCTIONS: &str = "You are a coding agent that runs in a terminal on the user's computer. Work on the \
    user's task until it is solved: read the code that matters, make focused changes with the tools you are \
    given, check them, and say briefly what you did. Keep to the conventions of the project, and ask before \
    doing anything that cannot be undone.";
/// Bytes of a tool's output that the agent passes on: what its own catalogue says of most models.
const OUTPUT_BYTES: u64 = 10_000;

/// `GET /v1/models?client_version=…`; models that only embed are of no use to an agent.
pub(super) fn list(cards: &[ModelCard]) -> Vec<u8> {
    #[derive(Serialize)]
    struct List {
        models: Vec<Value>,
    }
    let models = cards.iter().filter(|card| !card.embeds).enumerate();
    bytes(&List { models: models.map(|(place, card)| model(place, card)).collect() })
}

fn model(priority: usize, card: &ModelCard) -> Value {
    let levels = [
        ("low", "Fast answers with little reasoning"),
        ("medium", "A balance of speed and depth"),
        ("high", "Deep reasoning for hard problems"),
    ];
    json!({
        "slug": card.id,
        "display_name": card.id,
        "description": null,
        "default_reasoning_level": "medium",
        "supported_reasoning_levels":
            levels.map(|(effort, description)| json!({"effort": effort, "description": description})),
        "shell_type": "shell_command",
        "visibility": "list",
        "supported_in_api": true,
        "priority": priority,
        "availability_nux": null,
        "upgrade": null,
        "base_instructions": INSTRUCTIONS,
        "supports_reasoning_summaries": true,
        "default_reasoning_summary": "auto",
        "support_verbosity": false,
        "default_verbosity": null,
        "apply_patch_tool_type": null,
        "web_search_tool_type": "text",
        "truncation_policy": {"mode": "bytes", "limit": OUTPUT_BYTES},
        "supports_parallel_tool_calls": true,
        "supports_image_detail_original": false,
        "context_window": card.context,
        "max_context_window": card.context,
        "effective_context_window_percent": 95,
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"],
        "supports_search_tool": false,
    })
}
