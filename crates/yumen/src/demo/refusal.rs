//! How the provider refuses, in the envelope of the caller's dialect.

use http::request;
use serde_json::{Value, json};

use super::reply::Reply;

/// Whose envelope to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error":{message,type,param,code}}`.
    OpenAi,
    /// `{"type":"error","error":{type,message}}`.
    Anthropic,
    /// OpenAI's; within a stream the two events that end a failed response.
    Responses,
    /// `{"error":{code,message,status}}`.
    Gemini,
}

impl Dialect {
    /// The dialect of a request, by its path, else by its headers.
    pub fn of(head: &request::Parts) -> Self {
        let path = head.uri.path();
        let path = path.strip_prefix("/v1").unwrap_or(path);
        if path.starts_with("/messages")
            || (path.starts_with("/models") && super::is_anthropic(&head.headers))
        {
            return Self::Anthropic;
        }
        if path.contains(':') || path.starts_with("/v1beta") {
            return Self::Gemini;
        }
        if path.starts_with("/responses") { Self::Responses } else { Self::OpenAi }
    }
}

/// A refusal.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// In words.
    pub message: String,
    /// The field that is wrong.
    pub param: Option<String>,
    /// OpenAI's `code`, where the status alone does not say it.
    pub code: Option<&'static str>,
    /// Seconds to wait before trying again.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal with a status and a message.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None, retry_after: None }
    }

    /// A field is wrong: 400 with its name.
    pub fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(400, message) }
    }

    /// The model does not exist here.
    pub fn unknown_model(model: &str) -> Self {
        Self {
            code: Some("model_not_found"),
            ..Self::new(404, format!("The model `{model}` does not exist or you do not have access to it."))
        }
    }

    /// The error as the dialect writes it, in an answer or inside a stream.
    pub fn body(&self, dialect: Dialect) -> Value {
        match dialect {
            Dialect::Gemini => json!({"error": {
                "code": self.status, "message": self.message, "status": google_status(self.status),
            }}),
            Dialect::OpenAi | Dialect::Responses => json!({"error": {
                "message": self.message,
                "type": openai_type(self.status),
                "param": self.param,
                "code": self.code.or_else(|| openai_code(self.status)),
            }}),
            Dialect::Anthropic => json!({
                "type": "error",
                "error": {"type": anthropic_type(self.status), "message": self.message},
                "request_id": "req_demo",
            }),
        }
    }

    /// The whole answer.
    pub fn reply(&self, dialect: Dialect) -> Reply {
        let reply = Reply::json(self.status, &self.body(dialect));
        Reply { retry_after: self.retry_after, ..reply }
    }
}

/// Google's `status` for a status (google.rpc.Code).
fn google_status(status: u16) -> &'static str {
    match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}

/// OpenAI's `type` for a status (reference/dialects.md §1.1 and the recorded errors).
fn openai_type(status: u16) -> &'static str {
    match status {
        429 => "requests",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

fn openai_code(status: u16) -> Option<&'static str> {
    match status {
        401 => Some("invalid_api_key"),
        429 => Some("rate_limit_exceeded"),
        _ => None,
    }
}

/// Anthropic's `type` for a status (docs.anthropic.com, "Errors").
fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}
