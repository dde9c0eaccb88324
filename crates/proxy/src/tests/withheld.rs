//! Upstreams that repeat the gateway's credential in a stream which has begun.

use std::sync::Arc;

use ledger::meter::MemoryMeter;
use model::Secret;
use model::resource::KeyTerms;

use super::stage::{MODEL, Stage, Step, Upstream, run, stream_head};

const CREDENTIAL: &str = "sk-of-the-gateway-0123456789";

/// A way to ask for a stream: of which provider, its path, its body, content, and a failure in its provider's words.
struct Way {
    provider: &'static str,
    path: &'static str,
    body: String,
    content: String,
    failure: String,
}

fn words() -> String {
    format!("Incorrect API key provided: {CREDENTIAL}. See the account.")
}

fn chat(usage: bool) -> Way {
    let words = words();
    Way {
        provider: "demo",
        path: "/v1/chat/completions",
        body: format!(
            r#"{{"model":"{MODEL}","stream":true,"stream_options":{{"include_usage":{usage}}},"messages":[{{"role":"user","content":"x"}}]}}"#
        ),
        content: format!(
            "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"an error, {CREDENTIAL}\"}}}}]}}\n\n"
        ),
        failure: format!(
            "data: {{\"id\":\"c\",\"model\":\"x\",\"error\":{{\"code\":401,\"message\":\"{words}\"}}}}\n\n"
        ),
    }
}

fn ways() -> Vec<Way> {
    let words = words();
    let gemini = |query: &'static str| {
        let body = r#"{"contents":[{"role":"user","parts":[{"text":"x"}]}]}"#.to_owned();
        let content = format!(
            r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":"{CREDENTIAL}"}}]}}}}]}}"#
        );
        let failure = format!(r#"{{"error":{{"code":401,"message":"{words}","status":"UNAUTHENTICATED"}}}}"#);
        let (content, failure) = match query {
            "" => (format!("[{content}"), format!(",\r\n{failure}\n]")),
            _ => (format!("data: {content}\r\n\r\n"), format!("data: {failure}\r\n\r\n")),
        };
        let path = match query {
            "" => "/v1beta/models/m:streamGenerateContent",
            _ => "/v1beta/models/m:streamGenerateContent?alt=sse",
        };
        Way { provider: "gemini", path, body, content, failure }
    };
    let messages = format!(
        r#"{{"model":"{MODEL}","stream":true,"max_tokens":9,"messages":[{{"role":"user","content":"x"}}]}}"#
    );
    vec![
        chat(true),
        chat(false),
        // An account of another dialect than the caller's.
        Way { path: "/v1/messages", body: messages.clone(), ..chat(true) },
        Way {
            provider: "anthropic-compatible",
            path: "/v1/messages",
            body: messages,
            content: format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{CREDENTIAL}\"}}}}\n\n"
            ),
            failure: format!(
                "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"authentication_error\",\"message\":\"{words}\"}}}}\n\n"
            ),
        },
        Way {
            provider: "openai",
            path: "/v1/responses",
            body: format!(r#"{{"model":"{MODEL}","stream":true,"input":"x"}}"#),
            content: format!(
                "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"delta\":\"{CREDENTIAL}\",\"sequence_number\":1}}\n\n"
            ),
            failure: format!(
                "event: response.failed\ndata: {{\"type\":\"response.failed\",\"sequence_number\":2,\"response\":{{\"id\":\"r\",\"status\":\"failed\",\"error\":{{\"code\":\"server_error\",\"message\":\"{words}\"}}}}}}\n\n"
            ),
        },
        gemini("alt=sse"),
        gemini(""),
    ]
}

/// What the caller gets of a stream that comes in these pieces, and the record.
async fn shown(way: &Way, pieces: &[&str]) -> (String, String) {
    let mut script = vec![stream_head()];
    for piece in pieces {
        script.extend([Step::Send((*piece).to_owned()), Step::Wait(50)]);
    }
    let upstream = Upstream::always(script);
    let meter = Arc::new(MemoryMeter::default());
    let mut stage = Stage::with(KeyTerms::default(), &[(&upstream, None)], meter, |configuration, _| {
        let account = Arc::make_mut(&mut configuration.accounts[0]);
        account.provider = way.provider.into();
        account.credential = Some(Secret::new(CREDENTIAL.to_owned()));
    });
    let mut caller = stage.post(way.path, "", &way.body).await;
    caller.end().await;
    (caller.body(), format!("{:?}", stage.record().await))
}

#[test]
fn a_credential_in_a_failure_is_masked_however_it_comes_and_content_passes_as_it_came() {
    run(async {
        for way in ways() {
            let Way { content, failure, .. } = &way;
            let both = format!("{content}{failure}");
            let mut ways_to_cut = vec![vec![content.as_str(), failure.as_str()], vec![&both]];
            for cut in (1..failure.len()).step_by(3) {
                let (first, second) = failure.split_at(cut);
                ways_to_cut.push(vec![content, first, second]);
            }
            for pieces in ways_to_cut {
                let (body, record) = shown(&way, &pieces).await;
                let told = format!("{} {pieces:?}\n{body}", way.path);
                let (relayed, failed) = body.split_at(body.find("Incorrect").expect(&told));
                assert!(pieces.len() == 1 || relayed.contains(CREDENTIAL), "content was changed: {told}");
                assert!(!failed.contains(CREDENTIAL) && failed.contains("provided: ****"), "{told}");
                assert!(!record.contains(CREDENTIAL) && record.contains("Incorrect API key"), "{record}");
            }
        }
    });
}

#[test]
fn half_a_failure_says_no_credential_either() {
    run(async {
        for way in ways() {
            let whole = way.failure.find(CREDENTIAL).unwrap() + CREDENTIAL.len();
            for end in [whole, whole + 3] {
                let (body, record) = shown(&way, &[&way.content, &way.failure[..end]]).await;
                let behind = &body[body.find(CREDENTIAL).unwrap() + CREDENTIAL.len()..];
                assert!(!behind.contains(CREDENTIAL), "{} {body}", way.path);
                assert!(!record.contains(CREDENTIAL), "{record}");
            }
        }
    });
}
