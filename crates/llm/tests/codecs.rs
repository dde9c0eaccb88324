//! Every recorded exchange of a dialect that has a codec is read, written in its own dialect and read
//! again: what was read must be the same.

#[cfg(test)]
mod quirks;
#[cfg(test)]
mod recordings;

#[cfg(test)]
mod recorded {
    use llm::codec::{Addressed, Asked, Source, Target};
    use llm::neutral::{
        Block, Delta, Dialect, Event, Ext, Format, Losses, Part, PartKind, Reasoning, Reply, Request, Text,
        ToolCall,
    };
    use llm::{Quirks, codec, provider};
    use serde_json::Value;

    use crate::quirks::quirks_of;
    use crate::recordings::{folder, read};

    /// Folders of the corpus, and the dialect within.
    const FOLDERS: [(&str, Dialect); 5] = [
        ("openai-chat", Dialect::OpenAiChat),
        ("azure-openai", Dialect::OpenAiChat),
        ("openai-compat", Dialect::OpenAiChat),
        ("anthropic-messages", Dialect::AnthropicMessages),
        ("bedrock-invoke", Dialect::AnthropicMessages),
    ];

    /// The same request without what only says how it was grouped, and with every value in one spelling.
    fn plain_request(mut request: Request) -> Request {
        request.include_usage = false;
        // The name is demanded.
        if let Format::Schema { name, .. } = &mut request.format {
            name.get_or_insert_with(|| "response".to_owned());
        }
        // Vendors have many words for the same wish.
        let effort = request.reasoning.is_wanted().then(|| request.reasoning.effort()).flatten();
        request.reasoning = llm::neutral::ReasoningWish::default();
        request.reasoning.effort = effort.filter(|effort| *effort != llm::neutral::Effort::Medium);
        request.instructions.iter_mut().chain(&mut request.turns).for_each(|turn| turn.place = 0);
        request
    }

    /// How the request reads again when it is written for an account that takes everything.
    fn again(dialect: Dialect, request: &Request) -> Result<(Request, Losses), String> {
        let codec = codec(dialect).expect("a codec");
        let quirks = Quirks {
            takes_cache_marks: true,
            reasoning_replay: provider::ReasoningReplay::Details,
            ..Quirks::default()
        };
        let target = Target {
            provider: if request.sampling.top_k.is_some() { "vendor" } else { "openai" },
            // A name that no rule of a model is about.
            model: "a-model",
            quirks: &quirks,
            clamp: None,
            max_output: 4096,
        };
        let mut losses = Losses::default();
        let written =
            codec.encode_request(request, &target, &mut losses).map_err(|r| r.message.to_string())?;
        let text = String::from_utf8(written).expect("text");
        let mut again = codec
            .decode_request(&text, &Addressed { model: &request.model, stream: request.stream })
            .map_err(|r| r.message.to_string())?;
        again.model.clone_from(&request.model);
        Ok((again, losses))
    }

    /// A stream as the answer that it amounts to.
    fn gathered(events: &[Event]) -> Result<Reply, String> {
        let mut reply = Reply::default();
        let mut parts: Vec<(u32, u32, Part)> = Vec::new();
        let mut ended = false;
        for event in events {
            match event {
                Event::Start { id, model } => (reply.id, reply.model) = (id.clone(), model.clone()),
                Event::PartStart { part, choice, kind } => {
                    let block = match kind {
                        PartKind::Text => Block::Text(Text::default()),
                        PartKind::Reasoning => Block::Reasoning(Reasoning::default()),
                        PartKind::ToolCall(call) => Block::ToolCall(call.clone()),
                        PartKind::Refusal => Block::Refusal(String::new()),
                        PartKind::Whole(part) => part.block.clone(),
                    };
                    parts.push((*part, *choice, block.into()));
                }
                Event::Delta { part, delta } => {
                    let (.., target) =
                        parts.iter_mut().find(|(own, ..)| own == part).ok_or("a delta without a part")?;
                    add(&mut target.block, delta)?;
                }
                Event::PartStop { part } => {
                    parts.iter().find(|(own, ..)| own == part).ok_or("a stop without a part")?;
                }
                Event::Finish { choice, stop, native } => {
                    let own =
                        parts.extract_if(.., |(_, of, _)| of == choice).map(|(.., part)| part).collect();
                    reply.choices.push(llm::neutral::Choice {
                        index: *choice,
                        parts: own,
                        stop: stop.clone(),
                        native: native.clone(),
                        logprobs: None,
                        ext: Ext::default(),
                    });
                }
                Event::Usage(used) => reply.usage = Some(used.clone()),
                Event::Tier(tier) => reply.tier = Some(tier.clone()),
                Event::Error(failure) => return Err(failure.message.clone()),
                Event::Aside(_) | Event::Ping => {}
                Event::End => ended = true,
            }
        }
        assert!(parts.is_empty() || !ended, "parts without an end: {parts:?}");
        if ended { Ok(reply) } else { Err("cut short".to_owned()) }
    }

