//! Replays recorded exchanges of real providers, wherever they lie on this machine. They are not
//! part of this project; without them the test says that it was skipped.

#[cfg(test)]
mod recordings;
#[cfg(test)]
mod replay;

#[cfg(test)]
mod recorded {
    use std::num::NonZero;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use http::HeaderMap;
    use llm::{Edits, Family, Surface, provider};
    use model::Usage;
    use serde_json::Value;

    use crate::recordings::{folder, read};
    use crate::replay::{Answer, Outcome};

    const DIALECTS: [&str; 11] = [
        "openai-chat",
        "openai-completions",
        "openai-embeddings",
        "anthropic-messages",
        "openai-compat",
        "azure-openai",
        "openai-other",
        "openai-responses",
        "azure-responses",
        "gemini",
        "vertex-gemini",
    ];

    /// Recordings under one of our dialects' folders that are another API's.
    const FOREIGN: [(&str, &str); 2] = [
        ("openai-completions-006", "the writer's own event shape"),
        ("anthropic-messages-061", "OpenAI's assistants threads"),
    ];

    struct Recording {
        id: String,
        dialect: String,
        preset: &'static provider::Preset,
        status: u16,
        path: Option<String>,
        request: Value,
        response: Value,
    }

    fn recordings(folder: &Path) -> Vec<Recording> {
        let index = read(&folder.join("index.json"));
        let items = index["items"].as_array().expect("a list of recordings");
        let ours = items
            .iter()
            .filter(|item| DIALECTS.iter().any(|d| item["dialect"].as_str().unwrap().starts_with(d)));
        ours.map(|item| {
            let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
            let mut file = read(&folder.join(text("file")));
            Recording {
                id: text("id"),
                dialect: text("dialect"),
                preset: preset_of(&text("vendor")),
                status: u16::try_from(item["status"].as_u64().unwrap()).unwrap(),
                path: item["path"].as_str().map(str::to_owned),
                request: file["request"].take(),
                response: file["response"].take(),
            }
        })
        .collect()
    }

