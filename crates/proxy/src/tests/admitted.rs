//! Who is let in: limits at all levels, room among all others, and users who are switched off.

use std::sync::Arc;

use ledger::MemoryMeter;
use model::resource::key::{DEFAULT_GROUP, DEFAULT_TENANT, Limit};
use model::resource::terms::{GatewayTerms, Member, OwnerTerms, Party};
use model::resource::{Configuration, KeyTerms, RateLimit};
use model::{Code, ResourceId};
use state::capacity::Most;

use super::stage::{MODEL, Stage, Step, Upstream, answer, pass, run};
use crate::settings::Settings;

fn stage(
    terms: KeyTerms,
    upstream: &Arc<Upstream>,
    change: impl FnOnce(&mut Configuration, &mut Settings),
) -> Stage {
    Stage::with(terms, &[(upstream, None)], Arc::new(MemoryMeter::default()), change)
}

fn one_a_minute() -> RateLimit {
    RateLimit { rpm: Limit::AtMost(1), ..RateLimit::default() }
}

fn terms() -> OwnerTerms {
    OwnerTerms { rate_limit: one_a_minute(), ..OwnerTerms::default() }
}

fn party(id: &str) -> Arc<Party> {
    Arc::new(Party { id: id.into(), name: id.into(), terms: terms(), created_at: 1, updated_at: 1 })
}

fn user(configuration: &mut Configuration, terms: OwnerTerms, enabled: bool) {
    let id = ResourceId::mint(1, [9; 10]);
    Arc::make_mut(&mut configuration.keys[0]).user_id = Some(id.clone());
    configuration.members.push(Arc::new(Member { id, terms, enabled }));
}

/// Limits one level to a request a minute.
fn limit(level: &str, configuration: &mut Configuration) {
    let gateway = Arc::make_mut(&mut configuration.gateway);
    match level {
        "ip" => gateway.ip = one_a_minute(),
        "key" => Arc::make_mut(&mut configuration.keys[0]).rate_limit = one_a_minute().into(),
        "user" => user(configuration, terms(), true),
        "tenant" => configuration.tenants.push(party(DEFAULT_TENANT)),
        "group" => configuration.groups.push(party(DEFAULT_GROUP)),
        "model" => {
            gateway.models.insert(MODEL.into(), one_a_minute());
        }
        _ => *gateway = GatewayTerms { global: one_a_minute(), ..GatewayTerms::default() },
    }
}

#[test]
fn every_level_has_its_limit() {
    run(async {
        for level in ["ip", "key", "user", "tenant", "group", "model", "global"] {
            let upstream = Upstream::always(vec![answer()]);
            let mut stage = stage(KeyTerms::default(), &upstream, |all, _| limit(level, all));
            let mut first = stage.call(false, "", "hi").await;
            first.end().await;
            assert!(first.text().contains("x-ratelimit-remaining: 0"), "{level}: {}", first.text());
            assert_eq!(stage.record().await.status, 200);
            let mut second = stage.call(false, "", "hi").await;
            second.end().await;
            let record = stage.record().await;
            assert_eq!((record.status, record.code), (429, Some(Code::RateLimitRpm)), "{level}");
            assert!(second.text().contains(&format!("limit of this {level}")), "{}", second.text());
            assert!(second.text().contains("retry-after: "), "{}", second.text());
        }
    });
}

#[test]
fn a_key_on_the_white_list_skips_them_all() {
    run(async {
        let upstream = Upstream::always(vec![answer()]);
        let terms = KeyTerms { is_whitelist: true, ..KeyTerms::default() };
        let mut stage = stage(terms, &upstream, |all, _| {
            ["ip", "key", "model"].into_iter().for_each(|level| limit(level, all));
        });
        for _ in 0..3 {
            stage.call(false, "", "hi").await.end().await;
            assert_eq!(stage.record().await.status, 200);
        }
    });
}

#[test]
fn the_keys_of_a_disabled_user_are_refused() {
    run(async {
        let upstream = Upstream::always(vec![answer()]);
        let mut stage =
            stage(KeyTerms::default(), &upstream, |all, _| user(all, OwnerTerms::default(), false));
        stage.call(false, "", "hi").await.end().await;
        let record = stage.record().await;
        assert_eq!((record.status, record.code), (401, Some(Code::ApiKeyRevoked)));
        assert_eq!(upstream.requests(), 0);
    });
}

#[test]
fn a_full_gateway_says_so_at_once_and_lets_in_again() {
    run(async {
        let upstream = Upstream::new(vec![vec![Step::Wait(1_000), answer()], vec![answer()]]);
        let mut stage = stage(KeyTerms::default(), &upstream, |_, settings| {
            settings.sizes.most = Most { requests: 1, body_bytes: 1 << 20 };
        });
        let mut first = stage.call(false, "", "hi").await;
        pass(100).await;
        let mut second = stage.call(false, "", "hi").await;
        assert_eq!(second.end().await, 0, "no time passes");
        assert!(second.text().contains("503 ") && second.text().contains("retry-after: 1"));
        let record = stage.record().await;
        assert_eq!((record.code, record.bytes_in), (Some(Code::Overloaded), 0));
        first.end().await;
        assert_eq!(stage.record().await.status, 200);
        let capacity = &stage.worker.shared.capacity;
        assert_eq!((capacity.requests(), capacity.body_bytes()), (0, 0));
        stage.call(false, "", "hi").await.end().await;
        assert_eq!(stage.record().await.status, 200);
    });
}

#[test]
fn a_body_that_trickles_is_given_up() {
    run(async {
        let upstream = Upstream::always(vec![answer()]);
        let mut stage = stage(KeyTerms::default(), &upstream, |_, _| {});
        let mut caller = stage.begin("/v1/chat/completions", "", "{", 1_000).await;
        for _ in 0..3 {
            pass(9_000).await;
            caller.send(" ").await;
        }
        // Never silent for long, and yet 30 seconds are all that so few bytes are worth.
        let ended = caller.end().await;
        assert!((30_000..31_000).contains(&ended), "{ended}");
        assert!(caller.text().contains("too slowly: 4 bytes in 30 s"), "{}", caller.text());
        assert_eq!(stage.record().await.code, Some(Code::InvalidRequest));
        assert_eq!(upstream.requests(), 0);
    });
}

#[test]
fn administration_that_has_moved_is_not_found_and_health_and_metrics_are_where_they_were() {
    run(async {
        let upstream = Upstream::always(vec![answer()]);
        // Nobody answers in this control plane: what comes to it ends with 500.
        let stage = stage(KeyTerms::default(), &upstream, |_, settings| settings.serve_control = false);
        for (path, status) in [
            ("/api/v1/admin/api-keys", 404),
            ("/api/v1/auth/login", 404),
            ("/admin/keys", 404),
            ("/console", 404),
            ("/health", 500),
            ("/health/ready", 500),
            ("/actuator/readiness", 500),
            ("/metrics", 500),
        ] {
            let mut caller = stage.post(path, "", "").await;
            caller.end().await;
            assert!(caller.text().starts_with(&format!("HTTP/1.1 {status}")), "{path}: {}", caller.text());
        }
    });
}
