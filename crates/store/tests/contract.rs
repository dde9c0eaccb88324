//! What every aggregate promises, whichever engine is underneath.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use std::sync::Arc;

use model::NanoUsd;
use model::resource::key::{KeyStatus, Limit};
use model::resource::{PriceLines, PriceOverride, RateLimit, Role};
use scratch::{NOW, Scratch, account, id, key, user};
use store::accounts::credential_hint;
use store::{
    AccountFilter, Cursor, KeyFilter, NewSecret, NewSession, NewToken, PageRequest, Scope, StoreError,
    TokenUse,
};

fn system() -> Scope {
    Scope::system()
}

#[tokio::test]
async fn a_key_reads_back_as_it_was_stored() {
    let (directory, scope) = (Scratch::new(), system());
    let store = directory.open().await;
    let mut stored = key(1);
    stored.rate_limit =
        RateLimit { rpm: Limit::AtMost(60), tpm: Limit::Unlimited, ..RateLimit::default() }.into();
    stored.expires_at = Some(NOW + 5);
    store.insert_key(&scope, &stored).await.unwrap();
    let read = store.find_key(&scope, &stored.id).await.unwrap().unwrap();
    assert_eq!(format!("{read:?}"), format!("{stored:?}"));
    let again = store.insert_key(&scope, &stored).await.unwrap_err();
    assert!(matches!(again, StoreError::Conflict(_)), "{again}");
}

#[tokio::test]
async fn keys_that_are_loaded_together_share_the_names_of_their_tenant_and_group() {
    let (directory, scope) = (Scratch::new(), system());
    let store = directory.open().await;
    for n in 1..=3 {
        let mut stored = key(n);
        stored.group_id = if n == 3 { "other".into() } else { stored.group_id };
        store.insert_key(&scope, &stored).await.unwrap();
    }
    let keys = store.configuration().await.unwrap().keys;
    assert!(keys.iter().all(|key| Arc::ptr_eq(&key.tenant_id, &keys[0].tenant_id)));
    let groups: Vec<bool> = keys.iter().map(|key| Arc::ptr_eq(&key.group_id, &keys[0].group_id)).collect();
    assert_eq!(groups, [true, true, false]);
}

#[tokio::test]
async fn keys_come_in_pages_newest_first_and_filtered() {
    let (directory, scope) = (Scratch::new(), system());
    let store = directory.open().await;
    for n in 1..=5 {
        store.insert_key(&scope, &key(n)).await.unwrap();
    }
    store.revoke_key(&scope, &id(2), NOW + 50).await.unwrap().unwrap();
    let mut names = Vec::new();
    let mut page = PageRequest::first(2);
    loop {
        let got = store.list_keys(&scope, &KeyFilter::default(), &page).await.unwrap();
        names.extend(got.items.into_iter().map(|key| key.name.into_string()));
        let Some(next) = got.next else { break };
        page.after = Cursor::parse(&next.to_string());
        assert!(page.after.is_some());
    }
    assert_eq!(names, ["key 5", "key 4", "key 3", "key 2", "key 1"]);
    let revoked = KeyFilter { status: Some(KeyStatus::Revoked), ..KeyFilter::default() };
    let got = store.list_keys(&scope, &revoked, &PageRequest::default()).await.unwrap();
    assert_eq!(got.items.len(), 1);
}

#[tokio::test]
async fn a_key_is_edited_in_place_but_keeps_what_is_fixed() {
    let (directory, scope) = (Scratch::new(), system());
    let store = directory.open().await;
    store.insert_key(&scope, &key(1)).await.unwrap();
    let edited = store
        .update_key(&scope, &id(1), NOW + 90, |key| {
            key.name = "renamed".into();
            key.id = id(9);
            key.tenant_id = "other".into();
            Ok(())
        })
        .await
        .unwrap()
        .unwrap();
    assert_eq!((&*edited.name, edited.updated_at), ("renamed", NOW + 90));
    assert_eq!((edited.id, &*edited.tenant_id), (id(1), "default"));
    let refused = store.update_key(&scope, &id(1), NOW, |_| Err(StoreError::Stale)).await;
    assert!(matches!(refused, Err(StoreError::Stale)));
    assert!(store.update_key(&scope, &id(8), NOW, |_| Ok(())).await.unwrap().is_none());
}

