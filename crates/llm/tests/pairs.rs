//! Every recorded exchange, translated for the callers of every dialect: what was asked and what was
//! answered must be the same on the other side. Recordings lie wherever they do on this machine; without
//! them the test says that it was skipped.

#[cfg(test)]
mod quirks;
#[cfg(test)]
mod recordings;

#[cfg(test)]
mod recorded {
    use llm::codec::{Addressed, Asked, Source, Target};
    use llm::neutral::{
        Block, Delta, Dialect, Event, Losses, Part, PartKind, Reply, Request, Stop, ToolCall, ToolCallKind,
        ToolKind, Turn,
    };
    use llm::{Quirks, codec};
    use serde_json::Value;

    use crate::quirks::quirks_of;
    use crate::recordings::{folder, read};

    /// Folders of the corpus, and the dialect within.
    const FOLDERS: [(&str, Dialect); 9] = [
        ("openai-chat", Dialect::OpenAiChat),
        ("azure-openai", Dialect::OpenAiChat),
        ("openai-compat", Dialect::OpenAiChat),
        ("anthropic-messages", Dialect::AnthropicMessages),
        ("openai-responses", Dialect::OpenAiResponses),
        ("openai-responses-compat", Dialect::OpenAiResponses),
        ("azure-responses", Dialect::OpenAiResponses),
        ("gemini", Dialect::Gemini),
        ("vertex-gemini", Dialect::Gemini),
    ];

    /// Those in which callers call.
    const CALLERS: [Dialect; 4] =
        [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::AnthropicMessages, Dialect::Gemini];

