//! How a stream of OpenAI's Responses ends when it fails: the event `error`, which SDKs raise, and
//! `response.failed`, which agents wait for.

use model::{Rejection, RequestId};
use serde_json::json;

use super::Told;

/// Both events, numbered on from the last one that the caller saw.
pub(super) fn failed(rejection: &Rejection, request_id: &RequestId, told: Told<'_>) -> Vec<u8> {
    let info = rejection.code.info();
    let own_id = format!("resp_{request_id}");
    let (id, next) = told.response.map_or((own_id.as_str(), 0), |(id, last)| (id, last + 1));
    let error = json!({
        "type": "error",
        "sequence_number": next,
        // OpenAI's document has the members here, its service and its SDKs in an envelope.
        "code": info.name, "message": rejection.message, "param": rejection.param,
        "error": {
            "type": info.openai_type, "code": info.name, "message": rejection.message,
            "param": rejection.param,
        },
    });
    let usage = told.usage.map(|usage| {
        json!({
            "input_tokens": usage.total_input(),
            "input_tokens_details": {
                "cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write(),
            },
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.total(),
        })
    });
    let failed = json!({
        "type": "response.failed",
        "sequence_number": next + 1,
        "response": {
            "id": id, "object": "response", "created_at": request_id.accepted_ms() / 1_000,
            "status": "failed", "error": {"code": info.name, "message": rejection.message},
            "incomplete_details": null, "instructions": null, "metadata": {}, "model": told.model,
            "output": [], "parallel_tool_calls": true, "temperature": null, "tool_choice": "auto",
            "tools": [], "top_p": null, "usage": usage,
        },
    });
    format!("event: error\ndata: {error}\n\nevent: response.failed\ndata: {failed}\n\n").into_bytes()
}
