//! Requests against quotas and wallets, with the real ledger behind them.

use std::sync::Arc;

use ledger::book::Book;
use ledger::engine::Adjustment;
use ledger::{Event, Ledger, MemoryJournal};
use model::entry::EntryState;
use model::quota::{Amounts, Owner, OwnerKind, Period, Quota, Unit};
use model::resource::terms::{GatewayTerms, Member, OwnerTerms, StrictUnary, Unpriced, WhenExhausted};
use model::resource::{Configuration, KeyTerms, PriceLines, PriceOverride};
use model::{Code, NanoUsd, ResourceId, UsageSource};

use super::stage::{MODEL, Stage, Step, Upstream, answer, json, run, stream_head, word};

/// Four tokens, by the estimate.
const WORD: &str = "0123456789abcdef";
/// What a request of "hi" has, by the estimate: a quarter of the seven bytes of model, role and word, and 3.
const HI: u64 = 4;

struct Bank {
    ledger: Arc<Ledger>,
    journal: MemoryJournal,
}

impl Bank {
    fn new() -> Self {
        let journal = MemoryJournal::new();
        let ledger = Ledger::open(Book::new(), Arc::new(journal.clone()), 1);
        Self { ledger: Arc::new(ledger), journal }
    }

    fn stage(
        &self,
        terms: KeyTerms,
        upstream: &Arc<Upstream>,
        change: impl FnOnce(&mut Configuration),
    ) -> Stage {
        let meter = Arc::clone(&self.ledger);
        Stage::with(terms, &[(upstream, None)], meter, |configuration, _| change(configuration))
    }

    /// The charge of the request that ended last: how it is known, its tokens, and what was charged.
    fn charge(&self) -> (EntryState, u64, Amounts) {
        let events = self.journal.events();
        let ended = events.iter().rev().find_map(|event| match event {
            Event::Ended(ended) => Some(ended),
            _ => None,
        });
        let ended = ended.expect("a request has ended");
        (ended.state, ended.usage.total(), ended.charged)
    }

    fn ends(&self) -> usize {
        self.journal.events().iter().filter(|event| matches!(event, Event::Ended(_))).count()
    }

    fn nothing_is_held(&self) {
        let counts = self.ledger.counts();
        assert_eq!((counts.open, counts.held), (0, Amounts::default()));
        assert!(self.ledger.frozen().is_empty());
    }
}

fn quota(unit: Unit, limit: i64) -> KeyTerms {
    KeyTerms { quota: vec![Quota { unit, period: Period::Never, limit }], ..KeyTerms::default() }
}

/// A dollar for each token, both ways.
fn priced(configuration: &mut Configuration) {
    let dollars = NanoUsd::parse("1000000").expect("an amount");
    let lines = PriceLines { input: dollars, output: dollars, ..PriceLines::default() };
    configuration.prices.push(Arc::new(PriceOverride { model: MODEL.into(), lines, updated_at: 1 }));
}

fn dollars(count: i64) -> NanoUsd {
    NanoUsd(count * 1_000_000_000)
}

