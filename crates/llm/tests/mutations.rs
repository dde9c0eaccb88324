//! Broken requests and answers: thousands of mutations of small seeds, the same in every run. Whatever comes,
//! nothing panics, relayed bytes stay as they are, and what is written is JSON (reliability contract §5:
//! F2, F3, F7 to F10).

#[cfg(test)]
mod mutated {
    use bytes::Bytes;
    use llm::codec::{Addressed, Asked, Source, Target};
    use llm::neutral::{Dialect, Losses};
    use llm::{Quirks, Scanner, Surface, codec, peek};
    use serde_json::Value;

    /// Mutations of each seed; many more where the long rounds were asked for.
    fn rounds() -> u64 {
        if std::env::var_os("YUMEN_NIGHTLY").is_some() { 20_000 } else { 150 }
    }

    const QUIRKS: Quirks = Quirks::NONE;

    /// A dialect with its endpoint, a request, an answer and a stream.
    struct Seed {
        dialect: Dialect,
        surface: Surface,
        request: &'static str,
        reply: &'static str,
        stream: &'static str,
    }

    const SEEDS: [Seed; 4] = [
        Seed {
            dialect: Dialect::OpenAiChat,
            surface: Surface::ChatCompletions,
            request: r#"{"model":"m","stream":true,"max_tokens":5,"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"ü\ud83d\ude00"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1e400}"}}]},{"role":"tool","tool_call_id":"call_1","content":"ok"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":"required","response_format":{"type":"json_object"},"stop":["x"]}"#,
            reply: r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi","reasoning_content":"hm","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}}}"#,
            stream: "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\ndata: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hö\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}},{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}}]}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
        },
        Seed {
            dialect: Dialect::AnthropicMessages,
            surface: Surface::Messages,
            request: r#"{"model":"m","max_tokens":9,"stream":true,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"AAAA"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"a":[1,2.50]}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"content":[{"type":"text","text":"bad"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]},{"role":"system","content":"now"}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"thinking":{"type":"adaptive"},"output_config":{"effort":"high"}}"#,
            reply: r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"t","signature":"AAAA"},{"type":"text","text":"hi"},{"type":"tool_use","id":"toolu_1","name":"f","input":{}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2,"cache_read_input_tokens":4}}"#,
            stream: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"t\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"AAAA\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{}}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        },
        Seed {
            dialect: Dialect::OpenAiResponses,
            surface: Surface::Responses,
            request: r#"{"model":"m","stream":true,"max_output_tokens":20,"instructions":"s","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"AAAA"},{"type":"function_call","call_id":"call_1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"call_1","output":"ok"},{"type":"configuration_update","x":1}],"tools":[{"type":"function","name":"f","parameters":{"type":"object"}},{"type":"custom","name":"g"},{"type":"namespace","name":"ns","tools":[{"type":"function","name":"h","parameters":{}}]}],"reasoning":{"effort":"low"},"text":{"format":{"type":"text"}},"store":false}"#,
            reply: r#"{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"t"}]},{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hi","annotations":[]}]},{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{}","status":"completed"}],"usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5}}"#,
            stream: "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"status\":\"in_progress\",\"model\":\"m\",\"output\":[]}}\n\ndata: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\",\"content\":[]}}\n\ndata: {\"type\":\"response.content_part.added\",\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\"}}\n\ndata: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"hö\"}\n\ndata: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"hö\"}]}}\n\ndata: {\"type\":\"response.function_call_arguments.done\",\"output_index\":1,\"item_id\":\"fc_1\",\"arguments\":\"{}\"}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"model\":\"m\",\"output\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}\n\n",
        },
        Seed {
            dialect: Dialect::Gemini,
            surface: Surface::StreamGenerateContent,
            request: r#"{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"a"},{"inlineData":{"mime_type":"image/png","data":"AAAA"}}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":1}},"thoughtSignature":"AAAA"}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"x":1}}}]}],"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object"}}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY"}},"generationConfig":{"maxOutputTokens":9,"thinkingConfig":{"include_thoughts":true},"responseMimeType":"application/json"}}"#,
            reply: r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"t","thought":true},{"text":"hi"},{"functionCall":{"name":"f","args":{}},"thoughtSignature":"AAAA"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"thoughtsTokenCount":1,"totalTokenCount":6},"modelVersion":"m","responseId":"r"}"#,
            stream: "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"hö\"}]},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":3}}\r\n\r\ndata: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":{}}}]},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":2}}\r\n\r\n",
        },
    ];

    /// A source of chance that is the same in every run.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, most: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % most.max(1) as u64).unwrap()
        }
    }

    /// Pieces that readers of JSON and of events stumble over.
    const PIECES: [&str; 18] = [
        "null", "{}", "[]", "\"\"", "-1", "1e999", "true", "\\u0000", "\\ud800", "\"", "{", "]", ",", ":",
        "\n\n", "data: ", "\r", "\u{feff}",
    ];

    fn mutate(seed: &[u8], chance: &mut Chance) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=chance.below(3) {
            let at = chance.below(bytes.len());
            match chance.below(5) {
                0 => bytes[at] = u8::try_from(chance.below(256)).unwrap(),
                1 => {
                    let end = (at + 1 + chance.below(40)).min(bytes.len());
                    bytes.drain(at..end);
                }
                2 => {
                    let end = (at + chance.below(60)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    let to = chance.below(bytes.len());
                    bytes.splice(to..to, copy);
                }
                3 => {
                    let piece = PIECES[chance.below(PIECES.len())];
                    bytes.splice(at..at, piece.bytes());
                }
                // A value in the place of another: what readers expect the least.
                _ => {
                    let colon =
                        bytes[at..].iter().position(|byte| *byte == b':').map_or(at, |found| at + found);
                    let end = bytes[colon..].iter().position(|byte| b",}]".contains(byte));
                    let end = end.map_or(bytes.len(), |found| colon + found);
                    let piece = PIECES[chance.below(7)];
                    bytes.splice((colon + 1).min(end)..end, piece.bytes());
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        bytes
    }

    fn each(run: impl Fn(&Seed, &mut Chance)) {
        for (number, seed) in SEEDS.iter().enumerate() {
            let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ number as u64);
            for _ in 0..rounds() {
                run(seed, &mut chance);
            }
        }
    }

    fn in_pieces(bytes: &[u8], chance: &mut Chance) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + chance.below(90)).min(rest.len()));
            pieces.push(Bytes::copy_from_slice(piece));
            rest = after;
        }
        pieces
    }

    #[test]
    fn relayed_streams_stay_as_they_are() {
        each(|seed, chance| {
            let bytes = mutate(seed.stream.as_bytes(), chance);
            let mut scanner = Scanner::stream(seed.surface, &QUIRKS, false, 1);
            let mut out = Vec::new();
            for piece in in_pieces(&bytes, chance) {
                out.extend(scanner.push(piece).unwrap_or_default());
            }
            out.extend(scanner.flush());
            assert_eq!(out, bytes);
            let mut unary = Scanner::unary(seed.surface, &QUIRKS);
            for piece in in_pieces(&mutate(seed.reply.as_bytes(), chance), chance) {
                assert!(unary.push(piece).is_ok());
            }
            let _ = (scanner.usage(), unary.usage(), unary.failure());
        });
    }

    #[test]
    fn what_is_read_of_a_body_is_what_a_parser_reads() {
        each(|seed, chance| {
            let bytes = Bytes::from(mutate(seed.request.as_bytes(), chance));
            let Ok(call) = peek(seed.surface, &bytes) else { return };
            if seed.dialect == Dialect::Gemini {
                return;
            }
            // Numbers beyond the parser's own range are right all the same.
            let Ok(parsed) = serde_json::from_slice::<Value>(&bytes) else { return };
            assert_eq!(Some(&*call.model), parsed["model"].as_str(), "{bytes:?}");
            assert_eq!(call.stream, parsed["stream"].as_bool().unwrap_or(false), "{bytes:?}");
        });
    }

    fn is_json(bytes: &[u8]) -> bool {
        serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok()
    }

    #[test]
    fn requests_that_can_be_read_can_be_written_for_everybody() {
        each(|seed, chance| {
            let bytes = mutate(seed.request.as_bytes(), chance);
            let Ok(text) = std::str::from_utf8(&bytes) else { return };
            let from = codec(seed.dialect).unwrap();
            let Ok(request) = from.decode_request(text, &Addressed { model: "m", stream: true }) else {
                return;
            };
            for dialect in Dialect::ALL {
                let target =
                    Target { provider: "x", model: "claude", quirks: &QUIRKS, clamp: None, max_output: 4096 };
                let written =
                    codec(dialect).unwrap().encode_request(&request, &target, &mut Losses::default());
                if let Ok(written) = written {
                    let shown = String::from_utf8_lossy(&written);
                    assert!(
                        is_json(&written),
                        "{} to {}: {text}\n{shown}",
                        seed.dialect.name(),
                        dialect.name()
                    );
                }
            }
        });
    }

    #[test]
    fn answers_that_can_be_read_can_be_written_for_everybody() {
        each(|seed, chance| {
            let from = codec(seed.dialect).unwrap();
            let source = Source { quirks: &QUIRKS, choices: 1 };
            let reply = mutate(seed.reply.as_bytes(), chance);
            if let Ok(reply) = from.decode_reply(&String::from_utf8_lossy(&reply), &source) {
                for dialect in Dialect::ALL {
                    let codec = codec(dialect).unwrap();
                    let written = codec.encode_reply(&reply, &Asked::default(), &mut Losses::default());
                    assert!(is_json(&written), "{}", String::from_utf8_lossy(&written));
                }
            }
            let stream = mutate(seed.stream.as_bytes(), chance);
            let mut decoder = from.stream_decoder(&source);
            let mut events = Vec::new();
            for piece in in_pieces(&stream, chance) {
                if decoder.push(&piece, &mut events).is_err() {
                    break;
                }
            }
            decoder.finish(&mut events);
            for dialect in Dialect::ALL {
                let mut encoder = codec(dialect).unwrap().stream_encoder(&Asked::default());
                let mut out = Vec::new();
                events.iter().for_each(|event| encoder.encode(event.clone(), &mut out));
                if dialect != Dialect::BedrockConverse {
                    let text = String::from_utf8(out).expect("streams of events are text");
                    let mut data = text.lines().filter_map(|line| line.strip_prefix("data: "));
                    assert!(data.all(|data| data == "[DONE]" || is_json(data.as_bytes())), "{text}");
                }
            }
        });
    }
}
