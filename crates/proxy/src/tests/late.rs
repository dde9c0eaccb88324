//! Streams whose content is late.

use model::Code;
use model::resource::KeyTerms;

use super::stage::{Stage, Step, Upstream, json, run, stream_end, stream_head, word};

fn in_time(after_ms: u64) -> Vec<Step> {
    vec![stream_head(), Step::Wait(after_ms), word("hello"), stream_end()]
}

#[test]
fn a_stream_in_time_carries_nothing_of_ours() {
    run(async {
        let upstream = Upstream::always(in_time(9_000));
        let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
        let mut caller = stage.call(true, "", "hi").await;
        assert_eq!(caller.until("200 OK").await / 1_000, 9);
        caller.end().await;
        assert!(!caller.text().contains("keep-alive") && caller.text().contains("[DONE]"));
        let record = stage.record().await;
        assert_eq!((record.status, record.usage.output), (200, 7));
    });
}

#[test]
fn a_late_stream_commits_after_ten_seconds_and_then_says_every_ten_that_it_lives() {
    run(async {
        for head_first in [true, false] {
            let wait = Step::Wait(35_000);
            let begin = if head_first { [stream_head(), wait] } else { [wait, stream_head()] };
            let script = [begin.to_vec(), vec![word("hello"), stream_end()]].concat();
            let upstream = Upstream::always(script);
            let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
            let mut caller = stage.call(true, "", "hi").await;
            assert_eq!(caller.until("200 OK").await / 100, 100);
            assert_eq!(caller.until(": keep-alive").await / 100, 100);
            assert_eq!(caller.until("hello").await / 100, 350);
            caller.end().await;
            assert_eq!(caller.text().matches(": keep-alive").count(), 3, "{}", caller.text());
            assert!(caller.text().contains("content-type: text/event-stream"));
            assert!(caller.text().contains("x-request-id: "));
            assert!(caller.text().contains("[DONE]"));
            let record = stage.record().await;
            assert_eq!((record.status, record.code, record.usage.output), (200, None, 7));
        }
    });
}

#[test]
fn a_late_refusal_is_followed_by_the_next_account_behind_the_committed_head() {
    run(async {
        let first = Upstream::always(vec![Step::Wait(15_000), json(503, "{}")]);
        let second = Upstream::always(in_time(1_000));
        let mut stage = Stage::new(KeyTerms::default(), &[(&first, None), (&second, None)]);
        let mut caller = stage.call(true, "", "hi").await;
        assert_eq!(caller.until("hello").await / 100, 160);
        caller.end().await;
        assert!(caller.text().contains("[DONE]"));
        let record = stage.record().await;
        assert_eq!((record.status, record.attempts.len()), (200, 2));
    });
}

#[test]
fn a_late_failure_is_an_event_in_the_stream() {
    run(async {
        for answer in [json(503, "{}"), json(400, r#"{"error":{"message":"bad","type":"x"}}"#)] {
            let upstream = Upstream::always(vec![Step::Wait(15_000), answer]);
            let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
            let mut caller = stage.call(true, "", "hi").await;
            caller.end().await;
            assert!(caller.text().starts_with("HTTP/1.1 200 OK"), "{}", caller.text());
            assert!(caller.text().contains("data: {\"error\""), "{}", caller.text());
            let record = stage.record().await;
            assert!(matches!(record.code, Some(Code::NoAvailableUpstream | Code::InvalidRequest)));
            assert_eq!(record.status, 200);
        }
    });
}

#[test]
fn a_caller_who_leaves_a_committed_head_leaves_the_upstream() {
    run(async {
        let upstream = Upstream::always(vec![Step::Hold]);
        let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
        let mut caller = stage.call(true, "", "hi").await;
        caller.until(": keep-alive").await;
        drop(caller);
        let record = stage.record().await;
        assert_eq!((record.status, record.code), (499, Some(Code::ClientClosed)));
        tokio::task::yield_now().await;
        assert_eq!(upstream.abandoned(), 1);
    });
}

#[test]
fn a_unary_answer_is_waited_for_in_silence() {
    run(async {
        let upstream = Upstream::always(vec![Step::Wait(45_000), super::stage::answer()]);
        let stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
        let mut caller = stage.call(false, "", "hi").await;
        assert_eq!(caller.until("HTTP/1.1 200").await / 100, 450);
    });
}
