//! Paths that ask for the accounts of one family.

use std::sync::Arc;

use ledger::meter::MemoryMeter;
use model::Code;
use model::resource::{KeyTerms, ModelEntry};

use super::stage::{Stage, Upstream, answer, run};

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

/// Three accounts: of no family; of `near` and in the key's group; of `near` and `far`'s, in another group.
fn stage(upstreams: &[Arc<Upstream>; 3], families: [Option<&str>; 3]) -> Stage {
    let doors: Vec<_> = upstreams.iter().map(|upstream| (upstream, None)).collect();
    let meter = Arc::new(MemoryMeter::default());
    Stage::with(KeyTerms::default(), &doors, meter, |configuration, _| {
        for (account, family) in configuration.accounts.iter_mut().zip(families) {
            Arc::make_mut(account).family = family.map(str::to_owned);
        }
        let last = Arc::make_mut(&mut configuration.accounts[2]);
        last.group_id = "another".into();
        last.models.push(ModelEntry::Same("rare".into()));
    })
}

fn upstreams() -> [Arc<Upstream>; 3] {
    [(); 3].map(|()| Upstream::always(vec![answer()]))
}

#[test]
fn a_path_with_a_family_goes_to_its_accounts_alone_those_of_the_keys_group_first() {
    run(async {
        let all = upstreams();
        let mut stage = stage(&all, [None, Some("near"), Some("near")]);
        let gemini = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#;
        let rare = CHAT.replace(r#""m""#, r#""rare""#);
        for (path, body, counts) in [
            ("/v1/chat/completions", CHAT, [1, 0, 0]),
            ("/near/v1/chat/completions", CHAT, [1, 1, 0]),
            ("/near/v1beta/models/m:generateContent", gemini, [1, 2, 0]),
            // Nobody in the key's group has it.
            ("/near/v1/chat/completions", &rare, [1, 2, 1]),
        ] {
            let mut caller = stage.post(path, "", body).await;
            caller.end().await;
            assert!(caller.text().starts_with("HTTP/1.1 200"), "{path}: {}", caller.text());
            assert_eq!(all.each_ref().map(|upstream| upstream.requests()), counts, "{path}");
            assert_eq!(stage.record().await.status, 200);
        }
    });
}

#[test]
fn what_is_no_family_or_not_in_it_is_not_found() {
    run(async {
        let all = upstreams();
        let mut stage = stage(&all, [None, Some("near"), Some("far")]);
        for (path, body, code) in [
            ("/other/v1/chat/completions", CHAT, Code::NotFound),
            ("/near/chat/completions", CHAT, Code::NotFound),
            ("/near/near/v1/chat/completions", CHAT, Code::NotFound),
            ("/near/v1/chat/completions", &CHAT.replace(r#""m""#, r#""rare""#), Code::ModelNotFound),
            ("/near/external/v1/chat/completions", CHAT, Code::NotFound),
        ] {
            let mut caller = stage.post(path, "", body).await;
            caller.end().await;
            assert!(caller.text().starts_with("HTTP/1.1 404"), "{path}: {}", caller.text());
            assert_eq!(stage.record().await.code, Some(code), "{path}");
        }
        assert_eq!(all.each_ref().map(|upstream| upstream.requests()), [0; 3]);
    });
}
