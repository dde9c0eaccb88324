//! The provider as its callers see it, over the pipe.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::Demo;

struct Seen {
    status: StatusCode,
    retry_after: Option<String>,
    text: String,
    whole: bool,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The data of every event of the stream; `[DONE]` as a text.
    fn events(&self) -> Vec<Value> {
        let data = self.text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data))).collect()
    }
}

async fn send(request: Request<Full<Bytes>>) -> Seen {
    let pipe = Demo::on(tokio::runtime::Handle::current()).connect();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(pipe)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    let retry_after = response.headers().get("retry-after").map(|v| v.to_str().unwrap().to_owned());
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    let whole = loop {
        match body.frame().await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().unwrap()),
        }
    };
    Seen { status, retry_after, text: String::from_utf8(bytes).unwrap(), whole }
}

async fn post(path: &str, body: Value) -> Seen {
    let request = Request::post(path).header("host", "demo").body(Full::from(body.to_string())).unwrap();
    send(request).await
}

fn chat(more: Value) -> Value {
    merged(json!({"model": "demo-chat", "messages": [{"role": "user", "content": "hello there"}]}), more)
}

fn message(more: Value) -> Value {
    merged(chat(json!({"max_tokens": 500})), more)
}

fn merged(mut base: Value, more: Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        base[name] = value.clone();
    }
    base
}

fn weather(shape: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"},
        "unit": {"enum": ["celsius", "fahrenheit"]}}, "required": ["city"]});
    match shape {
        "openai" => json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]),
        _ => json!([{"name": "weather", "input_schema": schema}]),
    }
}

#[tokio::test]
async fn answers_a_chat_the_same_way_every_time() {
    let first = post("/v1/chat/completions", chat(json!({}))).await;
    let again = post("/chat/completions", chat(json!({}))).await;
    assert_eq!((first.status, &first.text), (StatusCode::OK, &again.text));
    let body = first.json();
    let content = body["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(content.starts_with("You said: hello there."), "{content}");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["prompt_tokens"], 2 + 3);
    assert!(body["usage"]["completion_tokens"].as_u64().unwrap() > 10);
}

#[tokio::test]
async fn streams_what_it_would_have_said_at_once() {
    let whole = post("/v1/chat/completions", chat(json!({}))).await.json();
    let seen = post("/v1/chat/completions", chat(json!({"stream": true}))).await;
    let events = seen.events();
    let joined: String = events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(joined, whole["choices"][0]["message"]["content"].as_str().unwrap());
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(events.last().unwrap(), "[DONE]");
    assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "stop");
    assert!(!seen.text.contains("usage"), "usage comes only when asked for");
}

#[tokio::test]
async fn states_usage_last_when_the_stream_asks_for_it() {
    let body = chat(
        json!({"stream": true, "stream_options": {"include_usage": true}, "n": 2, "x_demo": {"tokens": 6, "chunk": 2}}),
    );
    let events = post("/v1/chat/completions", body).await.events();
    let usage = &events[events.len() - 2];
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 12);
    assert!(events[..events.len() - 2].iter().all(|e| e["usage"].is_null() && e.get("usage").is_some()));
    let contents =
        events.iter().filter(|e| e["choices"][0]["delta"]["content"].as_str().is_some_and(|c| !c.is_empty()));
    assert_eq!(contents.count(), 3 * 2, "six tokens in pieces of two, for two choices");
}

#[tokio::test]
async fn honours_token_limits_and_stops() {
    for (more, finish, tokens) in [
        (json!({"max_tokens": 4}), "length", 4),
        (json!({"max_completion_tokens": 1, "max_tokens": 9}), "length", 1),
        (json!({"x_demo": {"tokens": 300}}), "stop", 300),
        (json!({"stop": " said"}), "stop", 1),
    ] {
        let body = post("/v1/chat/completions", chat(more.clone())).await.json();
        assert_eq!(body["choices"][0]["finish_reason"], finish, "{more}");
        assert_eq!(body["usage"]["completion_tokens"], tokens, "{more}");
    }
    let body = post("/v1/messages", message(json!({"stop_sequences": [" said"]}))).await.json();
    assert_eq!((&body["stop_reason"], &body["stop_sequence"]), (&json!("stop_sequence"), &json!(" said")));
    let body = post("/v1/messages", message(json!({"max_tokens": 3}))).await.json();
    assert_eq!((&body["stop_reason"], &body["usage"]["output_tokens"]), (&json!("max_tokens"), &json!(3)));
}

