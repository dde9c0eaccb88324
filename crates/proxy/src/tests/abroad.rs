//! Callers whose accounts speak another dialect: counts that nobody gives, and signs of life.

use std::sync::Arc;

use ledger::MemoryMeter;
use llm::aws_stream::write_frame;
use model::resource::key::Limit;
use model::resource::{Account, KeyTerms, RateLimit};
use model::{Code, NanoUsd, UsageSource};

use super::stage::{MODEL, Stage, Step, Upstream, answer, json, pass, run, stream_end, stream_head, word};

/// A stage whose accounts are of these providers.
fn stage(upstreams: &[(&Arc<Upstream>, &str)], meter: &Arc<MemoryMeter>, rpm: Limit) -> Stage {
    let doors: Vec<_> = upstreams.iter().map(|(upstream, _)| (*upstream, Some(1))).collect();
    let meter = Arc::clone(meter);
    Stage::with(KeyTerms::default(), &doors, meter, |configuration, _| {
        for (account, (_, provider)) in configuration.accounts.iter_mut().zip(upstreams) {
            *account = Arc::new(Account { provider: (*provider).into(), ..Account::clone(account) });
        }
        let key = Arc::make_mut(&mut configuration.keys[0]);
        key.rate_limit = RateLimit { rpm, ..RateLimit::default() }.into();
    })
}

/// Every way to ask for a count: the path, the body, the members of the answer besides the count, its name.
fn counts() -> [(&'static str, String, &'static str); 3] {
    let gemini = r#"{"contents":[{"role":"user","parts":[{"text":"how many tokens is this?"}]}]}"#;
    let ask = r#"[{"role":"user","content":"how many tokens is this?"}]"#;
    [
        (
            "/v1/messages/count_tokens",
            format!(r#"{{"model":"{MODEL}","messages":{ask}}}"#),
            r#"{"input_tokens":N}"#,
        ),
        (
            "/v1/responses/input_tokens",
            format!(r#"{{"model":"{MODEL}","input":{ask}}}"#),
            r#"{"object":"response.input_tokens","input_tokens":N}"#,
        ),
        ("/v1beta/models/m:countTokens", gemini.to_owned(), r#"{"totalTokens":N}"#),
    ]
}

/// Asks for a count and checks that it is an estimate that cost nothing.
async fn check_estimated(stage: &mut Stage, meter: &MemoryMeter, count: &(&str, String, &str)) {
    let (path, body, shape) = count;
    let mut caller = stage.post(path, "", body).await;
    caller.end().await;
    let text = caller.text();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{path}: {text}");
    assert!(text.contains("x-yumen-estimated: true"), "{path}: {text}");
    assert!(text.contains("content-type: application/json"), "{path}: {text}");
    // The question, and in two of three the model and the role; 3 tokens are the message itself.
    let text =
        "how many tokens is this?".len() + if body.contains(MODEL) { MODEL.len() + "user".len() } else { 0 };
    let estimate = (text / 4 + 3).to_string();
    assert_eq!(caller.body(), shape.replace('N', &estimate), "{path}");
    let record = stage.record().await;
    assert_eq!((record.status, record.code, record.cost), (200, None, Some(NanoUsd::ZERO)), "{path}");
    assert_eq!((record.usage.source, record.usage.total()), (UsageSource::Estimated, 0), "{path}");
    assert_eq!(meter.counts(), MemoryMeter::default().counts(), "{path}: the ledger knows of it");
}

#[test]
fn a_count_is_estimated_where_no_account_speaks_the_dialect() {
    run(async {
        for count in counts() {
            let upstream = Upstream::always(vec![Step::Hold]);
            let meter = Arc::new(MemoryMeter::default());
            let mut stage = stage(&[(&upstream, "openai-compatible")], &meter, Limit::Unlimited);
            check_estimated(&mut stage, &meter, &count).await;
            // Also while the account's only place is taken.
            let body = format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"hi"}}]}}"#);
            let _running = stage.post("/v1/chat/completions", "", &body).await;
            super::stage::pass(10).await;
            assert_eq!(upstream.requests(), 1);
            let mut caller = stage.post(count.0, "", &count.1).await;
            assert_eq!(caller.until("x-yumen-estimated").await, 0);
            assert_eq!(upstream.requests(), 1);
        }
    });
}

