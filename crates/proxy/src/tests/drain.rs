//! Callers who leave, and what their keys say of it.

use model::resource::KeyTerms;
use model::resource::terms::OnDisconnect;
use model::{Code, UsageSource};

use super::stage::{Stage, Step, Upstream, answer, json, pass, run, stream_end, stream_head, word};

fn drained(seconds: u32) -> KeyTerms {
    KeyTerms { on_disconnect: OnDisconnect::Drain { seconds }, ..KeyTerms::default() }
}

fn stream() -> Vec<Step> {
    vec![stream_head(), word("hello"), Step::Wait(5_000), word("world"), stream_end()]
}

async fn leave_stream(stage: &Stage) {
    let mut caller = stage.call(true, "", "hi").await;
    caller.until("hello").await;
}

async fn leave_unary(stage: &Stage) {
    let _caller = stage.call(false, "", "hi").await;
    pass(100).await;
}

#[test]
fn a_cancelled_stream_is_billed_by_estimate_and_its_upstream_left_at_once() {
    run(async {
        let upstream = Upstream::always(stream());
        let mut stage = Stage::new(KeyTerms::default(), &[(&upstream, None)]);
        leave_stream(&stage).await;
        let record = stage.record().await;
        assert_eq!((record.status, record.code), (499, Some(Code::ClientClosed)));
        assert_eq!(record.usage.source, UsageSource::Estimated);
        pass(1).await;
        assert_eq!(upstream.abandoned(), 1);
    });
}

#[test]
fn a_drained_stream_is_billed_by_the_upstreams_own_figures() {
    run(async {
        let upstream = Upstream::always(stream());
        let mut stage = Stage::new(drained(30), &[(&upstream, None)]);
        leave_stream(&stage).await;
        let record = stage.record().await;
        assert_eq!((record.status, record.code), (499, Some(Code::ClientClosed)));
        assert_eq!((record.usage.source, record.usage.output), (UsageSource::Measured, 7));
        assert_eq!((record.attempts[0].class, upstream.abandoned()), ("ok", 0));
        assert!((5_000..6_000).contains(&record.latency_ms), "{}", record.latency_ms);
    });
}

#[test]
fn a_drained_unary_answer_is_billed_by_the_upstreams_own_figures() {
    run(async {
        let upstream = Upstream::always(vec![Step::Wait(5_000), answer()]);
        let mut stage = Stage::new(drained(30), &[(&upstream, None)]);
        leave_unary(&stage).await;
        let record = stage.record().await;
        assert_eq!((record.status, record.code), (499, Some(Code::ClientClosed)));
        assert_eq!((record.usage.source, record.usage.output), (UsageSource::Measured, 7));
    });
}

#[test]
fn a_drain_of_a_committed_head_reads_what_comes() {
    run(async {
        let upstream = Upstream::always([vec![Step::Wait(12_000)], stream()].concat());
        let mut stage = Stage::new(drained(30), &[(&upstream, None)]);
        let mut caller = stage.call(true, "", "hi").await;
        caller.until(": keep-alive").await;
        drop(caller);
        let record = stage.record().await;
        assert_eq!((record.status, record.usage.source), (499, UsageSource::Measured));
    });
}

#[test]
fn a_drain_ends_at_its_time_and_bills_what_was_produced() {
    run(async {
        let upstream = Upstream::always(vec![stream_head(), word("hello"), Step::Hold]);
        let mut stage = Stage::new(drained(3), &[(&upstream, None)]);
        leave_stream(&stage).await;
        let record = stage.record().await;
        assert_eq!((record.status, record.usage.source), (499, UsageSource::Estimated));
        assert!((3_000..3_100).contains(&record.latency_ms), "{}", record.latency_ms);
        pass(1).await;
        assert_eq!(upstream.abandoned(), 1);
    });
}

#[test]
fn only_64_are_drained_at_once_and_the_others_are_cancelled() {
    run(async {
        let upstream = Upstream::always(stream());
        let mut stage = Stage::new(drained(30), &[(&upstream, None)]);
        let mut callers = Vec::new();
        for _ in 0..70 {
            let mut caller = stage.call(true, "", "hi").await;
            caller.until("hello").await;
            callers.push(caller);
        }
        drop(callers);
        let mut measured = 0;
        for _ in 0..70 {
            measured += usize::from(stage.record().await.usage.source == UsageSource::Measured);
        }
        assert_eq!((measured, upstream.abandoned()), (64, 6));
    });
}

#[test]
fn nothing_is_sent_anew_for_who_has_left() {
    run(async {
        let first = Upstream::always(vec![Step::Wait(2_000), json(503, "{}")]);
        let second = Upstream::always(vec![answer()]);
        let mut stage = Stage::new(drained(30), &[(&first, None), (&second, None)]);
        leave_unary(&stage).await;
        assert_eq!(stage.record().await.status, 499);
        assert_eq!((first.requests(), second.requests()), (1, 0));
    });
}

#[test]
fn who_leaves_the_queue_is_not_drained() {
    run(async {
        let upstream = Upstream::always(vec![Step::Hold]);
        let mut stage = Stage::new(drained(30), &[(&upstream, Some(1))]);
        let running = stage.call(false, "", "hi").await;
        pass(10).await;
        leave_unary(&stage).await;
        let record = stage.record().await;
        assert_eq!((record.status, record.attempts.len()), (499, 0));
        drop(running);
    });
}

#[test]
fn a_worker_that_ends_settles_what_it_relays_drains_or_would_drain() {
    let (mut stage, _caller) = run(async {
        let upstream = Upstream::always(vec![stream_head(), word("hello"), Step::Hold]);
        let stage = Stage::new(drained(30), &[(&upstream, None)]);
        leave_stream(&stage).await;
        let mut caller = stage.call(true, "", "hi").await;
        caller.until("hello").await;
        (stage, caller)
    });
    let records = stage.records();
    assert_eq!(records.len(), 2);
    for record in records {
        assert_eq!((record.code, record.usage.source), (Some(Code::ClientClosed), UsageSource::Estimated));
    }
}
