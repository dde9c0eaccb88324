//! Sessions stay at the account where they began, until it is of no use to them any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger::meter::MemoryMeter;
use model::ResourceId;
use model::record::RequestRecord;
use model::resource::{Account, KeyTerms};

use super::stage::{
    Caller, MODEL, Stage, Step, Upstream, answer, json, pass, run, stream_end, stream_head, word,
};

const MINUTE_MS: u64 = 60_000;

/// Two accounts, the first with places for so many; equal, or in order of priority.
fn stage(upstreams: [&Arc<Upstream>; 2], places: Option<u32>, is_equal: bool) -> Stage {
    let doors = [(upstreams[0], places), (upstreams[1], None)];
    Stage::with(KeyTerms::default(), &doors, Arc::new(MemoryMeter::default()), |configuration, _| {
        for account in configuration.accounts.iter_mut().filter(|_| is_equal) {
            *account = Arc::new(Account { priority: 50, ..Account::clone(account) });
        }
    })
}

/// A request with these members, headers and first message.
async fn call(stage: &Stage, (headers, members, text): (&str, &str, &str)) -> Caller {
    let body = format!(r#"{{"model":"{MODEL}",{members}"messages":[{{"role":"user","content":"{text}"}}]}}"#);
    stage.post("/v1/chat/completions", headers, &body).await
}

/// The account that answered, and what was told of both.
async fn asked(stage: &mut Stage, request: (&str, &str, &str)) -> (String, Vec<&'static str>) {
    let mut caller = call(stage, request).await;
    caller.end().await;
    assert!(caller.text().starts_with("HTTP/1.1 200"), "{}", caller.text());
    told(&stage.record().await)
}

fn told(record: &RequestRecord) -> (String, Vec<&'static str>) {
    let reasons = record.candidates.iter().map(|candidate| candidate.reason.name()).collect();
    (record.upstream.as_deref().unwrap_or_default().to_owned(), reasons)
}

/// Asks three times in each of some sessions: each must stay where it began, and not all at one account.
async fn check_kept(what: &str, request: impl Fn(usize) -> (String, String, String)) {
    let upstreams = [Upstream::always(vec![answer()]), Upstream::always(vec![answer()])];
    let mut stage = stage([&upstreams[0], &upstreams[1]], None, true);
    let mut used = BTreeSet::new();
    for session in 0..8 {
        let (headers, members, text) = request(session);
        let request = (&*headers, &*members, &*text);
        let (first, reasons) = asked(&mut stage, request).await;
        assert_eq!(reasons, ["eligible"; 2], "{what}");
        for _ in 0..2 {
            let (next, reasons) = asked(&mut stage, request).await;
            assert_eq!(next, first, "{what}: session {session} moved");
            let is_kept = |reason: &&&str| **reason == "session_kept";
            assert_eq!(reasons.iter().filter(is_kept).count(), 1, "{what}: {reasons:?}");
        }
        used.insert(first);
    }
    assert_eq!(used.len(), 2, "{what}: every session is at one account");
    assert_eq!(stage.worker.shared.sessions.count(), 8, "{what}");
}

#[test]
fn a_session_that_is_named_stays_at_its_account() {
    let user = |name: usize| format!(r#""metadata":{{"user_id":"user_a_account__session_{name}"}},"#);
    run(async {
        for header in ["session-id", "session_id", "x-session-id", "x-claude-code-session-id", "thread-id"] {
            check_kept(header, |name| (format!("{header}: s{name}\r\n"), String::new(), "hi".into())).await;
        }
        check_kept("metadata.user_id", |name| (String::new(), user(name), "hi".into())).await;
        let key = |name| format!(r#""prompt_cache_key":"k{name}","#);
        check_kept("prompt_cache_key", |name| (String::new(), key(name), "hi".into())).await;
        let threads = |name| format!("session-id: s\r\nthread-id: t{name}\r\n");
        check_kept("threads of one session", |name| (threads(name), String::new(), "hi".into())).await;
        let both = |name| ("x-session-id: s\r\n".to_owned(), user(name), "hi".to_owned());
        check_kept("the user's session before the header's", both).await;
    });
}

#[test]
fn a_session_without_a_name_is_known_by_what_its_requests_begin_with() {
    let long = |name: usize| format!("{name} {}", "words of a long beginning ".repeat(200));
    run(async {
        check_kept("first message", |name| (String::new(), String::new(), long(name))).await;
        let system = |name: usize| format!(r#""system":"{}","#, long(name));
        check_kept("instructions", |name| (String::new(), system(name), "hi".into())).await;
        let cached = |name: usize| {
            let mark = r#""cache_control":{"type":"ephemeral"}"#;
            format!(r#""system":[{{"text":"b"}},{{"text":"{}",{mark}}}],"#, long(name))
        };
        check_kept("marked text", |name| (String::new(), cached(name), "hi".into())).await;
    });
}

#[test]
fn what_is_too_small_to_be_cached_is_shared_by_weight() {
    run(async {
        let upstreams = [Upstream::always(vec![answer()]), Upstream::always(vec![answer()])];
        let mut stage = stage([&upstreams[0], &upstreams[1]], None, true);
        for _ in 0..20 {
            assert_eq!(asked(&mut stage, ("", "", "hi")).await.1, ["eligible"; 2]);
        }
        assert!(upstreams.iter().all(|upstream| upstream.requests() >= 4));
        assert_eq!(stage.worker.shared.sessions.count(), 0);
    });
}

const SESSION: (&str, &str, &str) = ("x-session-id: s\r\n", "", "hi");
const OTHER: (&str, &str, &str) = ("", "", "hi");

/// A stage with a session at the second account, because the first had refused it for a moment.
async fn moved() -> Stage {
    let limited = json(429, r#"{"error":{"message":"slow down","type":"x"}}"#);
    let one = Upstream::new(vec![vec![answer()], vec![limited], vec![answer()]]);
    let mut stage = stage([&one, &Upstream::always(vec![answer()])], None, false);
    assert_eq!(asked(&mut stage, SESSION).await.0, "one");
    assert_eq!(asked(&mut stage, SESSION).await, ("two".into(), vec!["session_kept", "eligible"]));
    pass(10 * MINUTE_MS).await;
    stage
}

#[test]
fn a_block_moves_a_session_for_good() {
    run(async {
        let mut stage = moved().await;
        assert_eq!(asked(&mut stage, OTHER).await.0, "one");
        assert_eq!(asked(&mut stage, SESSION).await, ("two".into(), vec!["eligible", "session_kept"]));
    });
}

#[test]
fn a_session_ends_an_hour_after_its_last_request() {
    run(async {
        let mut stage = moved().await;
        for _ in 0..3 {
            pass(45 * MINUTE_MS).await;
            assert_eq!(asked(&mut stage, SESSION).await.0, "two");
        }
        pass(60 * MINUTE_MS).await;
        assert_eq!(asked(&mut stage, SESSION).await, ("one".into(), vec!["eligible"; 2]));
    });
}

#[test]
fn sessions_are_released_with_their_account() {
    run(async {
        let mut stage = moved().await;
        let sessions = Arc::clone(&stage.worker.shared.sessions);
        assert_eq!(sessions.release(&ResourceId::mint(1, [100; 10])), 0);
        assert_eq!(asked(&mut stage, SESSION).await.0, "two");
        assert_eq!(sessions.release(&ResourceId::mint(1, [101; 10])), 1);
        assert_eq!(asked(&mut stage, SESSION).await.0, "one");
    });
}

#[test]
fn a_session_whose_account_is_full_comes_back_to_it() {
    run(async {
        let one = Upstream::new(vec![vec![answer()], vec![Step::Wait(5_000), answer()], vec![answer()]]);
        let mut stage = stage([&one, &Upstream::always(vec![answer()])], Some(1), false);
        assert_eq!(asked(&mut stage, SESSION).await.0, "one");
        let mut busy = call(&stage, SESSION).await;
        pass(10).await;
        assert_eq!(asked(&mut stage, SESSION).await, ("two".into(), vec!["at_capacity", "eligible"]));
        busy.end().await;
        assert_eq!(told(&stage.record().await).0, "one");
        assert_eq!(asked(&mut stage, SESSION).await, ("one".into(), vec!["session_kept", "eligible"]));
    });
}

#[test]
fn a_session_leaves_an_account_that_fails() {
    run(async {
        let failing = vec![json(500, r#"{"error":{"message":"oh","type":"x"}}"#)];
        let one =
            Upstream::new(vec![vec![answer()], failing.clone(), failing.clone(), failing, vec![answer()]]);
        let mut stage = stage([&one, &Upstream::always(vec![answer()])], None, false);
        assert_eq!(asked(&mut stage, SESSION).await.0, "one");
        for _ in 0..3 {
            assert_eq!(asked(&mut stage, OTHER).await.0, "two");
            pass(5 * MINUTE_MS).await;
        }
        assert_eq!(asked(&mut stage, SESSION).await, ("two".into(), vec!["session_left", "eligible"]));
        // Chance does not know of it.
        assert_eq!(asked(&mut stage, OTHER).await.0, "one");
        assert_eq!(asked(&mut stage, SESSION).await, ("two".into(), vec!["eligible", "session_kept"]));
    });
}

#[test]
fn a_session_leaves_an_account_that_got_slow_unless_there_is_no_other() {
    let stream = |ms| vec![stream_head(), Step::Wait(ms), word("a"), stream_end()];
    let request = ("x-session-id: s\r\n", r#""stream":true,"#, "hi");
    run(async {
        let one = Upstream::new(vec![stream(100), stream(100), stream(30_000), stream(100)]);
        let two = Upstream::always(stream(100));
        let mut stage = stage([&one, &two], None, false);
        for _ in 0..3 {
            assert_eq!(asked(&mut stage, request).await.0, "one");
        }
        stage.worker.shared.blocks.punish(
            &ResourceId::mint(1, [101; 10]),
            state::blocks::Punishment::RateLimited,
            Some(60),
            stage.worker.shared.clock.now_ms(),
        );
        assert_eq!(asked(&mut stage, request).await, ("one".into(), vec!["session_left", "cooling"]));
        pass(2 * MINUTE_MS).await;
        assert_eq!(asked(&mut stage, request).await, ("two".into(), vec!["session_left", "eligible"]));
    });
}
