//! Request records: written in batches, found again, summed per day, deleted by age.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use model::record::{
    Attempt, Candidate, CandidateReason, Check, Lost, ProgramFacts, RequestRecord, SignatureNote, Translation,
};
use model::{Code, NanoUsd, RequestId, TraceId, Usage, UsageSource};
use scratch::{NOW, Scratch, id};
use store::{Cursor, DailyUsage, PageRequest, RecordFilter, Scope, Store, StoredRecord};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "req-4bf92f3577b34da6a3ce929d0e0e4736";

/// The `n`th request, answered, one millisecond after the one before.
fn answered(n: u64) -> RequestRecord {
    let request_id = RequestId::mint(NOW + n, [3; 10]);
    RequestRecord {
        request_id,
        trace_id: request_id.into(),
        at: NOW + n,
        route: "POST /v1/chat/completions",
        surface: "openai_chat",
        key_id: Some(id(1)),
        user_id: Some(id(2)),
        tenant_id: "default".into(),
        client_ip: Some([192, 0, 2, 1].into()),
        model: "gpt-x".into(),
        upstream_model: Some("gpt-x-2026".into()),
        upstream: Some("main".into()),
        stream: true,
        status: 200,
        code: None,
        cause: None,
        checks: vec![Check { name: "rpm", passed: true, limit: Some(60), used: Some(3) }],
        candidates: vec![Candidate {
            account: "spare".into(),
            eligible: false,
            reason: CandidateReason::CircuitOpen,
        }],
        attempts: vec![attempt()],
        usage: Usage {
            input: 10,
            output: 20,
            cache_read: 3,
            cache_write_5m: 4,
            cache_write_1h: 5,
            reasoning: 6,
            audio_in: 7,
            source: UsageSource::Measured,
            ..Usage::default()
        },
        cost: Some(NanoUsd(1_500)),
        bytes_in: 100,
        bytes_out: 200,
        first_byte_ms: Some(30),
        latency_ms: 90,
        own_us: 120,
        revision: 4,
        program: Some(Box::new(ProgramFacts(vec![("session", "s-1".into())]))),
        translation: Some(Box::new(Translation {
            dialect: "gemini",
            losses: vec![Lost { path: "logit_bias".into(), reason: "unknown", matters: true }],
            native_finish_reason: Some("STOP".into()),
        })),
        signature: None,
        stated_usage: Some(r#"{"prompt_tokens": 11}"#.into()),
    }
}

fn attempt() -> Attempt {
    Attempt {
        account: "main".into(),
        status: Some(200),
        class: "ok",
        error: None,
        upstream_request_id: Some("up-1".into()),
        reused: false,
        first_byte_ms: Some(29),
        total_ms: 88,
    }
}

/// Why a signature was refused.
fn note() -> SignatureNote {
    SignatureNote {
        scheme: "hmac-v1",
        step: "signature",
        skew_s: Some(-2),
        raw_body_sha256: Some("ab".repeat(32).into()),
        canonical_body_sha256: None,
    }
}

/// The `n`th request, refused before any upstream.
fn refused(n: u64) -> RequestRecord {
    RequestRecord {
        status: 429,
        code: Some(Code::RateLimitRpm),
        cause: Some("quotes \" and \u{1} control".into()),
        trace_id: TraceId::from_traceparent(TRACEPARENT).unwrap(),
        upstream: None,
        candidates: Vec::new(),
        attempts: Vec::new(),
        usage: Usage::default(),
        cost: None,
        first_byte_ms: None,
        signature: Some(Box::new(note())),
        ..answered(n)
    }
}

async fn search(store: &Store, filter: RecordFilter) -> Vec<StoredRecord> {
    let page = PageRequest::first(200);
    store.search_records(&Scope::system(), &filter, &page).await.unwrap().items
}

#[tokio::test]
async fn a_record_reads_back_whole() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let (one, two) = (answered(1), refused(2));
    assert_eq!(store.append_records(&[one.clone(), two.clone()]).await.unwrap(), 2);
    let read = search(&store, RecordFilter::default()).await;
    let [newer, older] = &read[..] else { panic!("{read:?}") };
    assert_eq!(older.request_id, one.request_id.to_string());
    assert_eq!(older.trace_id, older.request_id);
    assert_eq!((older.usage, older.cost, older.at), (one.usage, one.cost, one.at));
    assert_eq!((older.latency_ms, older.first_byte_ms), (90, Some(30)));
    assert_eq!((&older.key_id, &older.user_id), (&one.key_id, &one.user_id));
    assert_eq!((older.model.as_str(), older.upstream.as_deref()), ("gpt-x", Some("main")));
    let detail = &older.detail;
    assert_eq!(detail["attempts"][0]["upstream_request_id"], "up-1");
    assert_eq!(detail["candidates"][0]["reason"], "circuit_open");
    assert_eq!(detail["checks"][0]["limit"], 60);
    assert_eq!(detail["program"]["session"], "s-1");
    assert_eq!(detail["translation"]["losses"][0]["path"], "logit_bias");
    assert_eq!(detail["stated_usage"]["prompt_tokens"], 11);
    assert_eq!((&detail["client_ip"], &detail["revision"]), (&"192.0.2.1".into(), &4.into()));
    assert_eq!((newer.trace_id.as_str(), newer.status), (TRACE, 429));
    assert_eq!((newer.code.as_deref(), newer.cost), (Some("RATE_LIMIT_RPM"), None));
    assert_eq!(newer.detail["cause"], "quotes \" and \u{1} control");
}