#[test]
fn a_count_is_estimated_where_the_account_cannot_count_and_nothing_is_held_against_it() {
    run(async {
        for (count, provider) in counts().iter().zip(["anthropic-compatible", "openai", "gemini"]) {
            for status in [404, 405, 501] {
                let refusal = json(status, r#"{"error":{"message":"Not Found"}}"#);
                let upstream = Upstream::always(vec![refusal]);
                let meter = Arc::new(MemoryMeter::default());
                let mut stage = stage(&[(&upstream, provider)], &meter, Limit::Unlimited);
                for asked in 1..=2 {
                    check_estimated(&mut stage, &meter, count).await;
                    assert_eq!(upstream.requests(), asked, "{status}: it was blocked");
                }
            }
        }
    });
}

#[test]
fn an_account_that_counts_is_asked_before_anything_is_estimated() {
    run(async {
        let [count, ..] = counts();
        let cannot = Upstream::always(vec![json(404, r#"{"error":{"message":"Not Found"}}"#)]);
        let counts = Upstream::always(vec![json(200, r#"{"input_tokens":3}"#)]);
        let foreign = Upstream::always(vec![answer()]);
        let meter = Arc::new(MemoryMeter::default());
        let accounts = [
            (&foreign, "openai-compatible"),
            (&cannot, "anthropic-compatible"),
            (&counts, "anthropic-compatible"),
        ];
        let mut stage = stage(&accounts, &meter, Limit::Unlimited);
        let mut caller = stage.post(count.0, "", &count.1).await;
        caller.end().await;
        assert_eq!(caller.body(), r#"{"input_tokens":3}"#);
        assert!(!caller.text().contains("x-yumen-estimated"), "{}", caller.text());
        assert_eq!(stage.record().await.usage.source, UsageSource::None);
        assert_eq!((foreign.requests(), cannot.requests(), counts.requests()), (0, 1, 1));
    });
}

#[test]
fn an_estimate_counts_to_the_requests_of_a_minute() {
    run(async {
        let [count, ..] = counts();
        let upstream = Upstream::always(vec![answer()]);
        let meter = Arc::new(MemoryMeter::default());
        let mut stage = stage(&[(&upstream, "openai-compatible")], &meter, Limit::AtMost(1));
        check_estimated(&mut stage, &meter, &count).await;
        let mut caller = stage.post(count.0, "", &count.1).await;
        caller.end().await;
        assert!(caller.text().starts_with("HTTP/1.1 429"), "{}", caller.text());
        assert_eq!(stage.record().await.code, Some(Code::RateLimitRpm));
    });
}

/// A block that only Anthropic's answers have.
const FOUND: &str = r#"{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[]}"#;

#[test]
fn what_an_answer_loses_is_in_the_record_and_in_the_header_while_there_is_one() {
    run(async {
        let whole = json(
            200,
            &format!(
                r#"{{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{FOUND},{{"type":"text","text":"hello"}}],"stop_reason":"end_turn","usage":{{"input_tokens":3,"output_tokens":2}}}}"#
            ),
        );
        let event = |data: &str| Step::Send(format!("event: x\ndata: {data}\n\n"));
        let block = |index, block: &str| {
            event(&format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#))
        };
        let stream = vec![
            super::stage::stream_head(),
            event(
                r#"{"type":"message_start","message":{"id":"msg_1","model":"m","usage":{"input_tokens":3}}}"#,
            ),
            block(0, r#"{"type":"text","text":"hello"}"#),
            event(r#"{"type":"content_block_stop","index":0}"#),
            Step::Wait(10),
            block(1, FOUND),
            event(r#"{"type":"content_block_stop","index":1}"#),
            event(
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#,
            ),
            event(r#"{"type":"message_stop"}"#),
        ];
        for (steps, streams) in [(vec![whole], false), (stream, true)] {
            let upstream = Upstream::always(steps);
            let meter = Arc::new(MemoryMeter::default());
            let mut stage = stage(&[(&upstream, "anthropic-compatible")], &meter, Limit::Unlimited);
            let body = format!(
                r#"{{"model":"{MODEL}","stream":{streams},"messages":[{{"role":"user","content":"hi"}}]}}"#
            );
            let mut caller = stage.post("/v1/chat/completions", "", &body).await;
            caller.end().await;
            let text = caller.text();
            assert!(text.contains("hello"), "{text}");
            let told = "x-yumen-translation: lossy; dropped=response.content\r\n";
            assert_eq!(text.contains(told), !streams, "{text}");
            let record = stage.record().await;
            let translation = record.translation.expect("it was translated");
            assert_eq!(translation.native_finish_reason.as_deref(), Some("end_turn"));
            let stated = match streams {
                true => r#"[{"input_tokens":3},{"output_tokens":2}]"#,
                false => r#"{"input_tokens":3,"output_tokens":2}"#,
            };
            assert_eq!(record.stated_usage.as_deref(), Some(stated));
            let losses = translation.losses;
            let paths: Vec<&str> = losses.iter().map(|lost| &*lost.path).collect();
            assert_eq!(paths, ["response.content"], "{text}");
            assert!(losses[0].matters);
        }
    });
}

/// A chat in Responses that offers a search which only OpenAI makes.
fn searching() -> String {
    let search = r#"{"type":"web_search","external_web_access":false}"#;
    format!(r#"{{"model":"{MODEL}","input":"hi","tools":[{search}]}}"#)
}

#[test]
fn another_vendors_tool_is_refused_unless_an_account_has_it_or_codex_offers_it() {
    run(async {
        let abroad = Upstream::always(vec![answer()]);
        let meter = Arc::new(MemoryMeter::default());
        let mut alone = stage(&[(&abroad, "openai-compatible")], &meter, Limit::Unlimited);
        let mut caller = alone.post("/v1/responses", "", &searching()).await;
        caller.end().await;
        let text = caller.text();
        assert!(text.starts_with("HTTP/1.1 400"), "{text}");
        assert!(
            text.contains("unsupported_tool: ") && text.contains(r#""param":"tools.web_search""#),
            "{text}"
        );
        assert_eq!((abroad.requests(), alone.record().await.code), (0, Some(Code::UnsupportedFeature)));
        let mut codex = alone.post("/v1/responses", "originator: codex_exec\r\n", &searching()).await;
        codex.end().await;
        assert!(codex.text().starts_with("HTTP/1.1 200"), "{}", codex.text());
        assert!(codex.text().contains("lossy; dropped=tools.web_search\r\n"), "{}", codex.text());
        assert_eq!(abroad.requests(), 1);

        let own = Upstream::always(vec![json(200, r#"{"id":"resp_1","object":"response","output":[]}"#)]);
        let accounts = [(&abroad, "openai-compatible"), (&own, "openai")];
        let stage = stage(&accounts, &meter, Limit::Unlimited);
        let mut caller = stage.post("/v1/responses", "", &searching()).await;
        caller.end().await;
        assert!(caller.text().starts_with("HTTP/1.1 200"), "{}", caller.text());
        assert_eq!((abroad.requests(), own.requests()), (1, 1));
    });
}

#[test]
fn a_picture_is_not_estimated_as_text() {
    run(async {
        let picture = format!("iVBORw0KGgoAAAANSUhEUgAAAyAAAAJY{}", "A".repeat(400_000));
        let content = format!(
            r#"[{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{picture}"}}}}]"#
        );
        let body = format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":{content}}}]}}"#);
        let upstream = Upstream::always(vec![Step::Hold]);
        let meter = Arc::new(MemoryMeter::default());
        let stage = stage(&[(&upstream, "openai-compatible")], &meter, Limit::Unlimited);
        let mut caller = stage.post("/v1/messages/count_tokens", "", &body).await;
        caller.end().await;
        // 800 by 600 pixels are 640 tokens for Claude; of the rest of the body only a few words are text.
        let told: serde_json::Value = serde_json::from_str(&caller.body()).unwrap();
        let tokens = told["input_tokens"].as_u64().unwrap();
        assert!((640..=640 + 30).contains(&tokens), "{tokens}");
    });
}

fn frame(kind: &str, payload: &str) -> Step {
    let mut bytes = Vec::new();
    write_frame(kind, payload, &mut bytes);
    Step::Bytes(bytes)
}

#[test]
fn the_gaps_of_a_binary_stream_have_pings_for_callers_of_messages_and_comments_for_others() {
    run(async {
        for (path, pings) in [("/v1/messages", 2), ("/v1/chat/completions", 0)] {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n\
                        connection: close\r\n\r\n";
            let delta = r#"{"contentBlockIndex":0,"delta":{"text":"hello"}}"#;
            let upstream = Upstream::always(vec![
                Step::Wait(15_000),
                Step::Send(head.into()),
                frame("messageStart", r#"{"role":"assistant"}"#),
                frame("contentBlockDelta", delta),
                Step::Wait(25_000),
                frame("contentBlockStop", r#"{"contentBlockIndex":0}"#),
                frame("messageStop", r#"{"stopReason":"end_turn"}"#),
                frame("metadata", r#"{"usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5}}"#),
            ]);
            let meter = Arc::new(MemoryMeter::default());
            let mut stage = stage(&[(&upstream, "bedrock")], &meter, Limit::Unlimited);
            let body = format!(
                r#"{{"model":"{MODEL}","max_tokens":9,"stream":true,"messages":[{{"role":"user","content":"hi"}}]}}"#
            );
            let mut caller = stage.post(path, "", &body).await;
            caller.end().await;
            let text = caller.text();
            let (before, after) = text.split_once("hello").unwrap();
            assert_eq!(after.matches("event: ping\ndata: {\"type\":\"ping\"}\n\n").count(), pings, "{text}");
            assert_eq!(after.matches(": keep-alive\n\n").count(), 2 - pings, "{text}");
            // Before its first event a stream has nothing but comments.
            let (before, _) = before.split_once("data: ").unwrap();
            assert_eq!(before.matches(": keep-alive\n\n").count(), 1, "{text}");
            assert_eq!(stage.record().await.status, 200);
        }
    });
}

#[test]
fn who_leaves_with_the_last_event_had_the_whole_answer() {
    run(async {
        for (name, path, last) in [
            ("chat", "/v1/chat/completions", "[DONE]"),
            ("responses, translated", "/v1/responses", "response.completed"),
            ("messages, translated", "/v1/messages", "message_stop"),
        ] {
            let upstream =
                Upstream::always(vec![stream_head(), word("hello"), stream_end(), Step::Wait(5_000)]);
            let meter = Arc::new(MemoryMeter::default());
            let mut stage = stage(&[(&upstream, "openai-compatible")], &meter, Limit::Default);
            let body = format!(
                r#"{{"model":"{MODEL}","stream":true,"max_tokens":64,"messages":[{{"role":"user","content":"hi"}}],"input":"hi"}}"#
            );
            let mut caller = stage.post(path, "", &body).await;
            caller.until(last).await;
            drop(caller);
            let record = stage.record().await;
            assert_eq!((record.status, record.code), (200, None), "{name}");
            assert_eq!(
                (record.usage.source, record.attempts[0].class),
                (UsageSource::Measured, "ok"),
                "{name}"
            );
            pass(1).await;
            assert_eq!(upstream.abandoned(), 1, "{name}: its connection is let go at once");
        }
    });
}
