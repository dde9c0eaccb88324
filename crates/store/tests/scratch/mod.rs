//! A data directory that is removed again, and sample rows.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use model::quota::{Period, Quota, Unit};
use model::resource::key::{KeyStatus, Limit};
use model::resource::{
    Account, ApiKey, KeyAccess, KeyKind, KeyTerms, ModelEntry, OwnerTerms, RateLimit, Role, User,
};
use model::{ResourceId, Secret};
use store::{KeyRing, Store};

/// When everything in these tests happens.
pub const NOW: u64 = 1_790_000_000_000;

/// A directory of its own under the system's temporary directory, gone when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes the directory.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("yumen-store-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens a store in it, under fixed keys.
    pub async fn open(&self) -> Store {
        Store::open(self.path(), keys()).await.unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The keys of every test that is not about keys.
pub fn keys() -> KeyRing {
    KeyRing::derive([7; 32]).unwrap()
}

/// The `n`th id.
pub fn id(n: u8) -> ResourceId {
    ResourceId::mint(NOW + u64::from(n), [n; 10])
}

/// The `n`th key; later ones are newer.
pub fn key(n: u8) -> ApiKey {
    ApiKey {
        id: id(n),
        name: format!("key {n}").into(),
        secret_hmac: [n; 32],
        hint: "abcd".into(),
        kind: KeyKind::Standard,
        status: KeyStatus::Active,
        user_id: None,
        tenant_id: "default".into(),
        group_id: "default".into(),
        expires_at: None,
        models: ["gpt-x".to_owned()].into(),
        allowed_ips: ["10.0.0.0/8".to_owned()].into(),
        rate_limit: RateLimit::default().into(),
        terms: KeyTerms::default(),
        access: KeyAccess::default(),
        created_at: NOW + u64::from(n),
        updated_at: NOW + u64::from(n),
    }
}

/// The `n`th account, with this credential.
pub fn account(n: u8, credential: &str) -> Account {
    Account {
        id: id(n),
        name: format!("account {n}"),
        provider: "openai".to_owned(),
        base_url: Some("https://example.test/v1".to_owned()),
        api_version: None,
        family: Some("near".into()),
        credential: Some(Secret::new(credential.to_owned())),
        models: vec![
            ModelEntry::Same("gpt-x".to_owned()),
            ModelEntry::Mapped { name: "public".to_owned(), upstream: "real".to_owned(), dialect: None },
        ],
        priority: 50,
        weight: 1,
        concurrency: Some(4),
        allow_private: true,
        enabled: true,
        tenant_id: "default".to_owned(),
        group_id: "default".to_owned(),
        created_at: NOW + u64::from(n),
        updated_at: NOW + u64::from(n),
    }
}

/// The `n`th user.
pub fn user(n: u8, role: Role) -> User {
    User {
        id: id(n),
        email: format!("User{n}@Example.test"),
        name: format!("user {n}"),
        role,
        enabled: true,
        tenant_id: "default".to_owned(),
        terms: OwnerTerms::default(),
        created_at: NOW + u64::from(n),
        updated_at: NOW + u64::from(n),
    }
}

/// A quota of this many dollars a month.
pub fn quota(dollars: i64) -> Quota {
    Quota { unit: Unit::Cost, period: Period::Monthly, limit: dollars * 1_000_000_000 }
}

/// Terms with something of everything; others for another number.
pub fn terms(n: u8) -> OwnerTerms {
    let rate_limit =
        RateLimit { rpm: Limit::AtMost(u64::from(n)), tpd: Limit::Unlimited, ..RateLimit::default() };
    OwnerTerms {
        rate_limit,
        quota: vec![quota(i64::from(n))],
        wallet: n.is_multiple_of(2),
        ..OwnerTerms::default()
    }
}
