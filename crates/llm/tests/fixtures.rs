//! Replays the project's own fixtures, in every line ending and cut everywhere.

#[cfg(test)]
mod replay;

#[cfg(test)]
mod own {
    use std::path::Path;

    use bytes::Bytes;
    use llm::{Quirks, Surface};
    use model::Usage;

    use crate::replay::{Answer, Outcome};

    const CLEAN: Quirks = Quirks { takes_include_usage: true, ..Quirks::NONE };
    const ENDS_WITHOUT_DONE: Quirks = Quirks { ends_without_done: true, ..CLEAN };

    fn answer(file: &str, surface: Surface, quirks: Quirks, choices: u32) -> Answer {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(file);
        Answer {
            name: file.to_owned(),
            surface,
            quirks,
            choices,
            streamed: file.ends_with(".sse"),
            bytes: Bytes::from(std::fs::read(path).unwrap()),
        }
    }

    /// Checks a stream with every line ending, and returns what was the same with all of them.
    fn stream(file: &str, surface: Surface, quirks: Quirks, choices: u32) -> Outcome {
        let mut original = answer(file, surface, quirks, choices);
        let text = String::from_utf8(original.bytes.to_vec()).unwrap();
        let expected = original.check(false);
        for ending in ["\r\n", "\r"] {
            original.bytes = Bytes::from(text.replace('\n', ending));
            let other = original.check(false);
            assert_eq!(Outcome { out: Vec::new(), ..other }, Outcome { out: Vec::new(), ..expected.clone() });
        }
        expected
    }

    fn unary(file: &str, surface: Surface) -> Outcome {
        answer(file, surface, CLEAN, 1).check(false)
    }

    /// Input, cache read, cache writes (5 m, 1 h), output, reasoning, searches.
    fn figures(outcome: &Outcome) -> Option<[u64; 7]> {
        let figures = |u: Usage| {
            [u.input, u.cache_read, u.cache_write_5m, u.cache_write_1h, u.output, u.reasoning, u.web_searches]
        };
        outcome.usage.map(figures)
    }

    #[test]
    fn a_chat_stream_is_read_and_passes_untouched() {
        let read = stream("openai-chat/story.sse", Surface::ChatCompletions, CLEAN, 1);
        assert!(read.complete && read.content_begun && read.failure.is_none());
        assert_eq!(figures(&read), Some([10, 20, 0, 0, 12, 4, 0]));
        let written = r#"A \"usage\": of \\ tides — ünd 潮"#.len() as u64;
        assert_eq!(read.content_bytes, written);
    }

    #[test]
    fn only_the_usage_chunk_is_cut_out_whatever_the_line_ending() {
        let mut story = answer("openai-chat/story.sse", Surface::ChatCompletions, CLEAN, 1);
        let text = String::from_utf8(story.bytes.to_vec()).unwrap();
        for ending in ["\n", "\r\n", "\r"] {
            let kept: String =
                text.split_inclusive("\n\n").filter(|e| !e.contains("\"choices\":[],")).collect();
            story.bytes = Bytes::from(text.replace('\n', ending));
            let read = story.check(true);
            assert_eq!(String::from_utf8(read.out).unwrap(), kept.replace('\n', ending));
            assert_eq!(read.usage.map(|usage| usage.output), Some(12));
        }
        let cut_short = text.rfind("\n\ndata: [DONE]").unwrap();
        story.bytes = Bytes::from(text[..cut_short].to_owned());
        assert!(!String::from_utf8(story.check(true).out).unwrap().contains("prompt_tokens"));
    }

    #[test]
    fn long_events_are_not_held_back() {
        let story = answer("openai-chat/story.sse", Surface::ChatCompletions, CLEAN, 1);
        let mut scanner = story.scanner(true);
        let begin =
            Bytes::from(format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}", "x".repeat(70_000)));
        assert_eq!(scanner.push(begin.clone()).unwrap(), begin);
        let rest = Bytes::from_static(
            b"\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n: x\n\n",
        );
        assert_eq!(scanner.push(rest).unwrap(), "\"}}]}\n\n: x\n\n");
        assert_eq!(scanner.flush(), "");
    }

