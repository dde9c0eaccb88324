//! Answers kept for a caller who sends a request again.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use std::sync::Arc;

use scratch::{NOW, Scratch, id};
use store::answers::{KEPT_MS, MOST_BYTES};
use store::{KeptAnswer, StoreError};

fn answer(n: u8, at: u64) -> KeptAnswer {
    KeptAnswer {
        body_hash: [n; 32],
        status: 201,
        headers: vec![("content-type".into(), "a/b".into()), ("x".into(), "\"\u{e9}\"".into())],
        body: vec![n, 0xff, 0, b'\n'],
        created_at: at,
    }
}

#[tokio::test]
async fn an_answer_is_found_for_a_day_also_after_a_restart_and_only_by_its_key() {
    let directory = Scratch::new();
    let store = directory.open().await;
    assert!(store.find_answer(&id(1), "one", NOW).await.unwrap().is_none());
    assert!(store.keep_answer(&id(1), "one", &answer(1, NOW)).await.unwrap());
    store.close().await;
    drop(store);
    let store = directory.open().await;
    let found = store.find_answer(&id(1), "one", NOW + KEPT_MS - 1).await.unwrap();
    assert!(found == Some(answer(1, NOW)));
    for (key, idempotency_key) in [(id(2), "one"), (id(1), "One"), (id(1), "")] {
        assert!(store.find_answer(&key, idempotency_key, NOW).await.unwrap().is_none());
    }
    assert!(store.find_answer(&id(1), "one", NOW + KEPT_MS).await.unwrap().is_none());
}

#[tokio::test]
async fn the_first_answer_stays_until_its_time_is_over() {
    let directory = Scratch::new();
    let store = directory.open().await;
    assert!(store.keep_answer(&id(1), "one", &answer(1, NOW)).await.unwrap());
    assert!(!store.keep_answer(&id(1), "one", &answer(2, NOW + KEPT_MS - 1)).await.unwrap());
    assert!(store.find_answer(&id(1), "one", NOW + 5).await.unwrap() == Some(answer(1, NOW)));
    let later = answer(3, NOW + KEPT_MS);
    assert!(store.keep_answer(&id(1), "one", &later).await.unwrap());
    assert!(store.find_answer(&id(1), "one", NOW + KEPT_MS).await.unwrap() == Some(later));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_answers_at_once_exactly_one_is_kept() {
    let directory = Scratch::new();
    let store = Arc::new(directory.open().await);
    let keepers: Vec<_> = (0..8)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.keep_answer(&id(1), "one", &answer(n, NOW)).await.unwrap() })
        })
        .collect();
    let mut kept = Vec::new();
    for (n, keeper) in keepers.into_iter().enumerate() {
        if keeper.await.unwrap() {
            kept.push(u8::try_from(n).unwrap());
        }
    }
    let found = store.find_answer(&id(1), "one", NOW).await.unwrap().unwrap();
    assert_eq!(kept, [found.body[0]]);
}

#[tokio::test]
async fn a_mebibyte_is_kept_and_one_byte_more_refused() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let mut large = KeptAnswer { body: vec![7; MOST_BYTES], ..answer(1, NOW) };
    assert!(store.keep_answer(&id(1), "one", &large).await.unwrap());
    assert!(store.find_answer(&id(1), "one", NOW).await.unwrap().unwrap() == large);
    large.body.push(7);
    let refused = store.keep_answer(&id(1), "two", &large).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))));
}

#[tokio::test]
async fn answers_older_than_asked_go_and_the_others_stay() {
    let directory = Scratch::new();
    let store = directory.open().await;
    for n in 0..300_u64 {
        assert!(store.keep_answer(&id(1), &format!("{n}"), &answer(1, NOW + n)).await.unwrap());
    }
    assert_eq!(store.purge_answers(NOW + 299).await.unwrap(), 299);
    assert_eq!(store.purge_answers(NOW + 299).await.unwrap(), 0);
    assert!(store.find_answer(&id(1), "299", NOW + 299).await.unwrap().is_some());
}

#[tokio::test]
async fn a_body_is_in_no_file_in_clear_and_opens_only_in_its_row() {
    const CANARY: &str = "what-the-model-said-4f1d9a7c";
    let directory = Scratch::new();
    let store = directory.open().await;
    let said = KeptAnswer { body: CANARY.into(), ..answer(1, NOW) };
    store.keep_answer(&id(1), "one", &said).await.unwrap();
    store.keep_answer(&id(1), "two", &answer(2, NOW)).await.unwrap();
    let url = format!("sqlite:{}", directory.path().join("yumen.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query(
        "UPDATE idempotent_answer SET body = (SELECT body FROM idempotent_answer WHERE \
         idempotency_key = 'one') WHERE idempotency_key = 'two'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let error = store.find_answer(&id(1), "two", NOW).await.err().unwrap();
    assert!(matches!(error, StoreError::Unsealable { .. }), "{error}");
    pool.close().await;
    store.close().await;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let holds = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!holds, "{}", path.display());
    }
}
