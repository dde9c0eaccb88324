//! Loading what changed gives what loading everything gives, and shares what did not change.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use std::sync::Arc;

use model::NanoUsd;
use model::resource::{Configuration, GatewayTerms, OwnerTerms, Party, PriceLines, PriceOverride, Role};
use scratch::{NOW, Scratch, account, id, key, terms, user};
use store::{PartyKind, Scope, Store, StoreError};

/// What these tests change in a configuration, as text.
fn shown(configuration: &Configuration) -> String {
    let Configuration { revision, keys, accounts, prices, members, tenants, groups, gateway } = configuration;
    let accounts: Vec<_> = accounts
        .iter()
        .map(|account| {
            let credential = account.credential.as_ref().map(|credential| credential.expose().clone());
            (account.id.clone(), account.enabled, account.updated_at, credential)
        })
        .collect();
    format!("{revision} {keys:?} {accounts:?} {prices:?} {members:?} {tenants:?} {groups:?} {gateway:?}")
}

fn price(n: u8, dollars: i64) -> PriceOverride {
    let lines = PriceLines { input: NanoUsd(dollars), ..PriceLines::default() };
    PriceOverride { model: format!("model-{n}"), lines, updated_at: NOW }
}

/// The change that the number `chance` stands for. Changes that the store refuses (a key that exists)
/// change nothing, which is a case as well.
async fn change(store: &Store, chance: u64) {
    if (chance >> 40).is_multiple_of(2) {
        return change_resource(store, chance).await;
    }
    change_terms(store, chance).await;
}

/// A change to one of eight users, tenants or groups, or to the gateway's terms.
async fn change_terms(store: &Store, chance: u64) {
    let scope = Scope::system();
    let n = u8::try_from(chance / 16 % 8).unwrap();
    let at = NOW + chance % 1_000;
    let terms = || if chance.is_multiple_of(3) { OwnerTerms::default() } else { terms(n) };
    let kind = if chance.is_multiple_of(2) { PartyKind::Tenant } else { PartyKind::Group };
    let name = format!("party-{n}");
    match chance / 2 % 8 {
        0 | 1 => drop(store.insert_user(&scope, &user(n, Role::User), None).await),
        2 | 3 => {
            let edit = |user: &mut model::resource::User| {
                (user.terms, user.enabled) = (terms(), !chance.is_multiple_of(5));
                Ok(())
            };
            drop(store.update_user(&scope, &id(n), at, edit).await.unwrap());
        }
        4 => {
            let party = Party { id: name.clone(), name, terms: terms(), created_at: at, updated_at: at };
            drop(store.insert_party(&scope, kind, &party).await);
        }
        5 => {
            let edit = |party: &mut Party| {
                party.terms = terms();
                Ok::<_, StoreError>(())
            };
            drop(store.update_party(&scope, (kind, &name), at, edit).await.unwrap());
        }
        6 => drop(store.delete_party(&scope, kind, &name).await.unwrap()),
        _ => {
            let gateway = GatewayTerms { ip: terms().rate_limit, ..GatewayTerms::default() };
            store.set_gateway_terms(&scope, at, &gateway, |_| Ok(())).await.map(drop).unwrap();
        }
    }
}

/// A change to one of eight keys, accounts or prices.
async fn change_resource(store: &Store, chance: u64) {
    let scope = Scope::system();
    let n = u8::try_from(chance / 16 % 8).unwrap();
    let at = NOW + chance % 1_000;
    match chance % 16 {
        0..4 => drop(store.insert_key(&scope, &key(n)).await),
        4 => drop(store.revoke_key(&scope, &id(n), at).await.unwrap()),
        5 | 6 => {
            let rename = |key: &mut model::resource::ApiKey| {
                key.name = format!("renamed {chance}").into();
                Ok(())
            };
            drop(store.update_key(&scope, &id(n), at, rename).await.unwrap());
        }
        7..9 => drop(store.insert_account(&scope, &account(n, "sk-upstream-credential")).await),
        9 => {
            let switch = |account: &mut model::resource::Account| {
                account.enabled = !account.enabled;
                Ok(())
            };
            drop(store.update_account(&scope, &id(n), at, switch).await.unwrap());
        }
        10 => drop(store.delete_account(&scope, &id(n)).await.unwrap()),
        11..13 => store.set_price(&scope, &price(n, i64::try_from(chance % 1_000).unwrap())).await.unwrap(),
        13 => drop(store.delete_price(&scope, &format!("model-{n}")).await.unwrap()),
        _ => {
            let level = serde_json::json!(chance);
            store.set_setting(&scope, ("log", &level), at, |_| Ok(())).await.map(drop).unwrap();
        }
    }
}

#[tokio::test]
async fn any_sequence_of_changes_loads_as_if_from_the_start() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let mut known = store.configuration().await.unwrap();
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..400 {
        // One to four changes between two loads (xorshift64).
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        for part in 0..=chance % 4 {
            change(&store, (chance >> 8).rotate_left(u32::try_from(part).unwrap() * 16) >> 1).await;
        }
        known = store.configuration_after(&known).await.unwrap();
        assert_eq!(shown(&known), shown(&store.configuration().await.unwrap()));
    }
    assert!(known.keys.len() == 8 && !known.accounts.is_empty() && !known.prices.is_empty());
    assert!(!known.members.is_empty() && !known.tenants.is_empty() && !known.groups.is_empty());
    assert!(*known.gateway != GatewayTerms::default());
}

#[tokio::test]
async fn what_did_not_change_is_shared_with_the_previous_configuration() {
    let (directory, scope) = (Scratch::new(), Scope::system());
    let store = directory.open().await;
    for n in 1..=3 {
        store.insert_key(&scope, &key(n)).await.unwrap();
        store.insert_account(&scope, &account(n, "sk-upstream-credential")).await.unwrap();
        store.set_price(&scope, &price(n, 1)).await.unwrap();
    }
    let before = store.configuration().await.unwrap();
    store.revoke_key(&scope, &id(2), NOW).await.unwrap().unwrap();
    assert!(store.delete_account(&scope, &id(1)).await.unwrap());
    assert!(store.delete_price(&scope, "model-3").await.unwrap());
    let after = store.configuration_after(&before).await.unwrap();
    let shared: Vec<bool> = before.keys.iter().zip(&after.keys).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
    assert_eq!(shared, [true, false, true]);
    assert_eq!((after.accounts.len(), after.prices.len()), (2, 2));
    assert!(Arc::ptr_eq(&before.accounts[1], &after.accounts[0]));
    assert!(Arc::ptr_eq(&before.prices[0], &after.prices[0]));
    let same = store.configuration_after(&after).await.unwrap();
    assert!(after.keys.iter().zip(&same.keys).all(|(a, b)| Arc::ptr_eq(a, b)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_many_writers_all_arrive() {
    let directory = Scratch::new();
    let store = Arc::new(directory.open().await);
    let writers: Vec<_> = (0..40)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.insert_key(&Scope::system(), &key(n)).await })
        })
        .collect();
    let mut known = Configuration::default();
    while known.keys.len() < 40 {
        known = store.configuration_after(&known).await.unwrap();
        // Every revision here adds one key: a state that is mixed of two would show.
        assert_eq!(known.keys.len() as u64, known.revision);
    }
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(shown(&known), shown(&store.configuration().await.unwrap()));
}