    #[test]
    fn every_choice_must_finish_where_no_marker_comes() {
        let file = "openai-chat/tools-two-choices.sse";
        let chat = Surface::ChatCompletions;
        assert!(stream(file, chat, ENDS_WITHOUT_DONE, 2).complete);
        assert!(!stream(file, chat, ENDS_WITHOUT_DONE, 3).complete);
        assert!(!stream(file, chat, CLEAN, 2).complete);
        let mut cut = answer(file, chat, ENDS_WITHOUT_DONE, 2);
        let last = cut.bytes.len() - 80;
        cut.bytes.truncate(last);
        assert!(!cut.check(false).complete);
        assert_eq!(stream(file, chat, CLEAN, 2).usage, None);
    }

    #[test]
    fn prompt_filters_and_roles_are_not_content() {
        let chat = answer("openai-chat/tools-two-choices.sse", Surface::ChatCompletions, CLEAN, 2);
        let text = String::from_utf8(chat.bytes.to_vec()).unwrap();
        let mut scanner = chat.scanner(false);
        let begun: Vec<bool> = text
            .split_inclusive("\n\n")
            .map(|event| {
                scanner.push(Bytes::copy_from_slice(event.as_bytes())).unwrap();
                scanner.content_begun()
            })
            .collect();
        assert_eq!(begun, [false, false, true, true, true, true, true]);
    }

    #[test]
    fn responses_streams_are_read_by_the_type_within() {
        let read = stream("openai-responses/story.sse", Surface::Responses, CLEAN, 1);
        assert_eq!(figures(&read), Some([6, 20, 4, 0, 12, 7, 0]));
        assert!(read.complete && read.content_begun && read.failure.is_none());
        assert_eq!(read.content_bytes, "The moon — 潮".len() as u64);
        let read = stream("openai-responses/nameless.sse", Surface::Responses, CLEAN, 1);
        assert_eq!(figures(&read), Some([3, 0, 0, 0, 2, 0, 0]));
        assert!(read.complete && read.content_begun);
        let read = stream("openai-responses/failing.sse", Surface::Responses, CLEAN, 1);
        assert_eq!(read.failure.as_deref(), Some("Slow down"));
        assert!(!read.content_begun && !read.complete);
    }

    #[test]
    fn gemini_streams_end_when_every_candidate_does() {
        let content = Surface::StreamGenerateContent;
        let read = stream("gemini/story.sse", content, CLEAN, 1);
        assert_eq!(figures(&read), Some([6, 4, 0, 0, 10, 2, 0]));
        assert!(read.complete && read.content_begun && read.failure.is_none());
        assert!(!stream("gemini/story.sse", content, CLEAN, 2).complete);
        let read = stream("gemini/blocked.sse", content, CLEAN, 1);
        assert!(read.complete && read.content_begun);
        let read = stream("gemini/failing.sse", content, CLEAN, 1);
        assert_eq!(read.failure.as_deref(), Some("The model is overloaded."));
        assert!(!read.complete);
    }

    #[test]
    fn gemini_arrays_are_read_wherever_they_are_cut() {
        let bytes = answer("gemini/story.array", Surface::StreamGenerateContent, CLEAN, 1).bytes;
        for size in 1..=bytes.len() {
            let mut scanner = llm::Scanner::array(Surface::StreamGenerateContent, &CLEAN, 1);
            let mut out = Vec::new();
            for piece in bytes.chunks(size) {
                out.extend_from_slice(&scanner.push(Bytes::copy_from_slice(piece)).unwrap());
            }
            assert_eq!((&out[..], scanner.is_complete()), (&bytes[..], true), "{size}");
            assert_eq!(scanner.usage().map(|usage| (usage.input, usage.output)), Some((10, 4)));
        }
        let mut cut = llm::Scanner::array(Surface::StreamGenerateContent, &CLEAN, 1);
        cut.push(bytes.slice(..bytes.len() - 3)).unwrap();
        assert!(!cut.is_complete());
    }