type Narrow = fn(&mut RecordFilter, [&str; 3]);

#[tokio::test]
async fn records_are_found_by_each_filter_alone_and_together() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let mut other = answered(3);
    (other.key_id, other.model) = (Some(id(9)), "other".into());
    let records = [answered(1), refused(2), other];
    store.append_records(&records).await.unwrap();
    let ids = records.map(|record| record.request_id.to_string());
    let [a, b, c] = [&ids[0], &ids[1], &ids[2]].map(String::as_str);
    let cases: [(Narrow, &[&str]); 14] = [
        (|_, _| (), &[c, b, a]),
        (|f, [_, b, _]| f.request_id = Some(b.into()), &[b]),
        (|f, _| f.trace_id = Some(TRACE.into()), &[b]),
        (|f, [a, _, _]| f.trace_id = Some(a.into()), &[a]),
        (|f, _| f.key_id = Some(id(1)), &[b, a]),
        (|f, _| f.model = Some("other".into()), &[c]),
        (|f, _| f.status = Some(200), &[c, a]),
        (|f, _| f.code = Some("RATE_LIMIT_RPM".into()), &[b]),
        (|f, _| f.from = Some(NOW + 2), &[c, b]),
        (|f, _| f.to = Some(NOW + 2), &[a]),
        (|f, _| (f.from, f.to) = (Some(NOW + 2), Some(NOW + 3)), &[b]),
        (|f, _| (f.key_id, f.status) = (Some(id(1)), Some(200)), &[a]),
        (|f, _| (f.trace_id, f.key_id) = (Some(TRACE.into()), Some(id(9))), &[]),
        (|f, _| f.request_id = Some("req-' OR 1=1".into()), &[]),
    ];
    for (narrow, expected) in cases {
        let mut filter = RecordFilter::default();
        narrow(&mut filter, [a, b, c]);
        let found = search(&store, filter.clone()).await;
        let found: Vec<&str> = found.iter().map(|record| record.request_id.as_str()).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn records_of_another_tenant_are_not_found() {
    let directory = Scratch::new();
    let store = directory.open().await;
    store.append_records(&[answered(1)]).await.unwrap();
    let (elsewhere, page) = (Scope::new("other", "mallory"), PageRequest::default());
    let found = store.search_records(&elsewhere, &RecordFilter::default(), &page).await.unwrap();
    assert!(found.items.is_empty());
    assert!(store.usage(&elsewhere, &id(1), "2026-01-01", "2026-12-31").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_search_for_what_is_rare_goes_on_page_by_page_and_misses_nothing() {
    let directory = Scratch::new();
    let store = directory.open().await;
    // Each batch is a block of its own; three of them begin within one second.
    for n in 0..200 {
        store
            .append_records(&[if n % 90 == 5 { refused(n * 400) } else { answered(n * 400) }])
            .await
            .unwrap();
    }
    let filter = RecordFilter { status: Some(429), ..RecordFilter::default() };
    let (mut request, mut seen, mut pages) = (PageRequest::first(70), Vec::new(), 0);
    loop {
        let page = store.search_records(&Scope::system(), &filter, &request).await.unwrap();
        seen.extend(page.items.into_iter().map(|record| record.request_id));
        pages += 1;
        request.after = page.next.and_then(|next| Cursor::parse(&next.to_string()));
        if request.after.is_none() {
            break;
        }
    }
    let expected = [185, 95, 5].map(|n| refused(n * 400).request_id.to_string());
    assert_eq!((seen, pages), (expected.to_vec(), 2));
}

#[tokio::test]
async fn many_records_are_written_in_one_batch_and_read_in_pages() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let records: Vec<_> = (0..150).map(answered).collect();
    assert_eq!(store.append_records(&records).await.unwrap(), 150);
    let mut request = PageRequest::first(70);
    let mut seen = Vec::new();
    for expected in [70, 70, 10] {
        let filter = RecordFilter { key_id: Some(id(1)), ..RecordFilter::default() };
        let page = store.search_records(&Scope::system(), &filter, &request).await.unwrap();
        assert_eq!(page.items.len(), expected);
        request.after = page.next.and_then(|next| Cursor::parse(&next.to_string()));
        seen.extend(page.items.into_iter().map(|record| record.request_id));
    }
    assert!(request.after.is_none());
    let expected: Vec<_> = records.iter().rev().map(|record| record.request_id.to_string()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_batch_sent_twice_counts_once() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let records: Vec<_> = (0..100).map(answered).collect();
    assert_eq!(store.append_records(&records).await.unwrap(), 100);
    assert_eq!(store.append_records(&records).await.unwrap(), 0);
    let (newer, nothing): (Vec<_>, [RequestRecord; 0]) = ((2_000..2_030).map(answered).collect(), []);
    let both: Vec<_> = records.iter().chain(&newer).collect();
    assert_eq!(store.append_records(&both).await.unwrap(), 30);
    assert_eq!(store.append_records(&nothing).await.unwrap(), 0);
    let usage = store.usage(&Scope::system(), &id(1), "2026-01-01", "2026-12-31").await.unwrap();
    assert_eq!(usage.iter().map(|day| day.requests).sum::<u64>(), 130);
}

#[tokio::test]
async fn usage_adds_up_per_day_and_model_without_refusals() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let mut unpriced = answered(2);
    unpriced.cost = None;
    let mut cancelled = answered(3);
    (cancelled.status, cancelled.usage.source) = (499, UsageSource::Estimated);
    let mut tomorrow = answered(86_400_000);
    tomorrow.model = "other".into();
    store.append_records(&[answered(1), unpriced, refused(4)]).await.unwrap();
    store.append_records(&[cancelled, tomorrow]).await.unwrap();
    let scope = Scope::system();
    let usage = store.usage(&scope, &id(1), "2026-09-21", "2026-09-22").await.unwrap();
    let one = DailyUsage {
        day: "2026-09-22".to_owned(),
        model: "other".to_owned(),
        requests: 1,
        input: 10,
        output: 20,
        cache_read: 3,
        cache_write: 9,
        reasoning: 6,
        cost: NanoUsd(1_500),
        unpriced: 0,
    };
    let three = DailyUsage {
        day: "2026-09-21".to_owned(),
        model: "gpt-x".to_owned(),
        requests: 3,
        input: 30,
        output: 60,
        cache_read: 9,
        cache_write: 27,
        reasoning: 18,
        cost: NanoUsd(3_000),
        unpriced: 1,
    };
    assert_eq!(usage, [one, three]);
    assert!(store.usage(&scope, &id(1), "2026-09-23", "2026-12-31").await.unwrap().is_empty());
    assert!(store.usage(&scope, &id(7), "2026-01-01", "2026-12-31").await.unwrap().is_empty());
}

#[tokio::test]
async fn old_records_go_in_steps_and_the_usage_stays() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let records: Vec<_> = (0..10).map(|n| refused(n * 1_000)).collect();
    store.append_records(&records).await.unwrap();
    store.append_records(&[answered(1)]).await.unwrap();
    for expected in [4, 4, 0] {
        assert_eq!(store.delete_records_before(NOW + 7_000, 4).await.unwrap(), expected);
    }
    assert_eq!(search(&store, RecordFilter::default()).await.len(), 3);
    let traced = RecordFilter { trace_id: Some(TRACE.into()), ..RecordFilter::default() };
    assert_eq!(search(&store, traced).await.len(), 3);
    let usage = store.usage(&Scope::system(), &id(1), "2026-09-21", "2026-09-21").await.unwrap();
    assert_eq!(usage[0].requests, 1);
}

#[tokio::test]
async fn pages_are_in_order_however_batches_overlap() {
    let directory = Scratch::new();
    let store = directory.open().await;
    // Requests end in another order than they began: seven batches, each with records of all ten seconds.
    let records: Vec<_> = (0..700).map(|n| answered(n * 13)).collect();
    for batch in 0..7 {
        let part: Vec<_> = records.iter().skip(batch).step_by(7).rev().collect();
        assert_eq!(store.append_records(&part).await.unwrap(), 100);
    }
    let (mut request, mut seen) = (PageRequest::first(64), Vec::new());
    loop {
        let page = store.search_records(&Scope::system(), &RecordFilter::default(), &request).await.unwrap();
        seen.extend(page.items.into_iter().map(|record| record.request_id));
        request.after = page.next;
        if request.after.is_none() {
            break;
        }
    }
    let expected: Vec<_> = records.iter().rev().map(|record| record.request_id.to_string()).collect();
    assert_eq!(seen, expected);
    for id in expected.iter().step_by(90) {
        let named = RecordFilter { request_id: Some(id.clone()), ..RecordFilter::default() };
        assert_eq!(search(&store, named).await.len(), 1);
    }
}