    fn add(block: &mut Block, delta: &Delta) -> Result<(), String> {
        match (block, delta) {
            (Block::Text(text), Delta::Text(more)) => text.text.push_str(more),
            (Block::Text(text), Delta::Citation(citation)) => text.citations.push((**citation).clone()),
            (Block::Reasoning(thoughts), Delta::Thought(more) | Delta::Summary(_, more)) => {
                thoughts.text.push_str(more);
            }
            (Block::Reasoning(Reasoning { opaque, .. }), Delta::Opaque(seal))
            | (Block::ToolCall(ToolCall { opaque, .. }), Delta::Opaque(seal)) => match opaque.last_mut() {
                Some(last) if last.kind == seal.kind && last.origin == seal.origin => {
                    last.data.push_str(&seal.data);
                }
                _ => opaque.push(seal.clone()),
            },
            (Block::ToolCall(call), Delta::Args(more)) => call.args.push_str(more),
            (Block::Refusal(text), Delta::Refusal(more)) => text.push_str(more),
            (block, delta) => return Err(format!("{delta:?} in {block:?}")),
        }
        Ok(())
    }

    /// Without what depends on how an answer is cut or grouped.
    fn plain(mut reply: Reply) -> Reply {
        (reply.ext, reply.aside) = (Ext::default(), Vec::new());
        reply.created = None;
        reply.tier = None;
        if let Some(used) = &mut reply.usage {
            used.ext = Ext::default();
        }
        for choice in &mut reply.choices {
            choice.ext = Ext::default();
            choice.native = None;
            for part in &mut choice.parts {
                if let Block::ToolCall(call) = &mut part.block
                    && call.args.trim().is_empty()
                {
                    call.args = "{}".to_owned();
                }
            }
        }
        reply
    }

    /// Fails with the place where the two differ; whole conversations say nothing to a reader.
    fn same<T: PartialEq + std::fmt::Debug>(id: &str, first: &T, second: &T) {
        if first == second {
            return;
        }
        let (first, second) = (format!("{first:?}"), format!("{second:?}"));
        let at = first.bytes().zip(second.bytes()).position(|(a, b)| a != b).unwrap_or(0);
        let near = |text: &str| {
            let bytes = &text.as_bytes()[at.saturating_sub(200)..text.len().min(at + 200)];
            String::from_utf8_lossy(bytes).into_owned()
        };
        panic!("{id}:\n first: {}\nsecond: {}", near(&first), near(&second));
    }

    fn asked(model: &str) -> Asked {
        Asked { model: model.to_owned(), include_usage: true, choices: 1, id: "x".into(), ..Asked::default() }
    }

    fn events_of(dialect: Dialect, quirks: &Quirks, choices: u32, bytes: &[u8], piece: usize) -> Vec<Event> {
        let source = Source { quirks, choices };
        let mut decoder = codec(dialect).expect("a codec").stream_decoder(&source);
        let mut events = Vec::new();
        for chunk in bytes.chunks(piece) {
            decoder.push(chunk, &mut events).expect("it can be read");
        }
        decoder.finish(&mut events);
        events
    }

