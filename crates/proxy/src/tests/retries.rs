//! How often requests are sent again.

use std::sync::Arc;

use ledger::meter::MemoryMeter;
use model::Code;
use model::resource::{Configuration, KeyTerms};
use state::retries::ALWAYS;

use super::stage::{MODEL, Stage, Step, Upstream, answer, json, pass, run};
use crate::Catalog;

fn of_model(stage: &Stage) -> Arc<crate::catalog::Model> {
    Arc::clone(stage.worker.shared.catalog.load().model("default", MODEL).unwrap())
}

#[test]
fn when_the_budget_is_used_up_the_first_failure_is_the_answer() {
    run(async {
        let refusing = Upstream::always(vec![json(503, r#"{"error":{"message":"full"}}"#)]);
        let sound = Upstream::always(vec![answer()]);
        let mut stage = Stage::new(KeyTerms::default(), &[(&refusing, None), (&sound, None)]);
        let budget = Arc::clone(&of_model(&stage).retries);
        let now_ms = stage.worker.shared.clock.now_ms();
        (1..ALWAYS).for_each(|_| assert!(budget.take(now_ms).allowed));
        stage.call(false, "", "hi").await.until("HTTP/1.1 200").await;
        let record = stage.record().await;
        assert!(record.checks.iter().all(|check| check.name != "retry_budget"), "{:?}", record.checks);
        assert_eq!(record.attempts.len(), 2);
        let model = of_model(&stage);
        model.offers.iter().for_each(|offer| stage.worker.shared.blocks.reset(&offer.upstream.account.id));
        let mut caller = stage.call(false, "", "hi").await;
        caller.until("\r\n\r\n").await;
        assert!(caller.text().starts_with("HTTP/1.1 503"), "{}", caller.text());
        let record = stage.record().await;
        let check = record.checks.iter().find(|check| check.name == "retry_budget").unwrap();
        assert_eq!((check.passed, check.limit, check.used), (false, Some(100), Some(100)));
        assert_eq!((record.code, record.attempts.len()), (Some(Code::NoAvailableUpstream), 1));
        assert_eq!((refusing.requests(), sound.requests()), (2, 1));
    });
}

#[test]
fn who_may_not_be_sent_again_does_not_wait_for_a_place() {
    run(async {
        let refusing = Upstream::always(vec![json(503, r#"{"error":{"message":"full"}}"#)]);
        let busy = Upstream::always(vec![Step::Wait(5_000), answer()]);
        let mut stage = Stage::new(KeyTerms::default(), &[(&refusing, None), (&busy, Some(1))]);
        let model = of_model(&stage);
        let now_ms = stage.worker.shared.clock.now_ms();
        // Sent again, it takes the only place.
        let mut first = stage.call(false, "", "hi").await;
        pass(1_000).await;
        while model.retries.take(now_ms).allowed {}
        stage.worker.shared.blocks.reset(&model.offers[0].upstream.account.id);
        let mut second = stage.call(false, "", "hi").await;
        assert_eq!(second.until("HTTP/1.1 503").await, 0, "it waited");
        let record = stage.record().await;
        let named = |name: &str| record.checks.iter().any(|check| check.name == name);
        assert!(named("retry_budget") && !named("queue_wait_ms"), "{:?}", record.checks);
        first.until("HTTP/1.1 200").await;
    });
}

#[test]
fn a_budget_outlives_a_change_of_the_configuration() {
    run(async {
        let upstream = Upstream::always(vec![answer()]);
        let meter = Arc::new(MemoryMeter::default());
        let mut known = Configuration::default();
        let stage = Stage::with(KeyTerms::default(), &[(&upstream, None)], meter, |configuration, _| {
            known = configuration.clone();
        });
        let before = stage.worker.shared.catalog.load_full();
        let after = Catalog::compile(&known, &stage.worker.shared.settings.default_limits, Some(&before));
        let after = after.model("default", MODEL).unwrap();
        assert!(Arc::ptr_eq(&after.retries, &of_model(&stage).retries));
    });
}
