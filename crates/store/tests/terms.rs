//! Terms of keys, users, tenants, groups and the gateway: stored, listed, loaded with the configuration.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use std::sync::Arc;

use model::resource::key::Limit;
use model::resource::terms::{OnDisconnect, StrictUnary, TranslationPolicy, Unpriced, WhenExhausted};
use model::resource::{GatewayTerms, KeyTerms, OwnerTerms, Party, RateLimit, Role, User};
use scratch::{NOW, Scratch, account, id, key, quota, terms, user};
use store::{Cursor, PageRequest, PartyKind, Scope, Store, StoreError};

const KINDS: [PartyKind; 2] = [PartyKind::Tenant, PartyKind::Group];

fn party(name: &str, n: u64) -> Party {
    Party {
        id: name.to_owned(),
        name: name.to_uppercase(),
        terms: terms(5),
        created_at: NOW + n,
        updated_at: NOW + n,
    }
}

#[tokio::test]
async fn a_keys_terms_read_back_and_unset_ones_are_not_written() {
    let (directory, scope) = (Scratch::new(), Scope::system());
    let store = directory.open().await;
    let mut stored = key(1);
    stored.terms = KeyTerms {
        quota: vec![quota(7)],
        is_whitelist: true,
        on_disconnect: OnDisconnect::Drain { seconds: 30 },
        strict_unary: StrictUnary::Clamp,
        when_exhausted: WhenExhausted::Finish,
        idempotency: true,
        translation: TranslationPolicy::Strict,
    };
    store.insert_key(&scope, &stored).await.unwrap();
    assert_eq!(store.find_key(&scope, &id(1)).await.unwrap().unwrap().terms, stored.terms);
    let reset = |key: &mut model::resource::ApiKey| {
        key.terms = KeyTerms::default();
        Ok(())
    };
    let reset = store.update_key(&scope, &id(1), NOW, reset).await.unwrap().unwrap();
    assert_eq!(reset.terms, KeyTerms::default());
    let url = format!("sqlite:{}", directory.path().join("yumen.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let detail: String = sqlx::query_scalar("SELECT detail FROM api_key").fetch_one(&pool).await.unwrap();
    assert!(!detail.contains("terms"), "{detail}");
}

type Step = fn(&mut User);

#[tokio::test]
async fn users_become_members_when_they_are_limited_or_switched_off_and_only_then() {
    let (directory, scope) = (Scratch::new(), Scope::system());
    let store = directory.open().await;
    store.insert_user(&scope, &user(1, Role::Owner), None).await.unwrap();
    let mut known = store.configuration().await.unwrap();
    assert!(known.members.is_empty());
    let steps: [(Step, bool); 5] = [
        (|user| user.terms.wallet = true, true),
        (|user| user.terms = OwnerTerms::default(), false),
        (|user| user.terms.quota.push(quota(3)), true),
        (|user| (user.terms, user.role, user.enabled) = (OwnerTerms::default(), Role::User, false), true),
        (|user| user.enabled = true, false),
    ];
    store.insert_user(&scope, &user(2, Role::Owner), None).await.unwrap();
    for (step, is_member) in steps {
        let edit = |user: &mut User| {
            step(user);
            Ok(())
        };
        let user = store.update_user(&scope, &id(1), NOW, edit).await.unwrap().unwrap();
        known = store.configuration_after(&known).await.unwrap();
        assert_eq!(known.members.len(), usize::from(is_member));
        assert_eq!(store.configuration().await.unwrap().members, known.members);
        for member in &known.members {
            assert_eq!((&member.id, &member.terms, member.enabled), (&user.id, &user.terms, user.enabled));
        }
    }
    let (mut third, terms) = (user(3, Role::User), terms(9));
    third.terms = terms.clone();
    store.insert_user(&scope, &third, None).await.unwrap();
    assert_eq!(store.find_user(&scope, &id(3)).await.unwrap().unwrap().terms, terms);
    assert_eq!(store.configuration_after(&known).await.unwrap().members.len(), 1);
}

#[tokio::test]
async fn tenants_and_groups_are_made_read_edited_and_deleted() {
    let (directory, scope) = (Scratch::new(), Scope::system());
    let store = directory.open().await;
    for kind in KINDS {
        store.insert_party(&scope, kind, &party("gold", 1)).await.unwrap();
        let again = store.insert_party(&scope, kind, &party("gold", 1)).await.unwrap_err();
        assert!(matches!(again, StoreError::Conflict(_)), "{again}");
        assert_eq!(store.find_party(&scope, kind, "gold").await.unwrap(), Some(party("gold", 1)));
        let edit = |party: &mut Party| {
            (party.name, party.id) = ("Gold".to_owned(), "silver".to_owned());
            party.terms = OwnerTerms::default();
            Ok(())
        };
        let edited = store.update_party(&scope, (kind, "gold"), NOW + 9, edit).await.unwrap().unwrap();
        let expected = Party {
            name: "Gold".to_owned(),
            terms: OwnerTerms::default(),
            updated_at: NOW + 9,
            ..party("gold", 1)
        };
        assert_eq!(edited, expected);
        let refused = store.update_party(&scope, (kind, "gold"), NOW, |_| Err(StoreError::Stale)).await;
        assert!(matches!(refused, Err(StoreError::Stale)));
        assert!(store.update_party(&scope, (kind, "none"), NOW, |_| Ok(())).await.unwrap().is_none());
        assert!(store.delete_party(&scope, kind, "gold").await.unwrap());
        assert!(!store.delete_party(&scope, kind, "gold").await.unwrap());
        assert!(store.find_party(&scope, kind, "default").await.unwrap().is_some());
        let kept = store.delete_party(&scope, kind, "default").await;
        assert!(matches!(kept, Err(StoreError::Refused(_))));
    }
}

#[tokio::test]
async fn tenants_and_groups_come_in_pages_and_only_to_their_own_tenant() {
    let (directory, scope, other) = (Scratch::new(), Scope::system(), Scope::new("other", "mallory"));
    let store = directory.open().await;
    for (n, name) in ["a", "b-1", "c_2"].into_iter().enumerate() {
        store.insert_party(&scope, PartyKind::Group, &party(name, n as u64 + 1)).await.unwrap();
    }
    let (mut page, mut seen) = (PageRequest::first(1), Vec::new());
    loop {
        let got = store.list_parties(&scope, PartyKind::Group, &page).await.unwrap();
        seen.extend(got.items.into_iter().map(|party| party.id));
        let Some(next) = got.next else { break };
        page.after = Cursor::parse(&next.to_string());
        assert!(page.after.is_some(), "{next}");
    }
    assert_eq!(seen, ["c_2", "b-1", "a", "default"]);
    assert!(store.find_party(&other, PartyKind::Group, "a").await.unwrap().is_none());
    assert!(!store.delete_party(&other, PartyKind::Group, "a").await.unwrap());
    let edit = |_: &mut Party| Ok(());
    assert!(store.update_party(&other, (PartyKind::Group, "a"), NOW, edit).await.unwrap().is_none());
    let page = store.list_parties(&other, PartyKind::Group, &PageRequest::default()).await.unwrap();
    assert!(page.items.is_empty());
    let taken = store.insert_party(&other, PartyKind::Group, &party("a", 9)).await;
    assert!(matches!(taken, Err(StoreError::Conflict(_))));
}

async fn is_in_use(store: &Store, kind: PartyKind, name: &str) -> bool {
    let deleted = store.delete_party(&Scope::system(), kind, name).await;
    assert!(matches!(deleted, Ok(true) | Err(StoreError::Refused(_))), "{deleted:?}");
    deleted.is_err()
}

#[tokio::test]
async fn a_group_stays_while_a_key_or_an_account_is_in_it() {
    let (directory, scope) = (Scratch::new(), Scope::system());
    let store = directory.open().await;
    for name in ["gold_1", "goldx1", "free"] {
        store.insert_party(&scope, PartyKind::Group, &party(name, 1)).await.unwrap();
    }
    let mut member = key(1);
    member.group_id = "gold_1".into();
    // A name that reads like a group is none.
    member.name = "\"group_id\":\"free\"".into();
    store.insert_key(&scope, &member).await.unwrap();
    assert!(is_in_use(&store, PartyKind::Group, "gold_1").await);
    assert!(!is_in_use(&store, PartyKind::Group, "goldx1").await);
    assert!(!is_in_use(&store, PartyKind::Group, "free").await);
    store.revoke_key(&scope, &id(1), NOW).await.unwrap().unwrap();
    let mut source = account(2, "sk-upstream-credential");
    source.group_id = "gold_1".to_owned();
    store.insert_account(&scope, &source).await.unwrap();
    assert!(is_in_use(&store, PartyKind::Group, "gold_1").await);
    assert!(store.delete_account(&scope, &id(2)).await.unwrap());
    assert!(!is_in_use(&store, PartyKind::Group, "gold_1").await);
}

#[tokio::test]
async fn a_tenant_stays_while_anything_belongs_to_it() {
    let (directory, scope, acme) = (Scratch::new(), Scope::system(), Scope::new("acme", "system"));
    let store = directory.open().await;
    store.insert_party(&scope, PartyKind::Tenant, &party("acme", 1)).await.unwrap();
    store.insert_key(&acme, &key(1)).await.unwrap();
    assert!(is_in_use(&store, PartyKind::Tenant, "acme").await);
    store.revoke_key(&acme, &id(1), NOW).await.unwrap().unwrap();
    store.insert_account(&acme, &account(1, "sk-upstream-credential")).await.unwrap();
    assert!(is_in_use(&store, PartyKind::Tenant, "acme").await);
    assert!(store.delete_account(&acme, &id(1)).await.unwrap());
    assert!(!is_in_use(&store, PartyKind::Tenant, "acme").await);
    store.insert_party(&scope, PartyKind::Tenant, &party("acme", 1)).await.unwrap();
    store.insert_user(&acme, &user(1, Role::User), None).await.unwrap();
    assert!(is_in_use(&store, PartyKind::Tenant, "acme").await);
}

#[tokio::test]
async fn the_gateways_terms_are_unset_at_first_and_make_a_revision() {
    let (directory, scope) = (Scratch::new(), Scope::system());
    let store = directory.open().await;
    assert_eq!(store.gateway_terms(&scope).await.unwrap(), (GatewayTerms::default(), 0));
    let limit = RateLimit { rpm: Limit::AtMost(5), tpm: Limit::Unlimited, ..RateLimit::default() };
    let terms = GatewayTerms {
        ip: limit,
        models: [("gpt-x".to_owned(), limit)].into(),
        global: RateLimit::default(),
        unpriced: Unpriced::Ceiling,
    };
    let before = store.configuration().await.unwrap();
    store.set_gateway_terms(&scope, NOW, &terms, |_| Ok(())).await.unwrap();
    assert_eq!(store.gateway_terms(&scope).await.unwrap(), (terms.clone(), NOW));
    let after = store.configuration_after(&before).await.unwrap();
    assert_eq!((&*after.gateway, after.revision), (&terms, before.revision + 1));
    store.insert_key(&scope, &key(1)).await.unwrap();
    let later = store.configuration_after(&after).await.unwrap();
    assert!(Arc::ptr_eq(&after.gateway, &later.gateway), "what did not change is shared");
    let mallory = Scope::new("other", "mallory");
    store.set_gateway_terms(&mallory, NOW, &GatewayTerms::default(), |_| Ok(())).await.unwrap();
    assert_eq!(*store.configuration().await.unwrap().gateway, terms);
}