fn long_stream(words: usize) -> Vec<Step> {
    let mut script = vec![stream_head()];
    script.extend((0..words).flat_map(|_| [word(WORD), Step::Wait(10)]));
    let usage = format!(r#"{{"prompt_tokens":11,"completion_tokens":{}}}"#, words * 4);
    script.push(Step::Send(format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n")));
    script
}

#[test]
fn a_quota_of_three_requests_lets_three_through() {
    run(async {
        let (bank, upstream) = (Bank::new(), Upstream::always(vec![answer()]));
        let mut stage = bank.stage(quota(Unit::Requests, 3), &upstream, |_| {});
        for used in 0..5 {
            let mut caller = stage.call(false, "", "hi").await;
            caller.end().await;
            let record = stage.record().await;
            let window = record.checks.iter().find(|check| check.name == "key_requests_never");
            let window = window.expect("the window was looked at");
            assert_eq!((window.limit, window.used), (Some(3), Some(used.min(3))));
            assert_eq!(window.passed, used < 3);
            let refused = (record.status, record.code) == (403, Some(Code::QuotaRequestExceeded));
            assert_eq!(refused, used >= 3, "{}", caller.text());
        }
        assert_eq!((upstream.requests(), bank.ends()), (3, 3));
        let charged = Amounts { requests: 1, tokens: 18, cost: NanoUsd::ZERO };
        assert_eq!(bank.charge(), (EntryState::Measured, 18, charged));
        bank.nothing_is_held();
    });
}

#[test]
fn a_stream_that_cannot_be_paid_any_further_ends_with_its_code_and_its_usage() {
    run(async {
        let (bank, upstream) = (Bank::new(), Upstream::always(long_stream(400)));
        let mut stage = bank.stage(quota(Unit::Tokens, 700), &upstream, |_| {});
        let mut caller = stage.call(true, "", "hi").await;
        caller.end().await;
        let text = caller.text();
        assert!(text.contains("QUOTA_TOKEN_EXCEEDED") && !text.contains("[DONE]"), "{text}");
        let record = stage.record().await;
        assert_eq!((record.status, record.code), (200, Some(Code::QuotaTokenExceeded)));
        let words = text.matches(WORD).count() as u64;
        let spent = record.usage.total();
        assert_eq!(record.usage.output, words * 4);
        assert!((690..=700).contains(&spent), "{spent}");
        assert!(text.contains(&format!("\"completion_tokens\":{}", words * 4)), "{text}");
        assert_eq!((bank.charge().0, bank.charge().1), (EntryState::Estimated, spent));
        bank.nothing_is_held();
        assert_eq!(record.attempts[0].class, "begun");
    });
}

/// A stream whose pieces of 100 tokens come together, after `first` of them and a while.
fn sudden_stream(first: usize, pieces: usize) -> Vec<Step> {
    let text = |count: usize| -> String {
        let piece = word(&WORD.repeat(25));
        let sent = (0..count).map(|_| match &piece {
            Step::Send(text) => text.as_str(),
            _ => "",
        });
        sent.collect()
    };
    let usage = format!(r#"{{"prompt_tokens":11,"completion_tokens":{}}}"#, pieces * 100);
    let end = format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n");
    let rest = Step::Send(text(pieces - first) + &end);
    match first {
        0 => vec![stream_head(), rest],
        _ => vec![stream_head(), Step::Send(text(first)), Step::Wait(10), rest],
    }
}

#[test]
fn what_comes_at_once_is_paid_for_at_once() {
    run(async {
        for (first, status) in [(0, 403), (1, 200)] {
            let (bank, upstream) = (Bank::new(), Upstream::always(sudden_stream(first, 20)));
            let mut stage = bank.stage(quota(Unit::Tokens, 700), &upstream, |_| {});
            let mut caller = stage.call(true, "", "hi").await;
            caller.end().await;
            let text = caller.text();
            assert!(text.contains("QUOTA_TOKEN_EXCEEDED") && !text.contains("[DONE]"), "{text}");
            let record = stage.record().await;
            assert_eq!((record.status, record.code), (status, Some(Code::QuotaTokenExceeded)));
            // What was not forwarded is not charged, although the upstream has stated all of it.
            assert_eq!(record.usage.output, first as u64 * 100);
            assert_eq!(text.matches(&WORD.repeat(25)).count(), first);
            assert_eq!((bank.charge().0, bank.charge().1), (EntryState::Estimated, record.usage.total()));
            bank.nothing_is_held();
            assert_eq!(record.attempts[0].class, "begun");
        }
    });
}

#[test]
fn a_stream_may_finish_where_its_key_says_so_and_the_next_one_is_refused() {
    run(async {
        let (bank, upstream) = (Bank::new(), Upstream::always(long_stream(400)));
        let terms = KeyTerms { when_exhausted: WhenExhausted::Finish, ..quota(Unit::Tokens, 700) };
        let mut stage = bank.stage(terms, &upstream, |_| {});
        for expected in [None, Some(Code::QuotaTokenExceeded)] {
            let mut caller = stage.call(true, "", "hi").await;
            caller.end().await;
            assert_eq!(stage.record().await.code, expected, "{}", caller.text());
        }
        assert_eq!((upstream.requests(), bank.ends()), (1, 1));
        bank.nothing_is_held();
    });
}

#[test]
fn who_leaves_pays_for_what_was_produced() {
    run(async {
        let script = [vec![stream_head()], vec![word(WORD); 10], vec![Step::Hold]].concat();
        let (bank, upstream) = (Bank::new(), Upstream::always(script));
        let mut stage = bank.stage(quota(Unit::Tokens, 10_000), &upstream, |_| {});
        let mut caller = stage.call(true, "", "hi").await;
        caller.until(WORD).await;
        drop(caller);
        let record = stage.record().await;
        assert_eq!(record.usage.source, UsageSource::Estimated);
        assert!(record.usage.output <= 40 && record.usage.output % 4 == 0, "{}", record.usage.output);
        assert_eq!(bank.charge().1, record.usage.total());
        bank.nothing_is_held();
    });
}

#[test]
fn nothing_is_charged_where_every_upstream_refused() {
    run(async {
        let (bank, upstream) = (Bank::new(), Upstream::always(vec![json(500, "{}")]));
        let mut stage = bank.stage(quota(Unit::Tokens, 10_000), &upstream, priced);
        stage.call(false, "", "hi").await.end().await;
        let record = stage.record().await;
        assert_eq!((record.status, record.usage.source), (502, UsageSource::None));
        assert_eq!((bank.charge(), bank.ends()), ((EntryState::Void, 0, Amounts::default()), 1));
        bank.nothing_is_held();
    });
}

#[test]
fn a_usage_of_zero_stays_zero() {
    run(async {
        let usage = r#"{"id":"c","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#;
        let (bank, upstream) = (Bank::new(), Upstream::always(vec![json(200, usage)]));
        let mut stage = bank.stage(quota(Unit::Tokens, 10_000), &upstream, priced);
        stage.call(false, "", "hi").await.end().await;
        assert_eq!(stage.record().await.cost, Some(NanoUsd::ZERO));
        let charged = Amounts { requests: 1, ..Amounts::default() };
        assert_eq!(bank.charge(), (EntryState::Measured, 0, charged));
    });
}

/// A user with a wallet, whose key it is.
fn with_wallet(configuration: &mut Configuration) -> Owner {
    let id = ResourceId::mint(1, [9; 10]);
    Arc::make_mut(&mut configuration.keys[0]).user_id = Some(id.clone());
    let owner = Owner { kind: OwnerKind::User, id: id.as_str().into() };
    let terms = OwnerTerms { wallet: true, ..OwnerTerms::default() };
    configuration.members.push(Arc::new(Member { id, terms, enabled: true }));
    owner
}

async fn fill(bank: &Bank, owner: &Owner, change: NanoUsd) {
    let (tenant, reason, actor) = ("default".into(), "a test".into(), "a test".into());
    let adjustment = Adjustment { owner: owner.clone(), tenant, change, reason, actor, at: 1 };
    bank.ledger.adjust(adjustment).await.expect("it fits");
}

#[test]
fn a_wallet_pays_until_it_is_empty() {
    run(async {
        let (bank, upstream) = (Bank::new(), Upstream::always(vec![answer()]));
        let mut owner = None;
        let mut stage = bank.stage(KeyTerms::default(), &upstream, |configuration| {
            priced(configuration);
            owner = Some(with_wallet(configuration));
        });
        let owner = owner.expect("it was made");
        stage.call(false, "", "hi").await.end().await;
        assert_eq!(stage.record().await.code, Some(Code::InsufficientBalance));
        fill(&bank, &owner, dollars(400)).await;
        for balance in [382, 364] {
            stage.call(false, "", "hi").await.end().await;
            let record = stage.record().await;
            assert_eq!((record.status, record.cost), (200, Some(dollars(18))));
            let standing = bank.ledger.standing(&owner, &[], true, 1);
            assert_eq!(standing.balance, Some(dollars(balance)));
        }
        fill(&bank, &owner, dollars(-200)).await;
        let mut caller = stage.call(false, "", "hi").await;
        caller.end().await;
        let record = stage.record().await;
        assert_eq!((record.status, record.code), (402, Some(Code::InsufficientBalance)), "{}", caller.text());
        assert!(record.checks.iter().any(|check| check.name == "user_balance" && !check.passed));
        bank.nothing_is_held();
    });
}

#[test]
fn a_model_without_a_price_is_refused_where_money_pays_unless_it_is_said_otherwise() {
    run(async {
        for (unpriced, status, cost) in
            [(Unpriced::Refuse, 403, Some(0)), (Unpriced::Free, 200, Some(0)), (Unpriced::Ceiling, 200, None)]
        {
            let (bank, upstream) = (Bank::new(), Upstream::always(vec![answer()]));
            let mut stage = bank.stage(quota(Unit::Cost, 1_000_000_000_000), &upstream, |configuration| {
                Arc::make_mut(&mut configuration.accounts[0]).provider = "openai-compatible".into();
                configuration.gateway = Arc::new(GatewayTerms { unpriced, ..GatewayTerms::default() });
            });
            stage.call(false, "", "hi").await.end().await;
            let record = stage.record().await;
            assert_eq!(record.status, status, "{unpriced:?}");
            assert_eq!(record.code, (status == 403).then_some(Code::ModelNotPriced));
            match cost {
                Some(cost) => assert_eq!(record.cost, Some(NanoUsd(cost))),
                None => assert!(record.cost > Some(NanoUsd::ZERO)),
            }
        }
        let (bank, upstream) = (Bank::new(), Upstream::always(vec![answer()]));
        let mut stage = bank.stage(quota(Unit::Tokens, 1_000), &upstream, |configuration| {
            Arc::make_mut(&mut configuration.accounts[0]).provider = "openai-compatible".into();
        });
        stage.call(false, "", "hi").await.end().await;
        let record = stage.record().await;
        assert_eq!((record.status, record.cost), (200, None), "only tokens pay");
    });
}

#[test]
fn a_clamped_request_asks_for_no_more_than_is_affordable() {
    run(async {
        for (limit, expected) in [(100_000, 8_192), (500, 0)] {
            let (bank, upstream) = (Bank::new(), Upstream::always(vec![answer()]));
            let terms = KeyTerms { strict_unary: StrictUnary::Clamp, ..quota(Unit::Tokens, limit) };
            let mut stage = bank.stage(terms, &upstream, |_| {});
            stage.call(false, "", "hi").await.end().await;
            let record = stage.record().await;
            let asked = upstream.last.lock().unwrap().clone();
            let most = asked.split("\"max_tokens\":").nth(1).and_then(|rest| rest.split(',').next());
            let most: u64 = most.and_then(|most| most.parse().ok()).expect(&asked);
            assert_eq!(record.status, 200);
            let affordable = if expected > 0 { expected } else { limit.unsigned_abs() - HI };
            assert_eq!(most, affordable);
            bank.nothing_is_held();
        }
    });
}

#[test]
fn nothing_goes_upstream_while_the_journal_cannot_be_written() {
    run(async {
        let (bank, upstream) = (Bank::new(), Upstream::always(vec![answer()]));
        bank.journal.set_faulty(true);
        let mut stage = bank.stage(KeyTerms::default(), &upstream, |_| {});
        stage.call(false, "", "hi").await.end().await;
        let record = stage.record().await;
        assert_eq!((record.status, record.code), (503, Some(Code::ServiceDegraded)));
        assert_eq!((upstream.requests(), record.usage.source), (0, UsageSource::None));
        bank.nothing_is_held();
    });
}

#[test]
fn internal_keys_pay_nothing_and_are_booked() {
    run(async {
        let (bank, upstream) = (Bank::new(), Upstream::always(vec![answer()]));
        let mut stage = bank.stage(quota(Unit::Requests, 0), &upstream, |configuration| {
            priced(configuration);
            Arc::make_mut(&mut configuration.keys[0]).kind = model::resource::KeyKind::Internal;
        });
        stage.call(false, "", "hi").await.end().await;
        assert_eq!((stage.record().await.status, bank.ends()), (200, 1));
        assert_eq!(bank.charge().0, EntryState::Measured);
    });
}

#[test]
fn what_is_held_follows_the_last_answers_of_the_key_and_model() {
    run(async {
        for (answers, output) in [(19, 256), (20, 7)] {
            let mut scripts = vec![vec![answer()]; answers];
            scripts.push(vec![Step::Hold]);
            let (bank, upstream) = (Bank::new(), Upstream::new(scripts));
            let mut stage = bank.stage(quota(Unit::Tokens, 10_000), &upstream, |_| {});
            for _ in 0..answers {
                stage.call(false, "", "hi").await.end().await;
                assert_eq!(stage.record().await.status, 200);
            }
            let caller = stage.call(false, "", "hi").await;
            while upstream.requests() <= answers {
                tokio::task::yield_now().await;
            }
            let held = bank.ledger.counts().held;
            assert_eq!((held.requests, held.tokens.unsigned_abs()), (1, HI + output));
            drop(caller);
            assert_eq!(stage.record().await.code, Some(Code::ClientClosed));
            bank.nothing_is_held();
        }
    });
}
