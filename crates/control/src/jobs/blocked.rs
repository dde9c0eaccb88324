//! Asks accounts that are blocked without an end (their provider refused the credential, or had no money left of
//! them) whether they work again, and ends their blocks when they do. Without it only an administrator would.
//!
//! What it costs: every ten minutes for each such account the list of the provider's models, which is free; where
//! the provider has none (Bedrock), one token of the account's first model. An account without money left can
//! have its list read: it is used again, and at most one request in ten minutes goes on to another account.

use std::sync::Arc;
use std::time::Duration;

use model::ResourceId;
use model::resource::Account;
use store::{Scope, StoreError};
use tokio::sync::watch;

use crate::state::ControlState;

/// Pause between two rounds, in milliseconds, give or take [`JITTER_PERCENT`].
const PAUSE_MS: u64 = 600_000;
/// Processes that started together are not to ask together.
const JITTER_PERCENT: u64 = 20;

/// Runs until `stop` turns true.
pub async fn run(state: Arc<ControlState>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause(state.chance())) => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
        tokio::select! {
            () = ask_all(&state) => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}

fn pause(chance: [u8; 4]) -> Duration {
    let percent = 100 - JITTER_PERCENT + u64::from(u32::from_le_bytes(chance)) % (2 * JITTER_PERCENT + 1);
    Duration::from_millis(PAUSE_MS * percent / 100)
}

/// One round. One account at a time: an administrator who tries one out does not wait for it.
pub async fn ask_all(state: &ControlState) {
    for id in state.accounts.blocked_for_good() {
        if let Err(error) = ask(state, &id).await {
            tracing::error!(account_id = %id, cause = %error, "a blocked account could not be looked up; trying again in ten minutes");
        }
    }
}

async fn ask(state: &ControlState, id: &ResourceId) -> Result<(), StoreError> {
    let Some(account) = state.store.find_account(&Scope::system(), id).await? else {
        state.accounts.unblock(id);
        return Ok(());
    };
    if !account.enabled || !works(state, &account).await {
        return Ok(());
    }
    state.accounts.unblock(id);
    tracing::info!(account = account.name, "the account works again; its block ends");
    Ok(())
}

/// Whether the account's upstream takes its credential.
async fn works(state: &ControlState, account: &Account) -> bool {
    let probed = match state.probe.probe(account.clone(), None).await {
        // Nothing can be asked for nothing.
        Err(_) => match first_model(account) {
            Some(model) => state.probe.probe(account.clone(), Some(model)).await,
            None => return false,
        },
        probed => probed,
    };
    probed.is_ok_and(|probed| probed.ok)
}

fn first_model(account: &Account) -> Option<String> {
    let of_preset = || llm::provider::preset(&account.provider)?.models.first().cloned();
    account.models.first().map(|model| model.public().to_owned()).or_else(of_preset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::AccountBlock;
    use crate::testing::{ADMIN_TOKEN, Fixture};
    use serde_json::json;

    #[tokio::test]
    async fn accounts_that_work_again_are_used_again() {
        let fixture = Fixture::empty().await;
        let mut blocked = Vec::new();
        for name in ["mended", "broken", "costly", "off"] {
            let body = json!({"name": name, "provider": "openai", "credential": {"type": "api_key", "api_key": "sk-0123456789"}, "models": ["m"]});
            let made = fixture.created("/api/v1/admin/accounts", body).await;
            let id = ResourceId::parse(made["id"].as_str().unwrap()).unwrap();
            let block = AccountBlock { model: None, reason: "credential_refused", until: None };
            fixture.accounts.blocks.lock().insert(id.clone(), vec![block]);
            blocked.push(id);
        }
        let off = format!("/api/v1/admin/accounts/{}/disable", blocked[3]);
        assert_eq!(fixture.post(&off, Some(ADMIN_TOKEN), &json!({})).await.status, 200);
        let gone = fixture.state.mint_id();
        fixture.accounts.blocks.lock().insert(gone, Vec::new());
        ask_all(&fixture.state).await;
        let mut left = fixture.state.accounts.blocked_for_good();
        left.sort();
        let mut expected = [blocked[1].clone(), blocked[3].clone()];
        expected.sort();
        assert_eq!(left, expected, "the one that does not work, and the one that is off");
    }

    #[test]
    fn rounds_are_eight_to_twelve_minutes_apart() {
        for (chance, seconds) in [(0_u32, 480), (40, 720), (41, 480), (20, 600)] {
            assert_eq!(pause(chance.to_le_bytes()), Duration::from_secs(seconds));
        }
    }
}