    /// What every dialect can say of an answer.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Said {
        words: String,
        calls: Vec<(String, Value)>,
        thought: bool,
        stop: &'static str,
        input: u64,
        output: u64,
    }

    impl Said {
        fn add(&mut self, part: &Part) {
            match &part.block {
                Block::Text(text) => self.words.push_str(&text.text),
                Block::Refusal(text) => self.words.push_str(text),
                Block::Reasoning(thoughts) => {
                    self.thought |= !thoughts.text.is_empty() || !thoughts.summary.concat().is_empty();
                }
                Block::ToolCall(call) => self.calls.push((call.name.clone(), args_of(call))),
                _ => {}
            }
        }

        fn end(&mut self, stop: &Stop) {
            self.stop = match stop {
                Stop::Length | Stop::ContextFull => "length",
                Stop::Filter | Stop::Refusal => "refused",
                Stop::MalformedTool => "malformed",
                _ if !self.calls.is_empty() => "tools",
                _ => "end",
            };
        }

        fn of_reply(reply: &Reply) -> Self {
            let mut said = Self::default();
            if let Some(choice) = reply.choices.first() {
                choice.parts.iter().for_each(|part| said.add(part));
                said.end(&choice.stop);
            }
            if let Some(used) = &reply.usage {
                (said.input, said.output) = (used.counters.total_input(), used.counters.output);
            }
            said
        }

        fn of_events(events: &[Event]) -> Result<Self, String> {
            let mut said = Self::default();
            let mut calls: Vec<(u32, String, String)> = Vec::new();
            let (mut foreign, mut stop, mut ended) = (Vec::new(), Stop::End, false);
            for event in events {
                match event {
                    Event::PartStart { part, choice, .. } if *choice > 0 => foreign.push(*part),
                    Event::PartStart { part, kind: PartKind::ToolCall(call), .. } => {
                        calls.push((*part, call.name.clone(), call.args.clone()));
                    }
                    Event::PartStart { kind: PartKind::Whole(part), .. } => said.add(part),
                    Event::Delta { part, .. } if foreign.contains(part) => {}
                    Event::Delta { delta: Delta::Text(text) | Delta::Refusal(text), .. } => {
                        said.words.push_str(text);
                    }
                    Event::Delta { delta: Delta::Thought(text) | Delta::Summary(_, text), .. } => {
                        said.thought |= !text.is_empty();
                    }
                    Event::Delta { part, delta: Delta::Args(more) } => {
                        let call = calls.iter_mut().find(|(own, ..)| own == part);
                        call.ok_or("arguments of no call")?.2.push_str(more);
                    }
                    Event::Finish { choice: 0, stop: why, .. } => stop = why.clone(),
                    Event::Usage(used) => {
                        (said.input, said.output) = (used.counters.total_input(), used.counters.output);
                    }
                    Event::Error(failure) => return Err(failure.message.clone()),
                    Event::End => ended = true,
                    _ => {}
                }
            }
            said.calls = calls.into_iter().map(|(_, name, text)| (name, args(&text))).collect();
            said.end(&stop);
            if ended { Ok(said) } else { Err("cut short".to_owned()) }
        }
    }

    /// Free text is the one argument of the function that stands for a custom tool.
    fn args_of(call: &ToolCall) -> Value {
        match call.kind {
            ToolCallKind::Function => args(&call.args),
            ToolCallKind::Custom => serde_json::json!({"input": call.args}),
        }
    }

    fn args(text: &str) -> Value {
        let text = if text.trim().is_empty() { "{}" } else { text };
        serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
    }

    fn asked() -> Asked {
        Asked { model: "m".into(), include_usage: true, choices: 1, id: "x1".into(), ..Asked::default() }
    }

    fn events_of(dialect: Dialect, quirks: &Quirks, bytes: &[u8]) -> Vec<Event> {
        let source = Source { quirks, choices: 1 };
        let mut decoder = codec(dialect).expect("a codec").stream_decoder(&source);
        let mut events = Vec::new();
        decoder.push(bytes, &mut events).expect("it can be read");
        decoder.finish(&mut events);
        events
    }

    /// The stream as callers of `caller` get it, read again.
    fn told(caller: Dialect, events: &[Event]) -> (Result<Said, String>, String) {
        let mut encoder = codec(caller).expect("a codec").stream_encoder(&asked());
        let mut out = Vec::new();
        events.iter().cloned().for_each(|event| encoder.encode(event, &mut out));
        let again = events_of(caller, &Quirks::default(), &out);
        (Said::of_events(&again), String::from_utf8_lossy(&out).into_owned())
    }

    fn check_stream(id: &str, dialect: Dialect, quirks: &Quirks, text: &str) {
        let events = events_of(dialect, quirks, text.as_bytes());
        let first = Said::of_events(&events);
        for caller in CALLERS {
            let (mut second, out) = told(caller, &events);
            restated(caller == dialect, &first, &mut second);
            same(id, caller, &first, &second, &out);
        }
    }

    /// The own dialect keeps the figures as they were stated, in the conventions of their maker; and where
    /// none were, some dialects state an estimate.
    fn restated(own: bool, first: &Result<Said, String>, second: &mut Result<Said, String>) {
        if let (Ok(first), Ok(second)) = (first, second)
            && (own || first.input + first.output == 0)
        {
            (second.input, second.output) = (first.input, first.output);
        }
    }

    fn same(
        id: &str,
        caller: Dialect,
        first: &Result<Said, String>,
        second: &Result<Said, String>,
        out: &str,
    ) {
        // A call that nobody can read is an error for callers of every dialect that has no word for it.
        if first.as_ref().is_ok_and(|said| said.stop == "malformed") {
            return;
        }
        // OpenAI's dialects have no word for a refusal that says nothing, or says it as text.
        let mut first = first.as_ref().map_err(Clone::clone).cloned();
        let openai = matches!(caller, Dialect::OpenAiChat | Dialect::OpenAiResponses);
        if let (Ok(first), Ok(second)) = (&mut first, second)
            && openai
            && first.stop == "refused"
        {
            first.stop = second.stop;
        }
        let first = &first;
        let cut: String = out.chars().take(2_000).collect();
        assert_eq!(first, second, "{id} for callers of {}:\n{cut}", caller.name());
    }

    fn check_reply(id: &str, dialect: Dialect, quirks: &Quirks, body: &Value) {
        let source = Source { quirks, choices: 1 };
        let text = serde_json::to_string(body).expect("JSON");
        let Ok(reply) = codec(dialect).expect("a codec").decode_reply(&text, &source) else {
            return;
        };
        let first = Ok(Said::of_reply(&reply));
        for caller in CALLERS {
            let own = codec(caller).expect("a codec");
            let out = own.encode_reply(&reply, &asked(), &mut Losses::default());
            let out = String::from_utf8(out).expect("text");
            let again = own.decode_reply(&out, &Source { quirks: &Quirks::default(), choices: 1 });
            let mut second = again.map(|reply| Said::of_reply(&reply)).map_err(|r| r.message.to_string());
            restated(caller == dialect, &first, &mut second);
            same(id, caller, &first, &second, &out);
        }
    }

    /// What every dialect can say of a request.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Wanted {
        calls: Vec<(String, Value)>,
        results: usize,
        tools: Vec<String>,
        words: Vec<String>,
        most: Option<u64>,
    }

    impl Wanted {
        fn of(request: &Request) -> Self {
            let mut wanted = Self::default();
            request.instructions.iter().chain(&request.turns).for_each(|turn| wanted.turn(turn));
            let functions = request
                .tools
                .iter()
                .filter(|tool| matches!(tool.kind, ToolKind::Function | ToolKind::Custom(_)));
            wanted.tools = functions.map(|tool| tool.name.clone()).collect();
            wanted.most = request.max_output;
            wanted.words.sort_unstable();
            wanted
        }

        fn turn(&mut self, turn: &Turn) {
            for part in &turn.parts {
                match &part.block {
                    // Claude Code's bookkeeping is Anthropic's alone.
                    Block::Text(text) if !text.text.starts_with("x-anthropic-billing-header:") => {
                        self.words.extend(text.text.split_whitespace().map(str::to_owned));
                    }
                    Block::ToolCall(call) => self.calls.push((call.name.clone(), args_of(call))),
                    Block::ToolResult(_) => self.results += 1,
                    _ => {}
                }
            }
        }
    }

    fn check_request(id: &str, dialect: Dialect, body: &Value) -> bool {
        let text = serde_json::to_string(body).expect("JSON");
        let addressed = Addressed { model: "m", stream: false };
        let Ok(request) = codec(dialect).expect("a codec").decode_request(&text, &addressed) else {
            return false;
        };
        let first = Wanted::of(&request);
        for target in CALLERS {
            let quirks = Quirks::default();
            let account =
                Target { provider: "openai", model: "m", quirks: &quirks, clamp: None, max_output: 4096 };
            let mut losses = Losses::default();
            let own = codec(target).expect("a codec");
            let Ok(out) = own.encode_request(&request, &account, &mut losses) else {
                continue;
            };
            let out = String::from_utf8(out).expect("text");
            let again = own.decode_request(&out, &addressed).expect(id);
            let mut second = Wanted::of(&again);
            if first.most.is_none() || first.most < Some(16) {
                second.most = first.most;
            }
            let whole = first.words.iter().all(|word| second.words.contains(word));
            assert!(whole, "{id} at {}: words are lost", target.name());
            let mut first = Wanted { words: Vec::new(), ..first.clone() };
            second.words.clear();
            // A result without its call is told in words.
            first.results = first.results.min(second.results);
            assert_eq!(first, second, "{id} at {}", target.name());
        }
        true
    }

    #[test]
    fn recorded_exchanges_mean_the_same_in_every_dialect() {
        let Some(folder) = folder() else {
            println!("skipped: no corpus");
            return;
        };
        let index = read(&folder.join("index.json"));
        let (mut streams, mut unary, mut requests) = (0, 0, 0);
        for item in index["items"].as_array().expect("a list") {
            let text = |name: &str| item[name].as_str().unwrap_or_default();
            let Some((_, dialect)) = FOLDERS.iter().find(|(name, _)| *name == text("dialect")) else {
                continue;
            };
            let path = text("path").split('?').next().unwrap_or_default();
            let ours = ["/chat/completions", "/messages", "/responses", ":generateContent"];
            let ours =
                path.is_empty() || ours.iter().any(|end| path.ends_with(end)) || path.contains(":stream");
            if !ours || ["openai-completions-006", "anthropic-messages-061"].contains(&text("id")) {
                continue;
            }
            let file = read(&folder.join(text("file")));
            let (id, quirks) = (text("id"), quirks_of(text("vendor")));
            if file["request"]["body"].is_object() && check_request(id, *dialect, &file["request"]["body"]) {
                requests += 1;
            }
            if item["status"].as_u64() != Some(200) {
                continue;
            }
            if let Some(stream) = file["response"]["sse"].as_str() {
                check_stream(id, *dialect, &quirks, stream);
                streams += 1;
            } else if file["response"]["body"].is_object() {
                check_reply(id, *dialect, &quirks, &file["response"]["body"]);
                unary += 1;
            }
        }
        println!("{requests} requests, {streams} streams and {unary} whole answers");
        assert!(requests > 0 && streams > 0 && unary > 0);
    }

    #[test]
    fn what_clients_send_is_accepted_for_every_provider() {
        let Some(folder) = folder() else {
            println!("skipped: no corpus");
            return;
        };
        let index = read(&folder.join("clients/index.json"));
        let mut seen = 0;
        for item in index["items"].as_array().expect("a list") {
            let path = item["path"].as_str().unwrap_or_default().split('?').next().unwrap_or_default();
            let dialect = match path {
                _ if path.ends_with("/chat/completions") => Dialect::OpenAiChat,
                "/v1/messages" => Dialect::AnthropicMessages,
                "/v1/responses" => Dialect::OpenAiResponses,
                _ if path.ends_with("enerateContent") => Dialect::Gemini,
                _ => continue,
            };
            let name = item["file"].as_str().unwrap_or_default();
            let body = &read(&folder.join(name))["request"]["body"];
            if body.is_object() {
                assert!(check_request(name, dialect, body), "{name}");
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen}");
    }
}
