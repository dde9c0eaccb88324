//! The demo's account and key, and its provider as a destination of `egress`.

use egress::InProcess;
use model::clock::EpochMs;
use model::resource::account::{DEFAULT_PRIORITY, DEFAULT_WEIGHT};
use model::resource::key::{DEFAULT_GROUP, DEFAULT_TENANT, KeyStatus, Limit};
use model::resource::{Account, ApiKey, KeyKind, RateLimit};
use model::{Clock, ResourceId, Secret, key_text};
use store::keys::{KeyFilter, NewSecret};
use store::{PageRequest, Scope, Store, StoreError};

use crate::demo::Demo;
use crate::entropy::random_bytes;
use crate::problem::Problem;
use crate::startup;

/// The name of the demo's account and of its key.
pub const NAME: &str = "demo";
/// Requests per minute of the demo key.
const DEMO_RPM: u64 = 600;

impl InProcess for Demo {
    fn connect(&self) -> tokio::io::DuplexStream {
        Self::connect(self)
    }
}

/// Makes sure that the demo's account exists, and gives its key a secret of this start.
///
/// # Errors
/// The store refuses.
pub async fn prepare(store: &Store, clock: &dyn Clock) -> Result<Secret<String>, Problem> {
    let now_ms = clock.now_ms();
    let prepared = async {
        account(store, now_ms).await?;
        key(store, now_ms).await
    };
    prepared.await.map_err(|error| startup::store_problem(&error))
}

async fn account(store: &Store, now_ms: EpochMs) -> Result<(), StoreError> {
    let scope = Scope::system();
    let account = Account {
        id: ResourceId::mint(now_ms, random_bytes()),
        name: NAME.to_owned(),
        provider: NAME.to_owned(),
        base_url: None,
        api_version: None,
        family: None,
        credential: None,
        models: Vec::new(),
        priority: DEFAULT_PRIORITY,
        weight: DEFAULT_WEIGHT,
        concurrency: None,
        allow_private: false,
        enabled: true,
        tenant_id: DEFAULT_TENANT.to_owned(),
        group_id: DEFAULT_GROUP.to_owned(),
        created_at: now_ms,
        updated_at: now_ms,
    };
    match store.insert_account(&scope, &account).await {
        // A later start on the same data: it is there.
        Err(StoreError::Conflict(_)) => Ok(()),
        other => other,
    }
}

async fn key(store: &Store, now_ms: EpochMs) -> Result<Secret<String>, StoreError> {
    let scope = Scope::system();
    let existing = find_key(store, &scope).await?;
    let id = existing.clone().unwrap_or_else(|| ResourceId::mint(now_ms, random_bytes()));
    let text = key_text::mint(KeyKind::Standard, &id, random_bytes());
    let Some(parsed) = key_text::parse(text.expose()) else {
        return Err(StoreError::Refused("a new key could not be read back"));
    };
    let secret_hmac = store.key_ring().hmac_secret(parsed.secret);
    let hint = key_text::hint(text.expose());
    if existing.is_some() {
        store.rotate_key(&scope, &id, now_ms, NewSecret { secret_hmac, hint }).await?;
    } else {
        store.insert_key(&scope, &new_key(id, secret_hmac, hint, now_ms)).await?;
    }
    Ok(text)
}

async fn find_key(store: &Store, scope: &Scope) -> Result<Option<ResourceId>, StoreError> {
    let filter = KeyFilter { status: Some(KeyStatus::Active), ..KeyFilter::default() };
    let mut page = PageRequest::first(store::page::MAX_LIMIT);
    loop {
        let keys = store.list_keys(scope, &filter, &page).await?;
        if let Some(key) = keys.items.iter().find(|key| &*key.name == NAME) {
            return Ok(Some(key.id.clone()));
        }
        match keys.next {
            Some(next) => page.after = Some(next),
            None => return Ok(None),
        }
    }
}

fn new_key(id: ResourceId, secret_hmac: [u8; 32], hint: String, now_ms: EpochMs) -> ApiKey {
    ApiKey {
        id,
        name: NAME.into(),
        secret_hmac,
        hint: hint.into(),
        kind: KeyKind::Standard,
        status: KeyStatus::Active,
        user_id: None,
        tenant_id: DEFAULT_TENANT.into(),
        group_id: DEFAULT_GROUP.into(),
        expires_at: None,
        models: Box::default(),
        allowed_ips: Box::default(),
        rate_limit: RateLimit { rpm: Limit::AtMost(DEMO_RPM), tpm: Limit::Unlimited, ..RateLimit::default() }
            .into(),
        terms: model::resource::KeyTerms::default(),
        access: model::resource::KeyAccess::default(),
        created_at: now_ms,
        updated_at: now_ms,
    }
}