#[tokio::test]
async fn rotation_keeps_the_id_and_a_revoked_key_is_not_rotated() {
    let (directory, scope) = (Scratch::new(), system());
    let store = directory.open().await;
    store.insert_key(&scope, &key(1)).await.unwrap();
    let fresh = || NewSecret { secret_hmac: [99; 32], hint: "wxyz".to_owned() };
    let rotated = store.rotate_key(&scope, &id(1), NOW, fresh()).await.unwrap().unwrap();
    assert_eq!((rotated.secret_hmac, rotated.hint.as_ref()), ([99; 32], "wxyz"));
    store.revoke_key(&scope, &id(1), NOW).await.unwrap();
    let refused = store.rotate_key(&scope, &id(1), NOW, fresh()).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))));
}

#[tokio::test]
async fn one_tenant_neither_sees_nor_changes_rows_of_another() {
    let (directory, scope, other) = (Scratch::new(), system(), Scope::new("other", "mallory"));
    let store = directory.open().await;
    store.insert_key(&scope, &key(1)).await.unwrap();
    store.insert_account(&scope, &account(2, "sk-upstream-credential")).await.unwrap();
    store.insert_user(&scope, &user(3, Role::Owner), None).await.unwrap();
    assert!(store.find_key(&other, &id(1)).await.unwrap().is_none());
    assert!(store.revoke_key(&other, &id(1), NOW).await.unwrap().is_none());
    assert!(store.find_account(&other, &id(2)).await.unwrap().is_none());
    assert!(!store.delete_account(&other, &id(2)).await.unwrap());
    assert!(store.find_user(&other, &id(3)).await.unwrap().is_none());
    assert!(!store.set_password(&other, &id(3), NOW, "hash").await.unwrap());
    let page = PageRequest::default();
    assert!(store.list_keys(&other, &KeyFilter::default(), &page).await.unwrap().items.is_empty());
    assert!(store.list_users(&other, &page).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn an_account_reads_back_with_its_credential_opened() {
    let (directory, scope) = (Scratch::new(), system());
    let store = directory.open().await;
    let stored = account(1, "sk-upstream-credential");
    store.insert_account(&scope, &stored).await.unwrap();
    let read = store.find_account(&scope, &stored.id).await.unwrap().unwrap();
    assert_eq!(read.credential.as_ref().unwrap().expose(), "sk-upstream-credential");
    assert_eq!(credential_hint(&read).as_deref(), Some("tial"));
    assert_eq!((read.models, read.concurrency, read.allow_private), (stored.models, Some(4), true));
    assert_eq!(read.family.as_deref(), Some("near"));
    let same_name = store_account_named(&store, "account 1").await.unwrap_err();
    assert!(matches!(same_name, StoreError::Conflict(_)), "{same_name}");
}

async fn store_account_named(store: &store::Store, name: &str) -> Result<(), StoreError> {
    let mut second = account(9, "sk-upstream-credential");
    name.clone_into(&mut second.name);
    store.insert_account(&system(), &second).await
}

#[tokio::test]
async fn an_account_is_edited_filtered_and_deleted() {
    let (directory, scope) = (Scratch::new(), system());
    let store = directory.open().await;
    store.insert_account(&scope, &account(1, "sk-upstream-credential")).await.unwrap();
    let edit = |account: &mut model::resource::Account| {
        account.enabled = false;
        account.credential = None;
        Ok(())
    };
    let edited = store.update_account(&scope, &id(1), NOW + 7, edit).await.unwrap().unwrap();
    assert!(!edited.enabled && edited.credential.is_none() && credential_hint(&edited).is_none());
    for (enabled, count) in [(None, 1), (Some(false), 1), (Some(true), 0)] {
        let filter = AccountFilter { enabled, provider: Some("openai".to_owned()) };
        let page = store.list_accounts(&scope, &filter, &PageRequest::default()).await.unwrap();
        assert_eq!(page.items.len(), count, "{enabled:?}");
    }
    assert!(store.delete_account(&scope, &id(1)).await.unwrap());
    assert!(!store.delete_account(&scope, &id(1)).await.unwrap());
}

#[tokio::test]
async fn a_credential_copied_to_another_row_does_not_open() {
    let (directory, scope) = (Scratch::new(), system());
    let store = directory.open().await;
    store.insert_account(&scope, &account(1, "sk-first-credential")).await.unwrap();
    store.insert_account(&scope, &account(2, "sk-second-credential")).await.unwrap();
    let file = directory.path().join("yumen.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    sqlx::query(
        "UPDATE account SET credential = (SELECT credential FROM account WHERE id = $1) WHERE id = $2",
    )
    .bind(id(1).as_str().to_owned())
    .bind(id(2).as_str().to_owned())
    .execute(&pool)
    .await
    .unwrap();
    assert!(store.find_account(&scope, &id(1)).await.is_ok());
    let error = store.find_account(&scope, &id(2)).await.err().unwrap();
    assert!(matches!(error, StoreError::Unsealable { .. }), "{error}");
}

#[tokio::test]
async fn an_email_address_is_unique_in_any_case_of_letters() {
    let (directory, scope) = (Scratch::new(), system());
    let store = directory.open().await;
    store.insert_user(&scope, &user(1, Role::Owner), Some("$argon2id$one")).await.unwrap();
    let mut second = user(2, Role::User);
    second.email = "USER1@example.TEST".to_owned();
    let error = store.insert_user(&scope, &second, None).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(_)), "{error}");
    let login = store.find_login("user1@EXAMPLE.test").await.unwrap().unwrap();
    assert_eq!(login.user.email, "user1@example.test");
    assert_eq!(login.password_hash.unwrap().expose(), "$argon2id$one");
    assert!(store.set_password(&scope, &id(1), NOW, "$argon2id$two").await.unwrap());
    let login = store.find_login("user1@example.test").await.unwrap().unwrap();
    assert_eq!(login.password_hash.unwrap().expose(), "$argon2id$two");
}

