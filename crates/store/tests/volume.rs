//! Ten thousand keys load quickly. The promise (under 300 ms) is for an optimised build; without
//! optimisation the test only prints what it took and holds it to ten times that.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use std::time::Instant;

use scratch::{NOW, Scratch, key};
use store::Scope;

const LIMIT_MS: u128 = if cfg!(debug_assertions) { 3_000 } else { 300 };

#[tokio::test]
async fn ten_thousand_keys_load_at_once() {
    let directory = Scratch::new();
    let store = directory.open().await;
    store.insert_key(&Scope::system(), &key(0)).await.unwrap();
    let url = format!("sqlite:{}", directory.path().join("yumen.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    // Ids of four counted letters behind the first 22 characters of the sample's.
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) \
         INSERT INTO api_key SELECT substr(id, 1, 22) || char(97 + i / 17576) || char(97 + i / 676 % 26) \
         || char(97 + i / 26 % 26) || char(97 + i % 26), tenant_id, group_id, user_id, name || i, kind, status, \
         secret_hmac, hint, expires_at, models, allowed_ips, rate_limit, $1 + i, updated_at \
         FROM n, api_key WHERE name = 'key 0' ON CONFLICT (id) DO NOTHING",
    )
    .bind(i64::try_from(NOW).unwrap())
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let started = Instant::now();
    let configuration = store.configuration().await.unwrap();
    let took = started.elapsed().as_millis();
    println!("{} keys loaded in {took} ms", configuration.keys.len());
    assert!(configuration.keys.len() >= 9_999);
    assert!(took < LIMIT_MS, "{took} ms");
}
