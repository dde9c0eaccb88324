//! Refusals before the body: what is still coming is read for a while, so that the refusal is not lost.

use model::resource::KeyTerms;

use super::stage::{Stage, Upstream, answer, run};

const MIB: usize = 1 << 20;
const NOWHERE: &str = "/v1/nothing";

#[test]
fn a_refusal_comes_at_once_and_a_body_of_a_mebibyte_is_taken_behind_it() {
    run(async {
        let stage = Stage::new(KeyTerms::default(), &[]);
        let mut caller = stage.begin(NOWHERE, "", "", MIB).await;
        assert_eq!(caller.until("404 Not Found").await, 0);
        assert_eq!(caller.pour(MIB).await, MIB);
        assert_eq!(caller.end().await, 0);
    });
}

#[test]
fn more_than_a_mebibyte_is_not_taken() {
    run(async {
        let stage = Stage::new(KeyTerms::default(), &[]);
        let mut caller = stage.begin(NOWHERE, "", "", 64 * MIB).await;
        let taken = caller.pour(64 * MIB).await;
        // With what lies in the pipe and in hyper's buffer.
        assert!((MIB..2 * MIB).contains(&taken), "{taken}");
        assert_eq!(caller.end().await, 0);
        assert!(caller.text().starts_with("HTTP/1.1 404"), "{}", caller.text());
    });
}

#[test]
fn a_body_that_does_not_come_is_waited_for_two_seconds() {
    run(async {
        let stage = Stage::new(KeyTerms::default(), &[]);
        let mut caller = stage.begin(NOWHERE, "", "{", 1_000).await;
        assert_eq!(caller.until("404 Not Found").await, 0);
        let ended = caller.end().await;
        assert!((2_000..2_100).contains(&ended), "{ended}");
    });
}

#[test]
fn whoever_asks_first_is_told_to_go_on_or_refused_at_once() {
    run(async {
        let upstream = Upstream::always(vec![answer()]);
        let stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
        let body = r#"{"model":"m","messages":[]}"#;
        let expects = "expect: 100-continue\r\n";
        let mut caller = stage.begin("/v1/chat/completions", expects, "", body.len()).await;
        caller.until("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(upstream.requests(), 0);
        caller.send(body).await;
        caller.until("HTTP/1.1 200").await;
        let mut caller = stage.begin(NOWHERE, expects, "", body.len()).await;
        assert_eq!(caller.end().await, 0);
        assert!(caller.text().starts_with("HTTP/1.1 404"), "{}", caller.text());
    });
}
