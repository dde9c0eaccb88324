//! Converse against recordings of the real provider, wherever they lie on this machine. They are not part
//! of this project; without them the test says that it was skipped.

#[cfg(test)]
mod recordings;

#[cfg(test)]
mod recorded {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use llm::codec::{Addressed, Asked, Source, Target};
    use llm::neutral::{Dialect, Event, Losses, Request};
    use llm::{Quirks, aws_stream};
    use serde_json::{Value, json};

    use crate::recordings::{folder, read};

    /// Every recording; `None` without them.
    fn recordings() -> Option<Vec<(String, Value)>> {
        let Some(folder) = folder().map(|folder| folder.join("dev/bedrock-converse")) else {
            eprintln!("skipped: there are no recordings on this machine");
            return None;
        };
        let mut all = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            all.push((name, read(&path)));
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(all.len() >= 20, "{}", all.len());
        Some(all)
    }

    const QUIRKS: Quirks = Quirks::NONE;

    fn source() -> Source<'static> {
        Source { quirks: &QUIRKS, choices: 1 }
    }

    /// A stream as it came; where only its payloads were kept, framed anew.
    fn bytes_of(response: &Value) -> Option<Vec<u8>> {
        if let Some(text) = response["eventstream_base64"].as_str() {
            return Some(STANDARD.decode(text).unwrap());
        }
        let mut bytes = Vec::new();
        for frame in response["eventstream"].as_array()? {
            let kind = frame["headers"][":event-type"].as_str().unwrap();
            aws_stream::write_frame(kind, &frame["payload"].to_string(), &mut bytes);
        }
        Some(bytes)
    }

    fn decode(bytes: &[u8], size: usize) -> Vec<Event> {
        let mut decoder = llm::codec(Dialect::BedrockConverse).unwrap().stream_decoder(&source());
        let mut events = Vec::new();
        for piece in bytes.chunks(size) {
            decoder.push(piece, &mut events).unwrap();
        }
        decoder.finish(&mut events);
        events
    }

    fn counted(usage: &Value) -> [u64; 4] {
        ["inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"]
            .map(|name| usage[name].as_u64().unwrap_or(0))
    }

    fn check_usage(name: &str, usage: &model::Usage, stated: &Value) {
        let written = usage.cache_write_5m + usage.cache_write_1h;
        assert_eq!([usage.input, usage.output, usage.cache_read, written], counted(stated), "{name}");
    }

    #[test]
    fn streams_are_read_whole_and_the_same_however_they_are_cut() {
        let mut streams = 0;
        for (name, recording) in recordings().unwrap_or_default() {
            let Some(bytes) = bytes_of(&recording["response"]) else { continue };
            streams += 1;
            let events = decode(&bytes, usize::MAX);
            for size in [1, 7, 100] {
                assert_eq!(decode(&bytes, size), events, "{name} in pieces of {size}");
            }
            assert_eq!(events.last(), Some(&Event::End), "{name}");
            let frames = recording["response"]["eventstream"].as_array().unwrap();
            let stated = frames.iter().find_map(|frame| frame["payload"].get("usage")).unwrap();
            let used = events.iter().find_map(|event| match event {
                Event::Usage(used) => Some(used),
                _ => None,
            });
            check_usage(&name, &used.unwrap().counters, stated);
        }
        assert!(streams == 0 || streams >= 6, "{streams}");
    }

    /// What a stream says, without what only decorates it.
    fn said(bytes: &[u8]) -> Vec<(String, Value)> {
        let mut reader = aws_stream::FrameReader::default();
        let mut said = Vec::new();
        let read = |frame: aws_stream::Frame<'_>| {
            let mut payload: Value = serde_json::from_str(frame.payload).unwrap();
            for decoration in ["p", "metrics", "trace", "additionalModelResponseFields"] {
                payload.as_object_mut().unwrap().remove(decoration);
            }
            if let Some(call) = payload.pointer_mut("/start/toolUse").and_then(Value::as_object_mut) {
                call.remove("type");
            }
            let delta = payload.get("delta").cloned().unwrap_or_default();
            let empty = delta["text"] == "" || delta["reasoningContent"]["text"] == "";
            if !empty && frame.kind != "messageStart" {
                said.push((frame.kind.to_owned(), payload));
            }
        };
        reader.push(bytes, read).unwrap();
        said.sort_by_key(|(kind, _)| kind == "metadata");
        said
    }

    #[test]
    fn streams_are_written_as_they_were_read() {
        let codec = llm::codec(Dialect::BedrockConverse).unwrap();
        for (name, recording) in recordings().unwrap_or_default() {
            let Some(bytes) = bytes_of(&recording["response"]) else { continue };
            // The tools that the provider runs itself come whole, once they are done; an empty block is not
            // written at all.
            if name.contains("code-execution") || name.contains("empty-text") {
                continue;
            }
            let mut encoder = codec.stream_encoder(&Asked::default());
            let mut written = Vec::new();
            decode(&bytes, usize::MAX).into_iter().for_each(|event| encoder.encode(event, &mut written));
            let stops = |said: Vec<(String, Value)>| -> Vec<(String, Value)> {
                // Blocks that were opened by their first delta close all the same.
                said.into_iter().filter(|(kind, _)| kind != "metadata").collect()
            };
            assert_eq!(stops(said(&written)), stops(said(&bytes)), "{name}");
        }
    }

    /// Without members that say nothing.
    fn pruned(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let kept = members.iter().map(|(name, value)| (name.clone(), pruned(value)));
                let said = |value: &Value| *value != json!({}) && *value != json!([]);
                kept.filter(|(name, value)| said(value) || name == "input" || name == "properties").collect()
            }
            Value::Array(items) => items.iter().map(pruned).collect(),
            other => other.clone(),
        }
    }

    fn read_request(body: &Value) -> Request {
        let codec = llm::codec(Dialect::BedrockConverse).unwrap();
        codec.decode_request(&body.to_string(), &Addressed { model: "claude", stream: false }).unwrap()
    }

    #[test]
    fn requests_and_answers_are_written_as_they_were_read() {
        let codec = llm::codec(Dialect::BedrockConverse).unwrap();
        let target =
            Target { provider: "bedrock", model: "claude", quirks: &QUIRKS, clamp: None, max_output: 4096 };
        let mut checked = [0, 0];
        for (name, recording) in recordings().unwrap_or_default() {
            let body = &recording["request"]["body"];
            if body.get("messages").is_some() {
                let mut losses = Losses::default();
                let written = codec.encode_request(&read_request(body), &target, &mut losses).unwrap();
                let written: Value = serde_json::from_slice(&written).unwrap();
                let mut expected = pruned(body);
                // A tool's success goes without saying.
                remove_success(&mut expected);
                assert_eq!(pruned(&written), expected, "{name}");
                assert!(losses.is_empty(), "{name}: {losses:?}");
                checked[0] += 1;
            }
            let answer = &recording["response"]["body"];
            if answer.get("output").is_some() {
                let reply = codec.decode_reply(&answer.to_string(), &source()).unwrap();
                check_usage(&name, &reply.usage.as_ref().unwrap().counters, &answer["usage"]);
                let mut losses = Losses::default();
                let written = codec.encode_reply(&reply, &Asked::default(), &mut losses);
                let written: Value = serde_json::from_slice(&written).unwrap();
                let mut expected = pruned(answer);
                // One recorder wrote a `type` beside the text.
                if let Some(block) = expected.pointer_mut("/output/message/content/0") {
                    block.as_object_mut().unwrap().remove("type");
                }
                assert_eq!(pruned(&written), expected, "{name}");
                assert!(losses.is_empty(), "{name}: {losses:?}");
                checked[1] += 1;
            }
        }
        assert!(checked == [0, 0] || checked[0] >= 15 && checked[1] >= 10, "{checked:?}");
    }

    fn remove_success(value: &mut Value) {
        match value {
            Value::Object(members) => {
                if members.get("status") == Some(&json!("success")) && !members.contains_key("type") {
                    members.remove("status");
                }
                members.values_mut().for_each(remove_success);
            }
            Value::Array(items) => items.iter_mut().for_each(remove_success),
            _ => {}
        }
    }
}