    fn check_stream(id: &str, dialect: Dialect, quirks: &Quirks, choices: u32, text: &str) {
        let events = events_of(dialect, quirks, choices, text.as_bytes(), usize::MAX);
        assert_eq!(events, events_of(dialect, quirks, choices, text.as_bytes(), 7), "{id}: cut");
        let first = gathered(&events);
        let mut encoder = codec(dialect).expect("a codec").stream_encoder(&asked("m"));
        let mut out = Vec::new();
        events.into_iter().for_each(|event| encoder.encode(event, &mut out));
        let again = events_of(dialect, &Quirks::default(), choices, &out, usize::MAX);
        let second = gathered(&again);
        match (first, second) {
            (Ok(first), Ok(second)) => {
                let (mut first, mut second) = (plain(first), plain(second));
                if first.usage.is_none() || quirks != &Quirks::default() {
                    (first.usage, second.usage) = (None, None);
                }
                first.choices.iter_mut().chain(&mut second.choices).for_each(|choice| {
                    // Chat has one text and one list of calls.
                    choice
                        .parts
                        .retain(|part| !matches!(&part.block, Block::Text(text) if text.text.is_empty()));
                });
                first.id.clear();
                second.id.clear();
                same(id, &first, &second);
            }
            (Err(first), Err(second)) => assert_eq!(first, second, "{id}"),
            (first, second) => panic!("{id}: {first:?}\n{second:?}\n{}", String::from_utf8_lossy(&out)),
        }
    }

    fn check_reply(id: &str, dialect: Dialect, quirks: &Quirks, body: &Value) {
        let codec = codec(dialect).expect("a codec");
        let source = Source { quirks, choices: 1 };
        let text = serde_json::to_string(body).expect("JSON");
        let Ok(reply) = codec.decode_reply(&text, &source) else {
            println!("{id}: not an answer");
            return;
        };
        let mut losses = Losses::default();
        let out = codec.encode_reply(&reply, &asked(&reply.model), &mut losses);
        let out = String::from_utf8(out).expect("text");
        let again = codec.decode_reply(&out, &source).expect(id);
        let (mut first, mut second) = (plain(reply), plain(again));
        first.id.clear();
        second.id.clear();
        same(id, &first, &second);
        if dialect == Dialect::AnthropicMessages {
            assert!(losses.is_empty(), "{id}: {losses:?}");
        }
    }

    fn check_request(id: &str, dialect: Dialect, body: &Value) {
        let codec = codec(dialect).expect("a codec");
        let text = serde_json::to_string(body).expect("JSON");
        let addressed = Addressed { model: "m", stream: false };
        if body["model"].as_str().is_none_or(str::is_empty) || !body["messages"].is_array() {
            return;
        }
        let request =
            codec.decode_request(&text, &addressed).unwrap_or_else(|r| panic!("{id}: {}", r.message));
        let (again, losses) = match again(dialect, &request) {
            Ok(again) => again,
            Err(why) => panic!("{id}: {why}"),
        };
        // What is not the same must have been said: a vendor's word that OpenAI does not know.
        if losses.is_empty() && dialect == Dialect::OpenAiChat {
            same(id, &plain_request(request), &plain_request(again));
        }
    }

    #[test]
    fn recorded_exchanges_survive_their_own_dialect() {
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
            let other =
                !path.is_empty() && !path.ends_with("/chat/completions") && !path.ends_with("/messages");
            if other || ["openai-completions-006", "anthropic-messages-061"].contains(&text("id")) {
                continue;
            }
            let file = read(&folder.join(text("file")));
            let quirks = quirks_of(text("vendor"));
            let id = text("id");
            if file["request"]["body"].is_object() {
                check_request(id, *dialect, &file["request"]["body"]);
                requests += 1;
            }
            if item["status"].as_u64() != Some(200) {
                continue;
            }
            let choices = file["request"]["body"]["n"].as_u64().map_or(1, |n| u32::try_from(n).unwrap_or(1));
            if let Some(stream) = file["response"]["sse"].as_str() {
                check_stream(id, *dialect, &quirks, choices, stream);
                streams += 1;
            } else if file["response"]["body"].is_object() {
                check_reply(id, *dialect, &quirks, &file["response"]["body"]);
                unary += 1;
            }
        }
        println!("{requests} requests, {streams} streams and {unary} whole answers");
        assert!(requests > 0 && streams > 0 && unary > 0);
    }
}