#[tokio::test]
async fn calls_tools_in_both_dialects_when_told_to() {
    let expected = json!({"city": "demo city", "days": 1, "unit": "celsius"});
    for choice in [json!({"tool_choice": "required"}), json!({"x_demo": {"tool": "weather"}})] {
        let body = chat(merged(json!({"tools": weather("openai")}), choice.clone()));
        let whole = post("/v1/chat/completions", body.clone()).await.json();
        let call = &whole["choices"][0]["message"]["tool_calls"][0]["function"];
        assert_eq!(call["name"], "weather");
        assert_eq!(serde_json::from_str::<Value>(call["arguments"].as_str().unwrap()).unwrap(), expected);
        let events = post("/v1/chat/completions", merged(body, json!({"stream": true}))).await.events();
        let arguments: String = events
            .iter()
            .filter_map(|e| e["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str())
            .collect();
        assert_eq!(arguments, call["arguments"].as_str().unwrap());
    }
    let body =
        message(json!({"tools": weather("anthropic"), "tool_choice": {"type": "tool", "name": "weather"}}));
    let whole = post("/v1/messages", body.clone()).await.json();
    assert_eq!((&whole["stop_reason"], &whole["content"][0]["input"]), (&json!("tool_use"), &expected));
    let events = post("/v1/messages", merged(body, json!({"stream": true}))).await.events();
    let partial: String = events.iter().filter_map(|e| e["delta"]["partial_json"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&partial).unwrap(), expected);
    let free = post("/v1/chat/completions", chat(json!({"tools": weather("openai")}))).await.json();
    assert_eq!(free["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn streams_messages_in_the_order_of_the_dialect() {
    let seen = post("/v1/messages", message(json!({"stream": true, "x_demo": {"tokens": 2}}))).await;
    let types: Vec<_> = seen.events().iter().map(|e| e["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        types,
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert!(seen.text.lines().filter_map(|l| l.strip_prefix("event: ")).eq(types.iter()));
    let count = post("/v1/messages/count_tokens", message(json!({}))).await.json();
    assert_eq!(count["input_tokens"], seen.events()[0]["message"]["usage"]["input_tokens"]);
}

#[tokio::test]
async fn fails_as_it_is_told() {
    let refused =
        post("/v1/chat/completions", chat(json!({"x_demo": {"fail": {"status": 429, "retry_after": 7}}})))
            .await;
    assert_eq!((refused.status.as_u16(), refused.retry_after.as_deref()), (429, Some("7")));
    assert_eq!(refused.json()["error"]["code"], "rate_limit_exceeded");
    let refused = post("/v1/messages", message(json!({"x_demo": {"fail": 529}}))).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]["type"]),
        (529, &json!("overloaded_error"))
    );
    for (path, body) in [("/v1/chat/completions", chat(json!({}))), ("/v1/messages", message(json!({})))] {
        let cut = json!({"stream": true, "x_demo": {"fail": {"kind": "cut", "after": 3}}});
        let seen = post(path, merged(body.clone(), cut)).await;
        assert!(!seen.whole && seen.status == StatusCode::OK, "{path}");
        let error = json!({"stream": true, "x_demo": {"fail": {"after": 2, "status": 500}}});
        let seen = post(path, merged(body.clone(), error)).await;
        assert!(seen.whole && seen.events().last().unwrap()["error"]["message"].is_string(), "{path}");
        assert!(!seen.text.contains("[DONE]") && !seen.text.contains("message_stop"), "{path}");
        let seen = post(path, merged(body, json!({"x_demo": {"fail": "cut"}}))).await;
        assert!(!seen.whole, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_between_pieces() {
    let start = tokio::time::Instant::now();
    let body = chat(json!({"stream": true, "x_demo": {"tokens": 5, "delay_ms": 1000}}));
    assert!(post("/v1/chat/completions", body).await.whole);
    assert_eq!(start.elapsed().as_secs(), 6, "before each of five pieces and the tail");
    let start = tokio::time::Instant::now();
    post("/v1/embeddings", json!({"model": "demo-embed", "input": "a", "x_demo": {"delay_ms": 60_000}}))
        .await;
    assert!(start.elapsed() >= Duration::from_mins(1));
}

#[tokio::test]
async fn embeds_like_texts_alike() {
    let body = json!({"model": "demo-embed", "input": ["silk road", "silk road", "silk market", "entirely other"], "dimensions": 64});
    let seen = post("/v1/embeddings", body).await.json();
    let vectors: Vec<Vec<f64>> =
        (0..4).map(|i| serde_json::from_value(seen["data"][i]["embedding"].clone()).unwrap()).collect();
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    assert_eq!(vectors[0].len(), 64);
    assert_eq!(vectors[0], vectors[1]);
    assert!(near(&vectors[0], &vectors[2]) > near(&vectors[0], &vectors[3]) + 0.1);
    let coded =
        post("/v1/embeddings", json!({"model": "demo-embed", "input": "x", "encoding_format": "base64"}))
            .await
            .json();
    assert_eq!(coded["data"][0]["embedding"].as_str().unwrap().len(), (256_usize * 4).div_ceil(3) * 4);
    let numbers = post("/v1/embeddings", json!({"model": "demo-embed", "input": [[1, 2], [3]]})).await.json();
    assert_eq!(numbers["usage"]["prompt_tokens"], 3);
}

#[tokio::test]
async fn moderates_and_reranks() {
    let body = json!({"model": "demo-moderation", "input": ["I hate this", "hello"]});
    let seen = post("/v1/moderations", body).await.json();
    assert_eq!(
        (&seen["results"][0]["flagged"], &seen["results"][1]["flagged"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(seen["results"][0]["categories"]["hate"], true);
    let body = json!({"model": "demo-rerank", "query": "silk road", "top_n": 2, "return_documents": true,
        "documents": ["a tea house", {"text": "the silk road"}, "silk"]});
    let seen = post("/v1/rerank", body).await.json();
    let order: Vec<_> =
        seen["results"].as_array().unwrap().iter().map(|r| r["index"].as_u64().unwrap()).collect();
    assert_eq!(order, [1, 2]);
    assert_eq!(seen["results"][0]["document"]["text"], "the silk road");
}

#[tokio::test]
async fn continues_prompts() {
    let body = json!({"model": "demo-chat", "prompt": "once", "max_tokens": 5});
    let whole = post("/v1/completions", body.clone()).await.json();
    assert_eq!(
        (&whole["object"], &whole["choices"][0]["finish_reason"]),
        (&json!("text_completion"), &json!("length"))
    );
    let events = post("/v1/completions", merged(body, json!({"stream": true}))).await.events();
    let joined: String = events.iter().filter_map(|e| e["choices"][0]["text"].as_str()).collect();
    assert_eq!(
        (joined.as_str(), events.last()),
        (whole["choices"][0]["text"].as_str().unwrap(), Some(&json!("[DONE]")))
    );
}

#[tokio::test]
async fn lists_its_models_in_both_dialects() {
    let get = |path: &str| Request::get(path.to_owned()).header("host", "demo");
    let list = send(get("/v1/models").body(Full::default()).unwrap()).await.json();
    assert_eq!((list["object"].as_str(), list["data"].as_array().unwrap().len()), (Some("list"), 4));
    let one = send(get("/v1/models/demo-embed").body(Full::default()).unwrap()).await.json();
    assert_eq!(one["id"], "demo-embed");
    let anthropic = get("/v1/models").header("anthropic-version", "2023-06-01");
    assert_eq!(send(anthropic.body(Full::default()).unwrap()).await.json()["has_more"], false);
    let unknown = send(get("/v1/models/none").body(Full::default()).unwrap()).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

/// Path, body, status, `error.param`. `CHAT` stands for the members of a good chat.
const REFUSALS: &str = r#"
/v1/chat/completions | [] | 400 | null
/v1/chat/completions | {"messages": []} | 400 | "model"
/v1/chat/completions | {"model": "gpt-x"} | 404 | null
/v1/chat/completions | {"model": "demo-embed"} | 400 | "model"
/v1/chat/completions | {"model": "demo-chat"} | 400 | "messages"
/v1/chat/completions | {CHAT, "temperature": 3} | 400 | "temperature"
/v1/chat/completions | {CHAT, "max_tokens": 0} | 400 | "max_tokens"
/v1/chat/completions | {CHAT, "stream": "yes"} | 400 | "stream"
/v1/chat/completions | {CHAT, "stream_options": {}} | 400 | "stream_options"
/v1/chat/completions | {"model": "demo-chat", "messages": [{"role": "king"}]} | 400 | "messages[0].role"
/v1/chat/completions | {CHAT, "tool_choice": "required"} | 400 | "tool_choice"
/v1/chat/completions | {CHAT, "x_demo": {"tokens": 4097}} | 400 | "x_demo.tokens"
/v1/chat/completions | {CHAT, "x_demo": {"fail": 200}} | 400 | "x_demo.fail"
/v1/chat/completions | {CHAT, "x_demo": {"fail": "sing"}} | 400 | "x_demo.fail"
/v1/embeddings | {"model": "demo-embed", "input": []} | 400 | "input"
/v1/embeddings | {"model": "demo-embed", "input": "a", "dimensions": 0} | 400 | "dimensions"
/v1/rerank | {"model": "demo-rerank", "query": "a", "documents": []} | 400 | "documents"
/v1/moderations | {"model": "demo-moderation"} | 400 | "input"
/v1/nothing | {} | 404 | null
"#;

#[tokio::test]
async fn refuses_what_a_provider_refuses() {
    let good = r#""model": "demo-chat", "messages": [{"role": "user", "content": "hello"}]"#;
    for line in REFUSALS.lines().filter(|line| !line.is_empty()) {
        let parts: Vec<&str> = line.split(" | ").collect();
        let body = serde_json::from_str(&parts[1].replace("CHAT", good)).unwrap();
        let seen = post(parts[0], body).await;
        assert_eq!(seen.status.as_str(), parts[2], "{line}: {}", seen.text);
        assert_eq!(seen.json()["error"]["param"].to_string(), parts[3], "{line}");
    }
    let seen = post("/v1/messages", chat(json!({}))).await;
    let kind = &seen.json()["error"]["type"];
    assert_eq!((seen.status.as_u16(), kind), (400, &json!("invalid_request_error")));
    let wrong_method = Request::get("/v1/embeddings").header("host", "demo").body(Full::default()).unwrap();
    assert_eq!(send(wrong_method).await.status, StatusCode::METHOD_NOT_ALLOWED);
}
