//! Answers that upstreams send encoded although nobody asked for it.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use model::resource::KeyTerms;
use model::{Code, UsageSource};

use super::stage::{Stage, Step, Upstream, answer, run, stream_end, word};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn text_of(step: Step) -> String {
    let Step::Send(text) = step else { panic!("a step that sends text") };
    text.split_once("\r\n\r\n").map_or(text.clone(), |(_, body)| body.to_owned())
}

fn whole() -> String {
    text_of(answer())
}

/// An answer of `status` whose body is these bytes.
fn sent(status: u16, coding: &str, body: Vec<u8>) -> Vec<Step> {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-encoding: {coding}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    vec![Step::Send(head), Step::Bytes(body)]
}

#[test]
fn a_whole_answer_is_unpacked_metered_and_says_nothing_of_it() {
    run(async {
        for (coding, body) in
            [("gzip", gzip(&whole())), ("x-gzip", gzip(&whole())), ("deflate", zlib(&whole()))]
        {
            let upstream = Upstream::always(sent(200, coding, body));
            let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
            let mut caller = stage.call(false, "", "hi").await;
            caller.end().await;
            assert_eq!(caller.body(), whole(), "{coding}");
            assert!(!caller.text().contains("content-encoding"), "{}", caller.text());
            let record = stage.record().await;
            assert_eq!((record.status, record.code), (200, None), "{coding}");
            assert_eq!((record.usage.source, record.usage.total()), (UsageSource::Measured, 18), "{coding}");
        }
    });
}

/// A stream of three words as it is sent by a server that lets each event go at once.
fn encoded_events() -> (Vec<Vec<u8>>, String) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let (mut pieces, mut text) = (Vec::new(), String::new());
    for event in [word("one"), word("two"), word("three"), stream_end()] {
        let event = text_of(event);
        encoder.write_all(event.as_bytes()).unwrap();
        encoder.flush().unwrap();
        pieces.push(std::mem::take(encoder.get_mut()));
        text += &event;
    }
    pieces.push(encoder.finish().unwrap());
    (pieces, text)
}

fn stream_head() -> Step {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
    Step::Send(head.into())
}

#[test]
fn a_streams_events_come_when_they_are_sent() {
    run(async {
        let (pieces, text) = encoded_events();
        let mut script = vec![stream_head()];
        for piece in pieces {
            script.extend([Step::Bytes(piece), Step::Wait(1_000)]);
        }
        let upstream = Upstream::always(script);
        let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
        let mut caller = stage.call(true, "", "hi").await;
        for (at, word) in ["one", "two", "three", "[DONE]"].into_iter().enumerate() {
            assert_eq!(caller.until(word).await, 1_000 * at as u128, "{word}");
        }
        caller.end().await;
        let got = caller.text();
        for event in text.split_inclusive("\n\n") {
            assert!(got.contains(event), "{event} is not in {got}");
        }
        let record = stage.record().await;
        assert_eq!((record.status, record.code, record.usage.total()), (200, None, 18));
    });
}

/// A body without its framing, and whether that ended as it should.
fn dechunked(body: &str) -> (String, bool) {
    let (mut rest, mut text) = (body, String::new());
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (text, true);
        }
        let Some(chunk) = more.get(..size) else {
            return (text + more, false);
        };
        text += chunk;
        rest = more[size..].trim_start_matches("\r\n");
    }
    (text, false)
}

#[test]
fn a_stream_is_the_same_wherever_it_is_cut_and_never_whole_without_its_end() {
    let (pieces, text) = encoded_events();
    let whole = pieces.concat();
    for at in (1..whole.len()).step_by(3) {
        for is_sent_whole in [true, false] {
            run(async {
                let mut script = vec![stream_head(), Step::Bytes(whole[..at].to_vec())];
                if is_sent_whole {
                    script.extend([Step::Wait(10), Step::Bytes(whole[at..].to_vec())]);
                }
                let upstream = Upstream::always(script);
                let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
                let mut caller = stage.call(true, "", "hi").await;
                caller.end().await;
                let (body, ended) = dechunked(&caller.body());
                let record = stage.record().await;
                let is_whole = body.trim_end() == text.trim_end();
                if is_sent_whole {
                    assert!(ended && is_whole && record.code.is_none(), "cut at {at}: {body}");
                } else {
                    // Where only the last bytes of the encoding are missing, the caller has the whole answer.
                    assert!(is_whole || record.code.is_some(), "cut at {at}: {body}");
                    let is_explicit = !ended || body.contains("\"error\"");
                    assert!(is_whole || is_explicit, "cut at {at}: {body}");
                }
            });
        }
    }
}

#[test]
fn what_cannot_be_unpacked_is_no_answer() {
    run(async {
        let cut = {
            let mut body = gzip(&whole());
            body.truncate(body.len() - 4);
            body
        };
        for (coding, body) in [
            ("br", gzip(&whole())),
            ("zstd", gzip(&whole())),
            ("gzip, gzip", gzip(&whole())),
            ("gzip", whole().into_bytes()),
            ("gzip", cut),
        ] {
            let upstream = Upstream::always(sent(200, coding, body));
            let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
            let mut caller = stage.call(false, "", "hi").await;
            caller.end().await;
            assert!(caller.text().starts_with("HTTP/1.1 502"), "{coding}: {}", caller.text());
            let code = stage.record().await.code;
            assert!(matches!(code, Some(Code::UpstreamError | Code::UpstreamInvalidResponse)), "{code:?}");
        }
    });
}

#[test]
fn a_bomb_is_broken_off_before_it_is_unpacked() {
    run(async {
        let bomb = gzip(&format!("{}{}", " ".repeat(4 << 20), whole()));
        let upstream = Upstream::always(sent(200, "gzip", bomb));
        let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
        let mut caller = stage.call(false, "", "hi").await;
        caller.end().await;
        let (body, ended) = dechunked(&caller.body());
        assert!(!ended && body.len() < 2 << 20, "{} bytes, {ended}", body.len());
        let record = stage.record().await;
        assert_eq!(record.code, Some(Code::UpstreamInvalidResponse), "{:?}", record.cause);
        assert!(record.cause.is_some_and(|cause| cause.contains("too large")));
    });
}

#[test]
fn the_words_of_a_refusal_are_unpacked() {
    run(async {
        let words = r#"{"error":{"message":"temperature is out of range","type":"invalid_request_error"}}"#;
        let upstream = Upstream::always(sent(400, "gzip", gzip(words)));
        let stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
        let mut caller = stage.call(false, "", "hi").await;
        caller.end().await;
        assert!(caller.text().starts_with("HTTP/1.1 400"), "{}", caller.text());
        assert_eq!(caller.body(), words);
    });
}
