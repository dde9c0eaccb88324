//! `POST /api/v1/admin/settings/log-level`: changes the log level until the next start.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::body::JsonBody;
use crate::api::context::Context;

/// The wanted level.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    level: String,
}

/// Changes the level.
///
/// # Errors
/// `INVALID_REQUEST` when it is not a level.
pub async fn handler(context: Context, JsonBody(body): JsonBody<Body>) -> Answer<Json<Body>> {
    (context.state().set_log_level)(&body.level)
        .map_err(|why| Refusal::invalid("level", format!("{why}.")))?;
    Ok(ok(body))
}
