//! Providers of every chat dialect, each playing the same cases in its own words: which case is played is
//! in the model's name (`text`, `tools`, …), and what the case demands of the request is checked here, so that
//! a request that lost something on its way is refused.

mod chat;
mod converse;
mod gemini;
mod messages;
mod responses;

use serde_json::{Value, json};

use crate::canned;
use crate::script::Script;
use crate::upstream::Received;

/// Prompt tokens that every answer states.
pub const INPUT: u64 = 11;
/// Answer tokens that every answer states.
pub const OUTPUT: u64 = 7;
/// The seal on thoughts that must come back: base64, as Google's are.
pub const SEAL: &str = "c2VhbGVkLXRob3VnaHRz";

/// A provider's dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// OpenAI Chat Completions.
    Chat,
    /// OpenAI Responses, and nothing else.
    Responses,
    /// Anthropic Messages.
    Messages,
    /// Gemini.
    Gemini,
    /// Bedrock Converse.
    Converse,
}

/// What is played. The names are what models are called.
pub const CASES: [&str; 12] = [
    "text",
    "tools",
    "parallel",
    "result",
    "image",
    "thinking",
    "structured",
    "formed",
    "length",
    "refusal",
    "broken",
    "refused",
];

/// A piece of an answer.
#[derive(Clone, Debug)]
enum Piece {
    Text(&'static str),
    Thought(&'static str),
    Call(&'static str, &'static str, Value),
}

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    End,
    Tools,
    Length,
    Refusal,
}

/// An answer in no dialect.
struct Play {
    pieces: Vec<Piece>,
    stop: Stop,
    /// The stream breaks with an error behind the pieces.
    breaks: bool,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 5] = [Self::Chat, Self::Responses, Self::Messages, Self::Gemini, Self::Converse];