#[tokio::test]
async fn the_last_owner_stays_one() {
    let (directory, scope) = (Scratch::new(), system());
    let store = directory.open().await;
    assert!(!store.has_owner(&scope).await.unwrap());
    store.insert_user(&scope, &user(1, Role::Owner), None).await.unwrap();
    let demote = |user: &mut model::resource::User| {
        user.role = Role::Viewer;
        Ok(())
    };
    let refused = store.update_user(&scope, &id(1), NOW, demote).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))));
    assert!(store.has_owner(&scope).await.unwrap());
    store.insert_user(&scope, &user(2, Role::Owner), None).await.unwrap();
    let demoted = store.update_user(&scope, &id(1), NOW, demote).await.unwrap().unwrap();
    assert_eq!(demoted.role, Role::Viewer);
}

fn token(n: u8, issued_at: u64) -> NewToken {
    NewToken { token_hmac: [n; 32], issued_at, expires_at: issued_at + 1_000 }
}

async fn signed_in(directory: &Scratch) -> store::Store {
    let store = directory.open().await;
    store.insert_user(&system(), &user(1, Role::Owner), None).await.unwrap();
    let session = NewSession { id: id(5), user_id: id(1), token: token(1, NOW) };
    store.create_session(&system(), &session).await.unwrap();
    store
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_session() {
    let directory = Scratch::new();
    let store = signed_in(&directory).await;
    let rotated = store.rotate_session(&system(), &[1; 32], &token(2, NOW + 1)).await.unwrap();
    let expected = TokenUse::Rotated { session_id: id(5), user_id: id(1), tenant_id: "default".to_owned() };
    assert_eq!(rotated, expected);
    let reused = store.rotate_session(&system(), &[1; 32], &token(3, NOW + 2)).await.unwrap();
    assert_eq!(reused, TokenUse::Reused { session_id: id(5), user_id: id(1) });
    let after = store.rotate_session(&system(), &[2; 32], &token(4, NOW + 3)).await.unwrap();
    assert_eq!(after, TokenUse::Revoked);
    let unknown = store.rotate_session(&system(), &[77; 32], &token(5, NOW + 3)).await.unwrap();
    assert_eq!(unknown, TokenUse::Unknown);
}

#[tokio::test]
async fn an_expired_or_signed_out_token_is_refused() {
    let directory = Scratch::new();
    let store = signed_in(&directory).await;
    let late = store.rotate_session(&system(), &[1; 32], &token(2, NOW + 1_000)).await.unwrap();
    assert_eq!(late, TokenUse::Expired);
    assert!(store.revoke_session(&system(), &[1; 32], NOW).await.unwrap());
    assert!(!store.revoke_session(&system(), &[1; 32], NOW).await.unwrap());
    let out = store.rotate_session(&system(), &[1; 32], &token(2, NOW + 1)).await.unwrap();
    assert_eq!(out, TokenUse::Revoked);
    assert_eq!(store.revoke_user_sessions(&system(), &id(1), NOW).await.unwrap(), 0);
    assert_eq!(store.delete_expired_sessions(NOW + 1_001, 10).await.unwrap(), 1);
    let gone = store.rotate_session(&system(), &[1; 32], &token(2, NOW + 1)).await.unwrap();
    assert_eq!(gone, TokenUse::Unknown);
}

#[tokio::test]
async fn of_two_who_present_one_token_exactly_one_gets_another() {
    let directory = Scratch::new();
    let store = signed_in(&directory).await;
    let (scope, next_a, next_b) = (system(), token(2, NOW + 1), token(3, NOW + 1));
    let (a, b) = tokio::join!(
        store.rotate_session(&scope, &[1; 32], &next_a),
        store.rotate_session(&scope, &[1; 32], &next_b)
    );
    let outcomes = [a.unwrap(), b.unwrap()];
    let rotated = outcomes.iter().filter(|use_| matches!(use_, TokenUse::Rotated { .. })).count();
    let reused = outcomes.iter().filter(|use_| matches!(use_, TokenUse::Reused { .. })).count();
    assert_eq!((rotated, reused), (1, 1));
}

#[tokio::test]
async fn prices_and_settings_are_set_replaced_and_removed() {
    let (directory, scope) = (Scratch::new(), system());
    let store = directory.open().await;
    for dollars in [1, 2] {
        let lines = PriceLines { input: NanoUsd(dollars), ..PriceLines::default() };
        let price = PriceOverride { model: "gpt-x".to_owned(), lines, updated_at: NOW };
        store.set_price(&scope, &price).await.unwrap();
        let value = serde_json::json!({ "level": dollars });
        store.set_setting(&scope, ("log", &value), NOW, |_| Ok(())).await.unwrap();
    }
    let price = store.find_price(&scope, "gpt-x").await.unwrap().unwrap();
    assert_eq!(price.lines.input, NanoUsd(2));
    assert_eq!(store.list_prices(&scope).await.unwrap().len(), 1);
    assert_eq!(store.find_setting(&scope, "log").await.unwrap().unwrap().0["level"], 2);
    assert_eq!(store.list_settings(&scope).await.unwrap().len(), 1);
    assert!(store.delete_price(&scope, "gpt-x").await.unwrap());
    assert!(!store.delete_price(&scope, "gpt-x").await.unwrap());
    assert!(store.delete_setting(&scope, "log").await.unwrap());
    assert!(store.find_setting(&scope, "log").await.unwrap().is_none());
}

#[tokio::test]
async fn every_change_makes_a_revision_and_wakes_those_who_wait() {
    let (directory, scope) = (Scratch::new(), system());
    let store = directory.open().await;
    let mut changes = store.changes();
    assert_eq!(store.configuration().await.unwrap().revision, 0);
    store.insert_key(&scope, &key(1)).await.unwrap();
    changes.changed().await.unwrap();
    assert_eq!(*changes.borrow_and_update(), 1);
    store.insert_account(&scope, &account(2, "sk-upstream-credential")).await.unwrap();
    let configuration = store.configuration().await.unwrap();
    assert_eq!(configuration.revision, 2);
    assert_eq!((configuration.keys.len(), configuration.accounts.len()), (1, 1));
    changes.changed().await.unwrap();
    changes.borrow_and_update();
    store.find_key(&scope, &id(1)).await.unwrap();
    let _ = store.update_key(&scope, &id(1), NOW, |_| Err(StoreError::Stale)).await;
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_wait_their_turn_and_none_is_lost() {
    let (directory, scope) = (Scratch::new(), system());
    let store = std::sync::Arc::new(directory.open().await);
    let writers: Vec<_> = (0..40)
        .map(|n| {
            let (store, scope) = (store.clone(), scope.clone());
            tokio::spawn(async move { store.insert_key(&scope, &key(n)).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    let configuration = store.configuration().await.unwrap();
    assert_eq!((configuration.keys.len(), configuration.revision), (40, 40));
}