    #[test]
    fn failures_within_a_stream_are_seen() {
        let read = stream("openai-chat/failing.sse", Surface::ChatCompletions, CLEAN, 1);
        assert_eq!(read.failure.as_deref(), Some("The model ran out of breath"));
        assert!(read.content_begun && !read.complete);
        let read = stream("openai-chat/refused-at-once.sse", Surface::ChatCompletions, CLEAN, 1);
        assert_eq!(read.failure.as_deref(), Some("Slow down"));
        assert!(!read.content_begun && !read.complete && read.usage.is_none());
        let read = stream("anthropic/overloaded.sse", Surface::Messages, CLEAN, 1);
        assert_eq!(read.failure.as_deref(), Some("Overloaded"));
        assert!(!read.content_begun && !read.complete);
    }

    #[test]
    fn usage_is_found_where_providers_put_it_and_nothing_counts_after_the_end() {
        let read = stream("openai-chat/usage-in-odd-places.sse", Surface::ChatCompletions, CLEAN, 1);
        assert_eq!(figures(&read), Some([8, 0, 0, 0, 2, 0, 0]));
        assert!(read.complete);
    }

    #[test]
    fn messages_streams_are_read_by_name_and_by_type() {
        let read = stream("anthropic/thinking.sse", Surface::Messages, CLEAN, 1);
        assert_eq!(figures(&read), Some([10, 200, 10, 20, 57, 40, 3]));
        assert!(read.complete && read.content_begun);
        assert_eq!(read.content_bytes, "The moon pulls".len() as u64);
        let read = stream("anthropic/nameless.sse", Surface::Messages, CLEAN, 1);
        assert_eq!(figures(&read), Some([4, 0, 0, 0, 2, 0, 0]));
        assert!(read.complete && read.content_begun);
        assert_eq!(read.content_bytes, 5);
    }

    #[test]
    fn unary_answers_are_read() {
        for (file, surface, usage) in [
            ("openai-chat/answer.json", Surface::ChatCompletions, Some([3, 2, 0, 0, 6, 0, 0])),
            ("openai-other/embeddings.json", Surface::Embeddings, Some([7, 0, 0, 0, 0, 0, 0])),
            ("openai-other/moderation.json", Surface::Moderations, None),
            ("openai-other/rerank-units.json", Surface::Rerank, Some([0; 7])),
            ("openai-other/rerank-tokens.json", Surface::Rerank, Some([815, 0, 0, 0, 0, 0, 0])),
            ("anthropic/answer.json", Surface::Messages, Some([3, 0, 5, 0, 2, 0, 0])),
            ("anthropic/count.json", Surface::CountTokens, None),
            ("openai-responses/answer.json", Surface::Responses, Some([3, 2, 0, 0, 6, 0, 0])),
            ("gemini/answer.json", Surface::GenerateContent, Some([3, 0, 0, 0, 2, 0, 0])),
            ("gemini/embedding.json", Surface::EmbedContent, None),
            ("gemini/count.json", Surface::GeminiCountTokens, None),
        ] {
            let read = unary(file, surface);
            assert_eq!(figures(&read), usage, "{file}");
            assert!(read.complete && read.content_begun && read.failure.is_none(), "{file}");
        }
    }

    #[test]
    fn errors_within_a_200_are_seen() {
        for (file, message) in [
            ("openai-chat/error-with-200.json", "No endpoints found"),
            ("openai-chat/base-resp.json", "insufficient balance"),
            ("openai-chat/flat-error.json", "max_tokens too large"),
        ] {
            let read = unary(file, Surface::ChatCompletions);
            assert_eq!(read.failure.as_deref(), Some(message));
            assert!(!read.content_begun && read.usage.is_none(), "{file}");
        }
    }
}
