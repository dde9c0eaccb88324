//! What an account has sealed within an answer goes back to it and to no other.

use std::sync::Arc;

use ledger::MemoryMeter;
use model::resource::KeyTerms;
use model::resource::account::DEFAULT_PRIORITY;
use model::resource::account::{ModelDialect, ModelEntry};
use model::{Code, Secret};

use super::stage::{MODEL, Stage, Step, Upstream, json, run, stream_head};

/// A model that only the second account has.
const OTHER: &str = "other";

/// A model that callers of every dialect get by Responses.
fn in_responses(name: &str) -> ModelEntry {
    ModelEntry::Mapped {
        name: name.into(),
        upstream: name.into(),
        dialect: Some(ModelDialect::OpenAiResponses),
    }
}

/// Two accounts of OpenAI's, equal but for their credentials; the second has a model more. Where the first
/// credential is the second's too, both are the same place.
fn stage(upstreams: [&Arc<Upstream>; 2], credentials: [&'static str; 2]) -> Stage {
    let doors = upstreams.map(|upstream| (upstream, Some(9)));
    Stage::with(KeyTerms::default(), &doors, Arc::new(MemoryMeter::default()), |configuration, _| {
        let place = configuration.accounts[0].base_url.clone();
        for (at, account) in configuration.accounts.iter_mut().enumerate() {
            let changed = Arc::make_mut(account);
            changed.provider = "openai".into();
            changed.priority = DEFAULT_PRIORITY;
            changed.credential = Some(Secret::new(credentials[at].to_owned()));
            let names = [MODEL, OTHER].into_iter().take(at + 1);
            changed.models = names.map(in_responses).collect();
            if credentials[0] == credentials[1] {
                changed.base_url.clone_from(&place);
            }
        }
    })
}

fn seal(of: char) -> String {
    format!("gAAAAAB{}==", of.to_string().repeat(300))
}

fn item(seal: &str) -> String {
    format!(r#"{{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"{seal}"}}"#)
}

/// An answer with sealed thoughts, whole and as a stream.
fn answers(seal: &str) -> [Vec<Step>; 2] {
    let item = item(seal);
    let whole = format!(
        r#"{{"id":"resp_1","object":"response","status":"completed","output":[{item}],"usage":{{"input_tokens":3,"output_tokens":2}}}}"#
    );
    let event = |data: &str| Step::Send(format!("data: {data}\n\n"));
    let stream = vec![
        stream_head(),
        event(r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1"}}"#),
        event(r#"{"type":"response.output_text.delta","sequence_number":1,"delta":"a"}"#),
        Step::Wait(10),
        event(&format!(r#"{{"type":"response.output_item.done","sequence_number":2,"item":{item}}}"#)),
        event(&format!(r#"{{"type":"response.completed","sequence_number":3,"response":{whole}}}"#)),
    ];
    [vec![json(200, &whole)], stream]
}

fn body(items: &[String], more: &str) -> String {
    format!(r#"{{"model":"{MODEL}","store":false,"input":[{}]{more}}}"#, items.join(","))
}

async fn ask(stage: &Stage, body: &str) -> String {
    let mut caller = stage.post("/v1/responses", "", body).await;
    caller.end().await;
    caller.text()
}

#[test]
fn sealed_reasoning_goes_back_to_the_account_that_sealed_it() {
    run(async {
        for (at, more) in [(0, ""), (1, r#","stream":true"#)] {
            let (a, b) = (
                Upstream::always(answers(&seal('a'))[at].clone()),
                Upstream::always(answers(&seal('b'))[at].clone()),
            );
            let mut stage = stage([&a, &b], ["one", "two"]);
            while a.requests() == 0 || b.requests() == 0 {
                ask(&stage, &body(&[], more)).await;
            }
            for (own, other, sealed) in [(&a, &b, seal('a')), (&b, &a, seal('b'))] {
                let before = (own.requests(), other.requests());
                for _ in 0..10 {
                    let text = ask(&stage, &body(&[item(&sealed)], more)).await;
                    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
                }
                assert_eq!((own.requests(), other.requests()), (before.0 + 10, before.1), "{more}");
            }
            // Of what nobody here has made nothing is known, and its account judges it.
            let text = ask(&stage, &body(&[item(&seal('c'))], more)).await;
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            drop(stage.records());
        }
    });
}

#[test]
fn what_its_account_cannot_open_any_more_is_refused_by_name() {
    run(async {
        let [whole, _] = answers(&seal('a'));
        let (a, b) = (Upstream::always(whole), Upstream::always(answers(&seal('b'))[0].clone()));
        let other = body(&[item(&seal('a'))], "").replace(r#""model":"m""#, r#""model":"other""#);
        for (credentials, is_served) in [(["one", "two"], false), (["one", "one"], true)] {
            let mut stage = stage([&a, &b], credentials);
            // By chance it is at the first; at the same place it does not matter.
            let before = a.requests();
            while a.requests() == before {
                ask(&stage, &body(&[], "")).await;
            }
            let text = ask(&stage, &other).await;
            assert_eq!(text.starts_with("HTTP/1.1 200"), is_served, "{text}");
            let record = stage.records().pop().unwrap();
            assert_eq!(record.code, (!is_served).then_some(Code::InvalidRequest));
            assert!(is_served || text.contains(r#""param":"input""#), "{text}");
            assert!(is_served || text.contains("does not offer the model `other`"), "{text}");
        }
    });
}

/// A caller of another dialect carries seals for the gateway: another account gets the words without them.
#[test]
fn a_seal_that_a_caller_of_another_dialect_carries_is_left_out_elsewhere() {
    run(async {
        let (a, b) = (
            Upstream::always(answers(&seal('a'))[0].clone()),
            Upstream::always(answers(&seal('b'))[0].clone()),
        );
        let stage = stage([&a, &b], ["one", "two"]);
        while a.requests() == 0 || b.requests() == 0 {
            ask(&stage, &body(&[], "")).await;
        }
        let thinking = format!(
            r#"{{"type":"redacted_thinking","data":"yumen.openai_responses.encrypted.{}"}}"#,
            seal('a')
        );
        let asked = format!(
            r#"{{"model":"{MODEL}","max_tokens":9,"messages":[{{"role":"user","content":"hi"}},{{"role":"assistant","content":[{thinking},{{"type":"text","text":"x"}}]}},{{"role":"user","content":"go on"}}]}}"#
        );
        let (before_a, before_b) = (a.requests(), b.requests());
        while a.requests() == before_a || b.requests() == before_b {
            let mut caller = stage.post("/v1/messages", "", &asked).await;
            caller.end().await;
            let text = caller.text();
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        }
        // What an upstream has received is kept in small letters.
        let sealed = seal('a').to_ascii_lowercase();
        let (at_a, at_b) = (a.last.lock().unwrap().clone(), b.last.lock().unwrap().clone());
        assert!(at_a.contains(&sealed), "{at_a}");
        assert!(!at_b.contains(&sealed) && at_b.contains("go on"), "{at_b}");
    });
}
