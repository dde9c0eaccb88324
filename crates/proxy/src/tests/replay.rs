//! `Idempotency-Key` on calls to models.

use std::sync::atomic::Ordering;

use model::resource::KeyTerms;
use model::{Code, UsageSource};

use super::stage::{Caller, Stage, Step, Upstream, answer, json, pass, run, stream_end, stream_head, word};

const KEY: &str = "idempotency-key: once\r\n";
const REPLAYED: &str = "x-yumen-idempotent-replayed: true";

fn opted_in() -> KeyTerms {
    KeyTerms { idempotency: true, ..KeyTerms::default() }
}

async fn ended(mut caller: Caller) -> Caller {
    caller.end().await;
    caller
}

#[test]
fn a_hundred_at_once_are_one_call_and_ninety_nine_replays_that_nobody_pays_for() {
    run(async {
        let upstream = Upstream::always(vec![Step::Wait(3_000), answer()]);
        let mut stage = Stage::new(opted_in(), &[(&upstream, None)]);
        let mut callers = Vec::new();
        for _ in 0..100 {
            callers.push(stage.call(false, KEY, "hi").await);
        }
        let mut replayed = 0;
        let mut bodies = std::collections::BTreeSet::new();
        for caller in callers {
            let caller = ended(caller).await;
            assert!(caller.text().starts_with("HTTP/1.1 200"), "{}", caller.text());
            replayed += usize::from(caller.text().contains(REPLAYED));
            bodies.insert(caller.body());
        }
        assert_eq!((upstream.requests(), replayed, bodies.len()), (1, 99, 1));
        let mut measured = 0;
        for _ in 0..100 {
            let record = stage.record().await;
            measured += usize::from(record.usage.source == UsageSource::Measured);
            assert_eq!(record.usage.source == UsageSource::None, record.attempts.is_empty());
        }
        assert_eq!(measured, 1);
    });
}

#[test]
fn a_finished_answer_is_replayed_byte_for_byte_streams_too() {
    run(async {
        for stream in [false, true] {
            let streamed = vec![stream_head(), word("a"), Step::Wait(15_000), word("b"), stream_end()];
            let upstream = Upstream::always(if stream { streamed } else { vec![answer()] });
            let stage = Stage::new(opted_in(), &[(&upstream, None)]);
            let first = ended(stage.call(stream, KEY, "hi").await).await;
            let second = ended(stage.call(stream, KEY, "hi").await).await;
            assert!(!first.text().contains(REPLAYED) && second.text().contains(REPLAYED));
            assert_eq!(upstream.requests(), 1);
            let plain = |caller: &Caller| unchunked(&caller.body()).replace(": keep-alive\n\n", "");
            assert_eq!(plain(&first), plain(&second));
            let kind = if stream { "text/event-stream" } else { "application/json" };
            assert!(second.text().contains(kind), "{}", second.text());
        }
    });
}

/// The content of a chunked body, or of one that is not.
fn unchunked(body: &str) -> String {
    let mut content = String::new();
    let mut rest = body;
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else { break };
        content.push_str(&tail[..size]);
        rest = tail.get(size + 2..).unwrap_or("");
    }
    if content.is_empty() { body.to_owned() } else { content }
}

#[test]
fn a_stream_that_waits_for_the_first_is_kept_alive_and_then_replayed() {
    run(async {
        let upstream =
            Upstream::always(vec![stream_head(), word("a"), Step::Wait(15_000), word("b"), stream_end()]);
        let mut stage = Stage::new(opted_in(), &[(&upstream, None)]);
        let first = stage.call(true, KEY, "hi").await;
        pass(100).await;
        let mut second = stage.call(true, KEY, "hi").await;
        assert_eq!(second.until(": keep-alive").await / 100, 100);
        let second = ended(second).await;
        let first = ended(first).await;
        let plain = |caller: &Caller| unchunked(&caller.body()).replace(": keep-alive\n\n", "");
        assert_eq!((plain(&first), upstream.requests()), (plain(&second), 1));
        let sources = [stage.record().await.usage.source, stage.record().await.usage.source];
        assert_eq!(sources, [UsageSource::Measured, UsageSource::None]);
    });
}