    /// The name in tests and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "openai_chat",
            Self::Responses => "openai_responses",
            Self::Messages => "anthropic_messages",
            Self::Gemini => "gemini",
            Self::Converse => "bedrock_converse",
        }
    }

    /// The body of an account at such a provider that offers `models` under a prefix of its own.
    #[must_use]
    pub fn account(self, origin: &str, credential: &str) -> Value {
        let (provider, base) = match self {
            Self::Chat | Self::Responses => ("openai-compatible", format!("{origin}/v1")),
            Self::Messages => ("anthropic-compatible", origin.to_owned()),
            Self::Gemini => ("gemini", origin.to_owned()),
            Self::Converse => ("bedrock", origin.to_owned()),
        };
        let upstream = |case: &str| match self {
            // The maker's name decides how thinking is asked for, and what is known of schemas.
            Self::Messages | Self::Converse if case == "formed" => format!("claude-sonnet-4-20250514-{case}"),
            Self::Messages | Self::Converse => format!("claude-sonnet-4-5-{case}"),
            Self::Gemini => format!("gemini-3-{case}"),
            Self::Chat | Self::Responses => case.to_owned(),
        };
        let model = |case: &&str| self.model(&format!("{}-{case}", self.name()), &upstream(case));
        json!({
            "name": self.name(), "provider": provider, "base_url": base, "allow_private": true,
            "credential": {"type": "api_key", "api_key": credential},
            "models": CASES.iter().map(model).collect::<Vec<_>>(),
        })
    }

    /// The entry of an account's list for one of its models.
    #[must_use]
    pub fn model(self, name: &str, upstream: &str) -> Value {
        let mut entry = json!({"name": name, "upstream": upstream});
        if self == Self::Responses {
            entry["dialect"] = json!(self.name());
        }
        entry
    }

    /// What it answers to a request.
    #[must_use]
    pub fn answer(self, received: &Received) -> Script {
        let body = received.json();
        let named = body["model"].as_str().unwrap_or(&received.target).to_owned();
        let Some(case) = CASES.iter().find(|case| named.split([':', '/']).any(|part| part.ends_with(*case)))
        else {
            return self.error(404, "not_found_error", "no such case");
        };
        let text = String::from_utf8_lossy(&received.body).into_owned();
        let stream = body["stream"] == true || received.target.contains("tream");
        if *case == "refused" {
            return self.error(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum");
        }
        match play(case, &text, self != Self::Chat) {
            Ok(play) if stream => self.stream(&play),
            Ok(play) => canned::json_answer(200, &[], &self.whole(&play).to_string()),
            Err(missing) => {
                self.error(400, "invalid_request_error", &format!("the request lost {missing}: {text}"))
            }
        }
    }

    /// What it answers to a client that works with real tools: it calls `tool` until the request holds
    /// `marker`, which only the tool's output has, and then tells it. Requests without the tool (titles and
    /// the like) get a word.
    #[must_use]
    pub fn work(self, received: &Received, tool: &'static str, args: &Value, marker: &str) -> Script {
        let text = String::from_utf8_lossy(&received.body).into_owned();
        let stream = received.json()["stream"] == true || received.target.contains("tream");
        let (pieces, stop) = if text.contains(marker) {
            let told = format!("The word is {marker}.");
            (vec![Piece::Text(Box::leak(told.into_boxed_str()))], Stop::End)
        } else if text.contains(&format!("\"{tool}\"")) {
            (vec![Piece::Call("call_read", tool, args.clone())], Stop::Tools)
        } else if text.contains("complexity_score") {
            // Gemini CLI asks first which of its models suits the question.
            (vec![Piece::Text(r#"{"complexity_reasoning":"It is simple.","complexity_score":5}"#)], Stop::End)
        } else {
            (vec![Piece::Text("Reading")], Stop::End)
        };
        let play = Play { pieces, stop, breaks: false };
        if stream {
            self.stream(&play)
        } else {
            canned::json_answer(200, &[], &self.whole(&play).to_string())
        }
    }

    fn whole(self, play: &Play) -> Value {
        match self {
            Self::Chat => chat::whole(play),
            Self::Responses => responses::whole(play),
            Self::Messages => messages::whole(play),
            Self::Gemini => gemini::whole(play),
            Self::Converse => converse::whole(play),
        }
    }

    fn stream(self, play: &Play) -> Script {
        match self {
            Self::Chat => canned::stream_answer(&chat::frames(play)),
            Self::Responses => canned::stream_answer(&responses::frames(play)),
            Self::Messages => canned::stream_answer(&messages::frames(play)),
            Self::Gemini => canned::stream_answer(&gemini::frames(play)),
            Self::Converse => converse::stream(play),
        }
    }

    fn error(self, status: u16, kind: &str, message: &str) -> Script {
        let body = match self {
            Self::Chat | Self::Responses => {
                json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
            }
            Self::Messages => {
                json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_up"})
            }
            Self::Gemini => {
                json!({"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}})
            }
            Self::Converse => json!({"message": message}),
        };
        canned::json_answer(status, &[], &body.to_string())
    }
}

fn call(city: &'static str, id: &'static str) -> Piece {
    Piece::Call(id, "get_weather", json!({"city": city}))
}

/// What is answered in a case, or what the request must hold and does not.
fn play(case: &str, request: &str, seals: bool) -> Result<Play, &'static str> {
    let answered = request.contains("18 degrees");
    let demand = |held: bool, what: &'static str| if held { Ok(()) } else { Err(what) };
    let text = |words| vec![Piece::Text(words)];
    let (pieces, stop) = match case {
        "tools" | "parallel" | "result" | "thinking" if !answered => {
            demand(request.contains("get_weather"), "the tool")?;
            let mut pieces = Vec::new();
            if case == "thinking" {
                pieces.push(Piece::Thought("The weather tool knows."));
            }
            pieces.push(call("Paris", "call_one"));
            if case == "parallel" {
                pieces.push(call("Rom", "call_two"));
            }
            (pieces, Stop::Tools)
        }
        "result" | "tools" | "parallel" => (text("It is 18 degrees."), Stop::End),
        "thinking" => {
            demand(!seals || request.contains(SEAL), "the seal on its thoughts")?;
            (text("It is 18 degrees."), Stop::End)
        }
        "image" => {
            demand(request.contains("iVBORw0KGgo"), "the image")?;
            (text("A small square."), Stop::End)
        }
        "structured" => {
            demand(request.contains("population"), "the schema")?;
            (text(r#"{"city":"Paris","population":2}"#), Stop::End)
        }
        // By the tool in place of the form, where the request has one.
        "formed" if request.contains("structured_answer") => {
            demand(request.contains("population"), "the schema")?;
            let answer = json!({"city": "Paris", "population": 2});
            (vec![Piece::Call("call_answer", "structured_answer", answer)], Stop::Tools)
        }
        "formed" => {
            demand(request.contains("population"), "the schema")?;
            (text(r#"{"city":"Paris","population":2}"#), Stop::End)
        }
        "length" => (text("Once upon"), Stop::Length),
        "refusal" => (text("I cannot help with that."), Stop::Refusal),
        _ => (vec![Piece::Text("Hello"), Piece::Text(" from"), Piece::Text(" the höme 世界")], Stop::End),
    };
    Ok(Play { pieces, stop, breaks: case == "broken" })
}

/// The pieces of an answer with texts that follow each other joined.
fn joined(play: &Play) -> Vec<Piece> {
    let mut text: Option<String> = None;
    let mut all = Vec::new();
    for piece in &play.pieces {
        match piece {
            Piece::Text(words) => text.get_or_insert_default().push_str(words),
            other => all.push(other.clone()),
        }
    }
    if let Some(text) = text {
        all.push(Piece::Text(Box::leak(text.into_boxed_str())));
    }
    all
}
