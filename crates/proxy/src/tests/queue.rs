//! Waiting for a place at a full account.

use std::sync::Arc;

use ledger::meter::MemoryMeter;
use model::Code;
use model::resource::{Account, KeyTerms};
use state::queue::Queues;

use super::stage::{
    Caller, MODEL, Stage, Step, Upstream, answer, json, pass, run, stream_end, stream_head, word,
};

fn busy(ms: u64) -> Vec<Step> {
    vec![Step::Wait(ms), answer()]
}

async fn calls(stage: &Stage, count: usize, stream: bool) -> Vec<Caller> {
    let mut callers = Vec::new();
    for _ in 0..count {
        callers.push(stage.call(stream, "", "hi").await);
        // Each in its turn: until it runs or waits.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    callers
}

fn waiting(stage: &Stage) -> u32 {
    Queues::new(&stage.worker.shared.in_flight).total()
}

#[test]
fn who_finds_the_account_full_is_served_in_turn_and_its_record_says_how_long_it_waited() {
    run(async {
        let upstream = Upstream::always(busy(5_000));
        let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, Some(1))]);
        let mut callers = calls(&stage, 3, false).await;
        assert_eq!(waiting(&stage), 2);
        for (place, caller) in callers.iter_mut().enumerate() {
            let due = 5 * (place as u128 + 1);
            assert_eq!(caller.until("HTTP/1.1 200").await / 1_000, due);
            let record = stage.record().await;
            let waited = record.checks.iter().find(|check| check.name == "queue_wait_ms");
            let seconds = waited.map(|check| check.used.unwrap_or(0) / 1_000);
            assert_eq!(seconds, (place > 0).then_some(5 * place as u64));
        }
        assert_eq!((waiting(&stage), upstream.requests()), (0, 3));
    });
}

#[test]
fn who_has_waited_thirty_seconds_is_told_so() {
    run(async {
        let upstream = Upstream::always(vec![Step::Hold]);
        let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, Some(1))]);
        let mut callers = calls(&stage, 2, false).await;
        assert_eq!(callers[1].until("\r\n\r\n").await / 1_000, 30);
        assert!(callers[1].text().starts_with("HTTP/1.1 429"), "{}", callers[1].text());
        assert!(callers[1].text().contains("retry-after: "), "{}", callers[1].text());
        let record = stage.record().await;
        assert_eq!((record.code, waiting(&stage)), (Some(Code::QueueTimeout), 0));
        let waited = record.checks.iter().find(|check| check.name == "queue_wait_ms");
        assert!(waited.is_some_and(|check| !check.passed), "{:?}", record.checks);
    });
}

#[test]
fn no_more_than_a_hundred_wait_for_an_account() {
    run(async {
        let upstream = Upstream::always(vec![Step::Hold]);
        let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, Some(1))]);
        let mut callers = calls(&stage, 102, false).await;
        let last = callers.last_mut().unwrap();
        assert_eq!(last.until("\r\n\r\n").await, 0);
        assert!(last.text().starts_with("HTTP/1.1 429"), "{}", last.text());
        assert!(last.text().contains("retry-after: "), "{}", last.text());
        assert_eq!((stage.record().await.code, waiting(&stage)), (Some(Code::QueueFull), 100));
    });
}

#[test]
fn who_leaves_while_waiting_leaves_the_queue_at_once() {
    run(async {
        let upstream = Upstream::always(vec![Step::Hold]);
        let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, Some(1))]);
        let mut callers = calls(&stage, 3, true).await;
        assert_eq!(waiting(&stage), 2);
        callers.remove(1);
        let record = stage.record().await;
        assert_eq!((record.code, record.status, waiting(&stage)), (Some(Code::ClientClosed), 499, 1));
        assert!(record.attempts.is_empty() && record.usage.total() == 0);
        // Once more behind a committed head.
        callers[1].until(": keep-alive").await;
        callers.remove(1);
        assert_eq!((stage.record().await.status, waiting(&stage)), (499, 0));
    });
}

#[test]
fn a_waiting_stream_is_kept_alive_and_told_in_the_stream_that_it_waited_too_long() {
    run(async {
        let upstream = Upstream::always(vec![Step::Hold]);
        let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, Some(1))]);
        let mut callers = calls(&stage, 2, true).await;
        assert_eq!(callers[1].until("200 OK").await / 100, 100);
        assert_eq!(callers[1].end().await / 100, 300);
        assert!(callers[1].text().contains("QUEUE_TIMEOUT"), "{}", callers[1].text());
        assert_eq!(stage.record().await.code, Some(Code::QueueTimeout));
    });
}

#[test]
fn a_stream_that_waited_beyond_its_commit_is_served() {
    run(async {
        let script = vec![stream_head(), word("hello"), Step::Wait(15_000), stream_end()];
        let upstream = Upstream::always(script);
        let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, Some(1))]);
        let mut callers = calls(&stage, 2, true).await;
        callers[0].end().await;
        assert_eq!(callers[1].until("hello").await / 100, 150);
        callers[1].end().await;
        for caller in &callers {
            assert!(caller.text().contains("[DONE]"), "{}", caller.text());
        }
        assert_eq!((stage.record().await.status, stage.record().await.status), (200, 200));
    });
}

#[test]
fn a_full_account_is_not_waited_for_while_another_is_free() {
    run(async {
        let first = Upstream::always(busy(5_000));
        let second = Upstream::always(busy(1_000));
        let stage = Stage::new(KeyTerms::default(), &[(&first, Some(1)), (&second, Some(1))]);
        let mut callers = calls(&stage, 3, false).await;
        assert_eq!((first.requests(), second.requests(), waiting(&stage)), (1, 1, 1));
        // The third takes the place that gets free first.
        assert_eq!(callers[2].until("HTTP/1.1 200").await / 1_000, 2);
        assert_eq!(second.requests(), 2);
    });
}

#[test]
fn counting_tokens_takes_no_place_and_waits_for_none() {
    run(async {
        let counted = json(200, r#"{"input_tokens":3}"#);
        let upstream = Upstream::new(vec![vec![Step::Hold], vec![counted]]);
        let meter = Arc::new(MemoryMeter::default());
        let stage = Stage::with(KeyTerms::default(), &[(&upstream, Some(1))], meter, |configuration, _| {
            let account = Account::clone(&configuration.accounts[0]);
            let account = Account { provider: "anthropic-compatible".into(), ..account };
            configuration.accounts = vec![Arc::new(account)];
        });
        let body =
            format!(r#"{{"model":"{MODEL}","max_tokens":9,"messages":[{{"role":"user","content":"hi"}}]}}"#);
        let _running = stage.post("/v1/messages", "", &body).await;
        pass(10).await;
        let mut second = stage.post("/v1/messages", "", &body).await;
        pass(10).await;
        assert_eq!((upstream.requests(), waiting(&stage)), (1, 1));
        let mut counting = stage.post("/v1/messages/count_tokens", "", &body).await;
        assert_eq!(counting.until("\"input_tokens\":3").await, 0);
        assert_eq!(second.end().await / 1_000, 30);
    });
}