#[test]
fn another_body_under_the_same_key_is_refused_in_flight_and_afterwards() {
    run(async {
        let upstream = Upstream::always(vec![Step::Wait(3_000), answer()]);
        let mut stage = Stage::new(opted_in(), &[(&upstream, None)]);
        let first = stage.call(false, KEY, "hi").await;
        pass(100).await;
        let other = ended(stage.call(false, KEY, "ho").await).await;
        assert!(other.text().starts_with("HTTP/1.1 422"), "{}", other.text());
        assert_eq!(stage.record().await.code, Some(Code::IdempotencyMismatch));
        ended(first).await;
        let other = ended(stage.call(false, KEY, "ho").await).await;
        assert!(other.text().starts_with("HTTP/1.1 422"), "{}", other.text());
        assert_eq!(upstream.requests(), 1);
    });
}

#[test]
fn a_failed_first_lets_the_next_run() {
    run(async {
        let refusal = vec![Step::Wait(1_000), json(400, r#"{"error":{"message":"no","type":"x"}}"#)];
        let upstream = Upstream::new(vec![refusal, vec![answer()]]);
        let stage = Stage::new(opted_in(), &[(&upstream, None)]);
        let first = stage.call(false, KEY, "hi").await;
        pass(100).await;
        let second = stage.call(false, KEY, "hi").await;
        assert!(ended(first).await.text().starts_with("HTTP/1.1 400"));
        let second = ended(second).await;
        assert!(second.text().starts_with("HTTP/1.1 200") && !second.text().contains(REPLAYED));
        assert_eq!(upstream.requests(), 2);
    });
}

#[test]
fn a_first_whose_caller_leaves_lets_the_next_run() {
    run(async {
        let upstream = Upstream::new(vec![vec![Step::Hold], vec![answer()]]);
        let stage = Stage::new(opted_in(), &[(&upstream, None)]);
        let first = stage.call(false, KEY, "hi").await;
        pass(100).await;
        let second = stage.call(false, KEY, "hi").await;
        pass(100).await;
        drop(first);
        let second = ended(second).await;
        assert!(second.text().starts_with("HTTP/1.1 200"), "{}", second.text());
        assert_eq!((upstream.requests(), stage.worker.shared.replays.running()), (2, 0));
    });
}

#[test]
fn an_answer_beyond_a_mebibyte_is_not_kept() {
    run(async {
        // Many frames: one alone would be longer than a line of a stream may be.
        let words = vec![word(&"x".repeat(1 << 16)); 17];
        let script = [vec![stream_head()], words, vec![stream_end()]].concat();
        let upstream = Upstream::always(script);
        let stage = Stage::new(opted_in(), &[(&upstream, None)]);
        for _ in 0..2 {
            let caller = ended(stage.call(true, KEY, "hi").await).await;
            assert!(caller.text().contains("[DONE]") && !caller.text().contains(REPLAYED));
        }
        assert_eq!(upstream.requests(), 2);
    });
}

#[test]
fn keys_that_cannot_be_keys_are_refused() {
    run(async {
        let upstream = Upstream::always(vec![answer()]);
        let mut stage = Stage::new(opted_in(), &[(&upstream, None)]);
        let long = "x".repeat(256);
        for value in ["", "a b", "ä", long.as_str()] {
            let header = format!("idempotency-key: {value}\r\n");
            let caller = ended(stage.call(false, &header, "hi").await).await;
            assert!(caller.text().starts_with("HTTP/1.1 400"), "{value}: {}", caller.text());
            assert_eq!(stage.record().await.code, Some(Code::InvalidRequest));
        }
        assert_eq!(upstream.requests(), 0);
    });
}

#[test]
fn a_key_that_did_not_ask_for_it_runs_each_time() {
    run(async {
        let upstream = Upstream::always(vec![answer()]);
        let stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
        for _ in 0..2 {
            ended(stage.call(false, KEY, "hi").await).await;
        }
        assert_eq!(upstream.requests(), 2);
    });
}

#[test]
fn what_cannot_be_looked_up_is_not_run() {
    run(async {
        let upstream = Upstream::always(vec![answer()]);
        let mut stage = Stage::new(opted_in(), &[(&upstream, None)]);
        stage.shelf.broken.store(true, Ordering::SeqCst);
        let caller = ended(stage.call(false, KEY, "hi").await).await;
        assert!(caller.text().starts_with("HTTP/1.1 503"), "{}", caller.text());
        assert_eq!((stage.record().await.code, upstream.requests()), (Some(Code::ServiceDegraded), 0));
    });
}
