//! `key create`, `key list`, `key revoke`: works on the store while no server runs.

use model::clock::rfc3339;
use model::resource::key::{DEFAULT_GROUP, DEFAULT_TENANT, KeyStatus, Limit};
use model::resource::{ApiKey, KeyKind, RateLimit};
use model::{Clock as _, ResourceId, Secret, key_text};
use serde_json::{Value, json};
use store::page::MAX_LIMIT;
use store::{KeyFilter, PageRequest, Scope, Store};

use super::data::with_store;
use crate::cli::{KeyCommand, KeyCreate};
use crate::entropy::random_bytes;
use crate::problem::Problem;
use crate::startup::store_problem;
use crate::system_clock::SystemClock;

/// Who made a change, in the store's own list of changes.
const ACTOR: &str = "command-line";
/// The longest name: as the administration API takes it.
const LONGEST_NAME: usize = 200;

/// Runs the command.
///
/// # Errors
/// What the operator has to change.
pub fn run(command: KeyCommand, as_json: bool) -> Result<String, Vec<Problem>> {
    match command {
        KeyCommand::Create(create) => {
            let online = format!(
                "$URL/api/v1/admin/api-keys -H 'Content-Type: application/json' -d '{}'",
                json!({"name": create.name, "models": create.models}).to_string().replace('\'', "")
            );
            with_store(&create.place, &online, async |store| add(&store, &create, as_json).await)
        }
        KeyCommand::List { place } => {
            with_store(&place, "$URL/api/v1/admin/api-keys", async |store| list(&store, as_json).await)
        }
        KeyCommand::Revoke { id, place } => {
            let online = format!("-X DELETE $URL/api/v1/admin/api-keys/{id}");
            with_store(&place, &online, async |store| revoke(&store, &id, as_json).await)
        }
    }
}

fn scope() -> Scope {
    Scope::new(DEFAULT_TENANT, ACTOR)
}

async fn add(store: &Store, create: &KeyCreate, as_json: bool) -> Result<String, Problem> {
    if create.name.trim().is_empty() || create.name.chars().count() > LONGEST_NAME {
        return Err(Problem::new(
            "cannot make the key",
            "its name is empty or too long",
            "give a name of 1 to 200 characters",
        ));
    }
    let now = SystemClock.now_ms();
    let id = ResourceId::mint(now, random_bytes());
    let text = key_text::mint(KeyKind::Standard, &id, random_bytes());
    let key = new_key(store, create, id, &text);
    let key = ApiKey { created_at: now, updated_at: now, ..key };
    store.insert_key(&scope(), &key).await.map_err(|error| store_problem(&error))?;
    let text = text.expose();
    Ok(if as_json {
        json!({"id": key.id, "key": text}).to_string()
    } else {
        format!("{text}\n(shown once; id {})", key.id)
    })
}

fn new_key(store: &Store, create: &KeyCreate, id: ResourceId, text: &Secret<String>) -> ApiKey {
    let text = text.expose();
    let secret = key_text::parse(text).expect("a text just minted is well formed").secret;
    let limit = |given: Option<u64>| given.map_or(Limit::Default, Limit::AtMost);
    ApiKey {
        id,
        name: create.name.trim().to_owned(),
        secret_hmac: store.key_ring().hmac_secret(secret),
        hint: key_text::hint(text),
        kind: KeyKind::Standard,
        status: KeyStatus::Active,
        user_id: None,
        tenant_id: DEFAULT_TENANT.to_owned(),
        group_id: DEFAULT_GROUP.to_owned(),
        expires_at: None,
        models: create.models.clone(),
        allowed_ips: Vec::new(),
        rate_limit: RateLimit { rpm: limit(create.rpm), tpm: limit(create.tpm), ..RateLimit::default() },
        terms: model::resource::KeyTerms::default(),
        created_at: 0,
        updated_at: 0,
    }
}