    fn preset_of(vendor: &str) -> &'static provider::Preset {
        let id = if matches!(vendor, "google" | "vertex") { "gemini" } else { vendor };
        let known = provider::preset(id).filter(|preset| !preset.families.is_empty());
        known.unwrap_or_else(|| provider::preset("openai-compatible").unwrap())
    }

    impl Recording {
        /// The surface that was called, or why it is none of ours.
        fn surface(&self) -> Result<Surface, String> {
            if let Some((_, why)) = FOREIGN.iter().find(|(id, _)| *id == self.id) {
                return Err((*why).to_owned());
            }
            let Some(path) = &self.path else {
                return Ok(match self.dialect.as_str() {
                    dialect if dialect.contains("anthropic") => Surface::Messages,
                    dialect if dialect.contains("responses") => Surface::Responses,
                    dialect if dialect.contains("gemini") => Surface::StreamGenerateContent,
                    _ => Surface::ChatCompletions,
                });
            };
            let path = path.split('?').next().unwrap_or_default();
            // "/chat/completions" ends like "/completions": the longest tail counts.
            let found = Surface::ALL.into_iter().filter(|surface| path.ends_with(surface.tail()));
            found.max_by_key(|surface| surface.tail().len()).ok_or_else(|| path.to_owned())
        }

        fn answer(&self, surface: Surface) -> Answer {
            let stream = self.response["sse"].as_str();
            let bytes = match stream {
                Some(text) => Bytes::copy_from_slice(text.as_bytes()),
                None => Bytes::from(serde_json::to_vec(&self.response["body"]).unwrap()),
            };
            Answer {
                name: self.id.clone(),
                surface,
                quirks: self.preset.quirks,
                choices: self.request["body"]["n"].as_u64().map_or(1, |n| u32::try_from(n).unwrap()),
                streamed: stream.is_some(),
                bytes,
            }
        }
    }

    /// The data objects of a stream, read the simple way.
    fn data_objects(stream: &str) -> Vec<Value> {
        let lines = stream.lines().filter_map(|line| line.strip_prefix("data:"));
        lines.filter_map(|data| serde_json::from_str(data.trim()).ok()).collect()
    }

    /// Every usage object that the answer states, in order.
    fn stated_usage(answer: &Answer) -> Vec<Value> {
        let text = std::str::from_utf8(&answer.bytes).unwrap();
        let objects =
            if answer.streamed { data_objects(text) } else { vec![serde_json::from_str(text).unwrap()] };
        let places = [
            "/usage",
            "/message/usage",
            "/x_groq/usage",
            "/choices/0/usage",
            "/response/usage",
            "/usageMetadata",
        ];
        let all = objects.iter().flat_map(|o| places.iter().filter_map(|place| o.pointer(place)));
        all.filter(|usage| usage.is_object()).cloned().collect()
    }

    /// What the usage should be, from an independent and plain reading.
    fn expected_usage(answer: &Answer) -> Option<[u64; 5]> {
        let mut usage = Value::Null;
        for stated in stated_usage(answer) {
            for (name, value) in stated.as_object().unwrap() {
                if !value.is_null() {
                    usage[name] = value.clone();
                }
            }
        }
        if usage.is_null() || answer.surface.is_free() {
            return None;
        }
        let at = |place: &str| usage.pointer(place).and_then(Value::as_u64);
        if answer.surface == Surface::Messages {
            let written = at("/cache_creation_input_tokens").unwrap_or(0);
            let read = at("/cache_read_input_tokens").unwrap_or(0);
            let reasoning = at("/output_tokens_details/thinking_tokens").unwrap_or(0);
            return Some([at("/input_tokens")?, read, written, at("/output_tokens")?, reasoning]);
        }
        if answer.surface.family() == Family::Gemini {
            let count = |name: &str| at(&format!("/{name}")).unwrap_or(0);
            let prompt = count("promptTokenCount") + count("toolUsePromptTokenCount");
            let (cached, thoughts) = (count("cachedContentTokenCount"), count("thoughtsTokenCount"));
            return Some([prompt - cached, cached, 0, count("candidatesTokenCount") + thoughts, thoughts]);
        }
        if answer.surface.is_responses() {
            let cached = at("/input_tokens_details/cached_tokens").unwrap_or(0);
            let written = at("/input_tokens_details/cache_write_tokens").unwrap_or(0);
            let reasoning = at("/output_tokens_details/reasoning_tokens").unwrap_or(0);
            let input = at("/input_tokens")? - cached - written;
            return Some([input, cached, written, at("/output_tokens")?, reasoning]);
        }
        let (prompt, output) = (at("/prompt_tokens").unwrap_or(0), at("/completion_tokens").unwrap_or(0));
        let cached = ["/prompt_tokens_details/cached_tokens", "/cached_tokens", "/num_cached_tokens"]
            .iter()
            .find_map(|place| at(place))
            .unwrap_or(0);
        let written = at("/prompt_tokens_details/cache_write_tokens").unwrap_or(0);
        let reasoning = at("/completion_tokens_details/reasoning_tokens").unwrap_or(0);
        let total = at("/total_tokens").unwrap_or(prompt + output);
        let hidden = total - prompt - output;
        let input = if cached > prompt { prompt } else { prompt - cached - written };
        let google = answer.quirks == provider::preset("gemini").unwrap().quirks;
        let reasoning = if google { hidden } else { reasoning };
        Some([input, cached, written, output + hidden, reasoning])
    }

    fn figures(usage: Usage) -> [u64; 5] {
        [usage.input, usage.cache_read, usage.cache_write(), usage.output, usage.reasoning]
    }

    /// Whether the data says that the stream is whole.
    fn is_whole(answer: &Answer) -> bool {
        let text = std::str::from_utf8(&answer.bytes).unwrap();
        let objects = data_objects(text);
        if answer.surface == Surface::Messages {
            return objects.iter().any(|event| event["type"] == "message_stop");
        }
        if answer.surface.is_responses() {
            let ends = ["response.completed", "response.incomplete"];
            return objects.iter().any(|event| ends.iter().any(|end| event["type"] == *end));
        }
        if answer.surface.family() == Family::Gemini {
            return objects.iter().any(|chunk| chunk["candidates"][0]["finishReason"].is_string());
        }
        let finished =
            |chunk: &Value| chunk["choices"][0]["finish_reason"].as_str().is_some_and(|r| !r.is_empty());
        text.contains("data: [DONE]") || answer.quirks.ends_without_done && objects.iter().any(finished)
    }

    /// The stream without the chunks that carry usage and nothing else.
    fn without_usage_chunks(stream: &str) -> String {
        let usage_only = |event: &str| {
            data_objects(event).iter().any(|chunk| {
                chunk["choices"].as_array().is_some_and(Vec::is_empty) && chunk["usage"].is_object()
            })
        };
        stream.split_inclusive("\n\n").filter(|event| !usage_only(event)).collect()
    }

    fn check_answer(answer: &Answer) -> Outcome {
        let outcome = answer.check(false);
        assert_eq!(outcome.usage.map(figures), expected_usage(answer), "{}", answer.name);
        if !answer.streamed {
            assert!(outcome.complete && outcome.content_begun, "{}", answer.name);
            return outcome;
        }
        assert_eq!(outcome.complete, is_whole(answer), "{}", answer.name);
        assert!(outcome.complete || outcome.failure.is_some(), "{}: cut short", answer.name);
        assert!(outcome.content_begun || outcome.failure.is_some(), "{}", answer.name);
        if matches!(answer.surface, Surface::ChatCompletions | Surface::Completions) {
            let text = std::str::from_utf8(&answer.bytes).unwrap();
            let stripped = answer.check(true);
            assert!(stripped.out == without_usage_chunks(text).as_bytes(), "{}", answer.name);
        }
        outcome
    }

    fn check_refusal(recording: &Recording, surface: Surface) {
        let body = &recording.response["body"];
        let bytes = serde_json::to_vec(body).unwrap();
        let failure = llm::classify(surface, recording.status, &HeaderMap::new(), &bytes);
        assert_eq!(failure.status, Some(recording.status), "{}", recording.id);
        let places = ["/error/message", "/message", "/detail", "/error"];
        let body = if body.is_array() { &body[0] } else { body };
        let stated = places.iter().find_map(|place| body.pointer(place)?.as_str());
        assert_eq!(stated.map(str::trim), Some(failure.message.as_str()), "{}", recording.id);
    }

    fn check_gemini_request(recording: &Recording, surface: Surface) {
        let Some((_, named)) = recording.path.as_deref().and_then(|path| path.split_once("models/")) else {
            return;
        };
        let uri: http::Uri = format!("/v1beta/models/{named}").parse().unwrap();
        let body = Bytes::from(serde_json::to_vec_pretty(&recording.request["body"]).unwrap());
        let call = llm::peek_at(surface, &uri, &body).unwrap();
        assert_eq!(Some(&*call.model), named.split(':').next(), "{}", recording.id);
        let edits = Edits { model: Some("another".into()), ask_usage: true, max_output: None };
        assert!(llm::splice(&call, &body, &edits) == body, "{}", recording.id);
    }

    fn check_request(recording: &Recording, surface: Surface) {
        if surface.family() == Family::Gemini {
            return check_gemini_request(recording, surface);
        }
        if !recording.request["body"]["model"].is_string() {
            return;
        }
        let body = Bytes::from(serde_json::to_vec_pretty(&recording.request["body"]).unwrap());
        let call = llm::peek(surface, &body).unwrap_or_else(|r| panic!("{}: {}", recording.id, r.message));
        assert_eq!(recording.request["body"]["model"], *call.model, "{}", recording.id);
        let edits = Edits { model: Some("another".into()), ask_usage: true, max_output: None };
        let spliced: Value = serde_json::from_slice(&llm::splice(&call, &body, &edits)).unwrap();
        let mut expected = recording.request["body"].clone();
        expected["model"] = "another".into();
        let asks = matches!(surface, Surface::ChatCompletions | Surface::Completions) && call.stream;
        if asks {
            expected["stream_options"]["include_usage"] = true.into();
        }
        assert_eq!(spliced, expected, "{}", recording.id);
    }

    /// What a recording was.
    #[derive(PartialEq)]
    enum Read {
        Stream,
        Unary,
        Refusal,
        Skipped(String),
    }

    fn check(recording: &Recording) -> Read {
        let surface = match recording.surface() {
            Ok(surface) => surface,
            Err(why) => return Read::Skipped(format!("{} ({why})", recording.id)),
        };
        check_request(recording, surface);
        if recording.status >= 400 {
            check_refusal(recording, surface);
            return Read::Refusal;
        }
        let answer = recording.answer(surface);
        check_answer(&answer);
        if answer.streamed { Read::Stream } else { Read::Unary }
    }

    #[test]
    fn recorded_exchanges_are_read_right_however_they_are_cut() {
        let Some(folder) = folder() else {
            println!("skipped: no corpus");
            return;
        };
        let recordings = recordings(&folder);
        let next = AtomicUsize::new(0);
        let turn = || {
            let mut read = Vec::new();
            while let Some(recording) = recordings.get(next.fetch_add(1, Ordering::Relaxed)) {
                read.push(check(recording));
            }
            read
        };
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let read: Vec<Read> = std::thread::scope(|scope| {
            let turns: Vec<_> = (0..threads).map(|_| scope.spawn(turn)).collect();
            turns.into_iter().flat_map(|turn| turn.join().unwrap()).collect()
        });
        let count = |kind: &Read| read.iter().filter(|read| *read == kind).count();
        let [streams, unary, refusals] = [Read::Stream, Read::Unary, Read::Refusal].map(|kind| count(&kind));
        println!("{streams} streams, {unary} unary answers and {refusals} refusals read");
        let skipped =
            read.iter().filter_map(|read| if let Read::Skipped(why) = read { Some(&**why) } else { None });
        println!("skipped, no endpoint of ours: {}", skipped.collect::<Vec<_>>().join(", "));
        assert!(streams > 0 && unary > 0);
    }

    /// With these a provider counts what the request does not have: instructions for tools, media, what it keeps,
    /// what it found by itself.
    const ADDED_TO: [&str; 9] =
        ["tools", "functions", "schema", "json", "data:", "url", "_id", "safeguards", "encrypted"];

    /// Estimates of prompts and a quarter of their bytes, both in hundredths of what the provider counted, sorted.
    fn estimates(folder: &Path) -> [Vec<u64>; 2] {
        let (mut estimates, mut quarters) = (Vec::new(), Vec::new());
        for recording in recordings(folder).iter().filter(|recording| recording.status < 400) {
            let Ok(surface) = recording.surface() else { continue };
            let body = recording.request["body"].to_string();
            let counted = expected_usage(&recording.answer(surface)).map_or(0, |used| used[..3].iter().sum());
            if counted == 0
                || !recording.request["body"].is_object()
                || ADDED_TO.iter().any(|word| body.contains(word))
            {
                continue;
            }
            estimates.push(llm::estimate_prompt(surface.family(), body.as_bytes()) * 100 / counted);
            quarters.push(body.len() as u64 / 4 * 100 / counted);
        }
        estimates.sort_unstable();
        quarters.sort_unstable();
        [estimates, quarters]
    }

    #[test]
    fn prompts_are_estimated_near_what_their_providers_counted() {
        let Some(folder) = folder() else {
            println!("skipped: no corpus");
            return;
        };
        let [estimates, quarters] = estimates(&folder);
        let at = |sorted: &[u64], part: usize| sorted[sorted.len() * part / 4];
        let [low, middle, high] = [1, 2, 3].map(|part| at(&estimates, part));
        println!(
            "{} prompts: half are estimated at {low} to {high} % of what was counted, the middle at {middle} %; \
             a quarter of the bytes would be {} %",
            estimates.len(),
            at(&quarters, 2)
        );
        assert!(estimates.len() >= 20, "{}", estimates.len());
        assert!((80..=125).contains(&middle) && low >= 60 && high <= 160, "{low} {middle} {high}");
    }
}
