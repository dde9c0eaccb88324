//! How likely tokens were, asked for and told between the dialects that have it (dialects reference §2.5).

#[cfg(test)]
mod likely {
    use llm::codec::{Addressed, Asked, Source, Target};
    use llm::neutral::{Dialect, Losses};
    use llm::{Quirks, codec};
    use serde_json::{Value, json};

    const CHAT: Dialect = Dialect::OpenAiChat;
    const RESPONSES: Dialect = Dialect::OpenAiResponses;
    const GEMINI: Dialect = Dialect::Gemini;
    const KNOW: [Dialect; 3] = [CHAT, RESPONSES, GEMINI];

    fn request(dialect: Dialect) -> Value {
        match dialect {
            CHAT => {
                json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "logprobs": true, "top_logprobs": 2})
            }
            RESPONSES => {
                json!({"model": "m", "input": "hi", "include": ["message.output_text.logprobs"], "top_logprobs": 2})
            }
            _ => json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                "generationConfig": {"responseLogprobs": true, "logprobs": 2}}),
        }
    }

    #[test]
    fn it_is_asked_for_in_the_providers_words_or_is_a_loss() {
        for from in KNOW {
            let addressed = Addressed { model: "m", stream: false };
            let read = codec(from).unwrap().decode_request(&request(from).to_string(), &addressed).unwrap();
            for to in Dialect::ALL {
                let target =
                    Target { provider: "x", model: "m", quirks: &Quirks::NONE, clamp: None, max_output: 9 };
                let mut losses = Losses::default();
                let sent = codec(to).unwrap().encode_request(&read, &target, &mut losses).unwrap();
                let sent: Value = serde_json::from_slice(&sent).unwrap();
                let asked = match to {
                    CHAT => sent["logprobs"] == true && sent["top_logprobs"] == 2,
                    RESPONSES => {
                        sent["include"] == json!(["message.output_text.logprobs"])
                            && sent["top_logprobs"] == 2
                    }
                    GEMINI => {
                        sent["generationConfig"]["responseLogprobs"] == true
                            && sent["generationConfig"]["logprobs"] == 2
                    }
                    _ => false,
                };
                assert_eq!(asked, KNOW.contains(&to), "{from:?} to {to:?}: {sent}");
                assert_eq!(losses.refused().count(), usize::from(!asked), "{from:?} to {to:?}: {losses:?}");
            }
        }
    }

    /// An entry of two tokens' list, in OpenAI's words.
    fn entries() -> Value {
        let token = |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": null});
        let mut first = token("a", -0.5);
        first["top_logprobs"] = json!([token("a", -0.5), token("x", -2.0)]);
        let mut second = token("b", -1.5);
        second["top_logprobs"] = json!([]);
        json!([first, second])
    }

    fn gemini() -> Value {
        let token = |token: &str, logprob: f64| json!({"token": token, "logProbability": logprob});
        json!({"chosenCandidates": [token("a", -0.5), token("b", -1.5)],
            "topCandidates": [{"candidates": [token("a", -0.5), token("x", -2.0)]}, {"candidates": []}]})
    }

    fn whole(dialect: Dialect) -> Value {
        match dialect {
            CHAT => json!({"id": "c", "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "ab"}, "logprobs": {"content": entries(), "refusal": null}}]}),
            RESPONSES => {
                json!({"id": "r", "status": "completed", "output": [{"type": "message", "role": "assistant",
                "content": [{"type": "output_text", "text": "ab", "annotations": [], "logprobs": entries()}]}]})
            }
            _ => {
                json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "ab"}]}, "finishReason": "STOP",
                "logprobsResult": gemini()}]})
            }
        }
    }

    /// What a caller is told, wherever its dialect tells it.
    fn told(caller: Dialect, answer: &Value) -> Option<Value> {
        let place = match caller {
            CHAT => "/choices/0/logprobs/content",
            RESPONSES => "/output/0/content/0/logprobs",
            _ => "/candidates/0/logprobsResult",
        };
        answer.pointer(place).cloned()
    }

    fn expected(caller: Dialect) -> Value {
        if caller == GEMINI { gemini() } else { entries() }
    }

    fn asked() -> Asked {
        Asked { model: "m".into(), choices: 1, id: "x".into(), ..Asked::default() }
    }

    const SOURCE: Source<'static> = Source { quirks: &Quirks::NONE, choices: 1 };

    #[test]
    fn it_is_told_with_whole_answers() {
        for provider in KNOW {
            let reply = codec(provider).unwrap().decode_reply(&whole(provider).to_string(), &SOURCE).unwrap();
            for caller in KNOW {
                let out = codec(caller).unwrap().encode_reply(&reply, &asked(), &mut Losses::default());
                let out: Value = serde_json::from_slice(&out).unwrap();
                assert_eq!(told(caller, &out), Some(expected(caller)), "{provider:?} to {caller:?}: {out}");
            }
        }
    }

    fn stream(dialect: Dialect) -> String {
        let chunks = match dialect {
            CHAT => vec![
                json!({"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "ab"},
                    "logprobs": {"content": entries(), "refusal": null}}]}),
                json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
            ],
            RESPONSES => vec![
                json!({"type": "response.created", "response": {"id": "r"}}),
                json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "ab",
                    "logprobs": entries()}),
                json!({"type": "response.completed", "response": {"id": "r", "output": []}}),
            ],
            _ => vec![whole(GEMINI)],
        };
        let mut text: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        text.push_str(if dialect == CHAT { "data: [DONE]\n\n" } else { "" });
        text
    }

    #[test]
    fn it_is_told_with_streams() {
        for provider in KNOW {
            for caller in KNOW {
                let (mut decoder, mut events) =
                    (codec(provider).unwrap().stream_decoder(&SOURCE), Vec::new());
                decoder.push(stream(provider).as_bytes(), &mut events).unwrap();
                decoder.finish(&mut events);
                let (mut encoder, mut out) = (codec(caller).unwrap().stream_encoder(&asked()), Vec::new());
                events.into_iter().for_each(|event| encoder.encode(event, &mut out));
                let out = String::from_utf8(out).unwrap();
                let data = out.lines().filter_map(|line| line.strip_prefix("data: "));
                let data: Vec<Value> = data.filter_map(|data| serde_json::from_str(data).ok()).collect();
                let found = data.iter().find_map(|chunk| {
                    let chunk = if caller == RESPONSES { &chunk["response"] } else { chunk };
                    told(caller, chunk).filter(|told| *told != json!([]))
                });
                assert_eq!(found, Some(expected(caller)), "{provider:?} to {caller:?}: {out}");
            }
        }
    }
}