async fn list(store: &Store, as_json: bool) -> Result<String, Problem> {
    let mut keys = Vec::new();
    let mut page = PageRequest::first(MAX_LIMIT);
    loop {
        let found = store.list_keys(&scope(), &KeyFilter::default(), &page).await;
        let found = found.map_err(|error| store_problem(&error))?;
        keys.extend(found.items);
        let Some(next) = found.next else { break };
        page.after = Some(next);
    }
    if as_json {
        return Ok(json!({"items": keys.iter().map(view).collect::<Vec<_>>()}).to_string());
    }
    let lines = keys.iter().map(|key| {
        format!(
            "{}  {:8}  {}  …{}  {}",
            key.id,
            key.status.name(),
            rfc3339(key.created_at),
            key.hint,
            key.name
        )
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn view(key: &ApiKey) -> Value {
    json!({
        "id": key.id, "name": key.name, "hint": key.hint, "kind": key.kind, "status": key.status,
        "models": key.models, "rate_limit": key.rate_limit, "created_at": rfc3339(key.created_at),
    })
}

async fn revoke(store: &Store, id: &str, as_json: bool) -> Result<String, Problem> {
    let unknown = || {
        Problem::new(
            format!("cannot revoke {id}"),
            "there is no key with this id",
            "see the ids with: yumen key list",
        )
    };
    let id = ResourceId::parse(id).ok_or_else(unknown)?;
    let scope = scope();
    let revoked = store.update_key(&scope, &id, SystemClock.now_ms(), |key| {
        key.status = KeyStatus::Revoked;
        Ok(())
    });
    let key = revoked.await.map_err(|error| store_problem(&error))?.ok_or_else(unknown)?;
    Ok(if as_json { view(&key).to_string() } else { format!("revoked {} ({})", key.id, key.name) })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use store::KeyRing;

    use super::*;
    use crate::cli::Place;

    fn place(data: &std::path::Path) -> Place {
        Place { config: None, data: Some(data.display().to_string()) }
    }

    fn create(data: &std::path::Path) -> KeyCommand {
        let (models, rpm) = (vec!["demo-chat".to_owned()], Some(5));
        KeyCommand::Create(KeyCreate { name: "laptop".into(), models, rpm, tpm: None, place: place(data) })
    }

    fn said(command: KeyCommand) -> Value {
        serde_json::from_str(&run(command, true).unwrap()).unwrap()
    }

    async fn open(data: &std::path::Path) -> Store {
        Store::open(data, KeyRing::load_or_create(data).unwrap()).await.unwrap()
    }

    #[test]
    fn keys_are_made_listed_and_revoked_without_a_server() {
        let data: PathBuf = std::env::temp_dir().join(format!("yumen-key-{}", std::process::id()));
        let refused = run(create(&data), false).err().unwrap();
        assert!(refused[0].what.contains("there is no data"), "{}", refused[0]);

        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = runtime.block_on(open(&data));
        let refused = run(create(&data), false).err().unwrap().remove(0).to_string();
        let pid = std::process::id().to_string();
        assert!(refused.contains(&pid) && refused.contains("/api/v1/admin/api-keys"), "{refused}");
        runtime.block_on(store.close());
        drop(store);

        let made = said(create(&data));
        let text = made["key"].as_str().unwrap();
        assert!(key_text::parse(text).is_some());
        let listed = said(KeyCommand::List { place: place(&data) });
        assert_eq!(
            (&listed["items"][0]["id"], &listed["items"][0]["rate_limit"]["rpm"]),
            (&made["id"], &json!(5))
        );
        assert!(!listed.to_string().contains(text));
        let id = made["id"].as_str().unwrap().to_owned();
        assert_eq!(said(KeyCommand::Revoke { id, place: place(&data) })["status"], "revoked");
        assert!(run(KeyCommand::Revoke { id: "nobody".into(), place: place(&data) }, false).is_err());
        std::fs::remove_dir_all(&data).unwrap();
    }
}
