//! What a refused credential means for its account.

use std::sync::Arc;

use ledger::meter::MemoryMeter;
use model::Secret;
use model::resource::{Configuration, KeyTerms};

use super::stage::{MODEL, Stage, Step, Upstream, json, pass, run};
use crate::Catalog;

fn refusing() -> Vec<Step> {
    vec![Step::Wait(1_000), json(401, r#"{"error":{"message":"no such key"}}"#)]
}

fn with_credential(configuration: &Configuration, credential: &str) -> Configuration {
    let mut changed = configuration.clone();
    let mut account = changed.accounts[0].as_ref().clone();
    account.credential = Some(Secret::new(credential.to_owned()));
    changed.accounts = vec![Arc::new(account)];
    changed
}

#[test]
fn a_refusal_that_comes_after_its_credential_was_replaced_blocks_nothing() {
    run(async {
        for (then, is_blocked) in [("credential-of-before", true), ("credential-of-now", false)] {
            let upstream = Upstream::always(refusing());
            let (meter, mut known) = (Arc::new(MemoryMeter::default()), Configuration::default());
            let stage = Stage::with(KeyTerms::default(), &[(&upstream, None)], meter, |configuration, _| {
                *configuration = with_credential(configuration, "credential-of-before");
                known = configuration.clone();
            });
            let shared = &stage.worker.shared;
            let mut caller = stage.call(false, "", "hi").await;
            pass(100).await;
            assert_eq!(upstream.requests(), 1, "it is under way");
            let limits = &shared.settings.default_limits;
            let catalog =
                Catalog::compile(&with_credential(&known, then), limits, Some(&shared.catalog.load()));
            shared.catalog.store(Arc::new(catalog));
            caller.until("HTTP/1.1 502").await;
            let blocked = shared.blocks.blocked(&known.accounts[0].id, MODEL, shared.clock.now_ms());
            assert_eq!(blocked.is_some(), is_blocked, "{then}");
        }
    });
}
