//! Sessions stay at the account where they began, for as long as it is of use to them.

use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::canned;
use testkit::gateway::Options;
use testkit::http::{Answer, Request};
use testkit::load::each_here;
use testkit::surface::{CHAT, MESSAGES, Surface};
use testkit::upstream::Upstream;

use crate::stage::Stage;

/// Accounts at four upstreams of one dialect, all for one model and equal.
async fn four(stage: &Stage, surface: &Surface, model: &str) -> Result<(Vec<Upstream>, Vec<String>)> {
    let (mut upstreams, mut ids) = (Vec::new(), Vec::new());
    for number in 0..4 {
        let upstream = Upstream::always(canned::answer(surface, "m", false)).await?;
        ids.push(stage.account(&format!("{model}-{number}"), surface, &upstream, model).await?);
        upstreams.push(upstream);
    }
    Ok((upstreams, ids))
}

/// The account that answered, and the reason that is told of it.
async fn at(stage: &Stage, answer: &Answer) -> Result<(String, String)> {
    ensure!(answer.status() == 200, "{} {}", answer.status(), answer.text());
    let record = stage.record(answer).await?;
    let account = record["upstream"].as_str().context("no account")?.to_owned();
    let candidates = record["candidates"].as_array().context("no candidates")?;
    let told = candidates.iter().find(|candidate| candidate["account"] == account.as_str());
    let reason = told.and_then(|told| told["reason"].as_str()).context("no reason")?;
    Ok((account, reason.to_owned()))
}

/// Callers of three dialects, each with its own name for a session; those of Responses are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Chat,
    Codex,
    ClaudeCode,
}

impl Client {
    const ALL: [Self; 3] = [Self::Chat, Self::Codex, Self::ClaudeCode];

    /// What the accounts speak.
    fn surface(self) -> Surface {
        if self == Self::ClaudeCode { MESSAGES } else { CHAT }
    }

    /// A request of a session.
    fn request(self, stage: &Stage, model: &str, session: u64) -> Request {
        let surface = self.surface();
        let mut body = surface.request(model, false);
        match self {
            Self::Chat => body["prompt_cache_key"] = json!(format!("key-{session}")),
            Self::Codex => {
                let body = json!({"model": model, "input": "Say hello"}).to_string();
                let request = Request::post("/v1/responses", body).bearer(&stage.key);
                return request.header("session-id", "s").header("thread-id", &format!("t-{session}"));
            }
            Self::ClaudeCode => {
                let user =
                    json!({"device_id": "d", "account_uuid": "", "session_id": format!("s-{session}")});
                body["metadata"] = json!({"user_id": user.to_string()});
            }
        }
        stage.request(&surface, &body)
    }
}

async fn ask(stage: &Stage, client: Client, model: &str, session: u64) -> Result<Answer> {
    stage.gateway.call(&client.request(stage, model, session)).await
}

/// Sessions of one client at one time.
const SESSIONS: usize = 12;

/// A session stays at the account where it began; which that is.
async fn stays(stage: Rc<Stage>, client: Client, session: u64) -> Result<String> {
    let model = format!("{client:?}");
    let (first, reason) = at(&stage, &ask(&stage, client, &model, session).await?).await?;
    ensure!(reason == "eligible", "{model}: {reason}");
    for _ in 0..3 {
        let (next, reason) = at(&stage, &ask(&stage, client, &model, session).await?).await?;
        ensure!((&*next, &*reason) == (&*first, "session_kept"), "{first}, then {next}: {reason}");
    }
    Ok(first)
}

#[tokio::test]
async fn the_sessions_of_every_dialect_stay_where_they_began() -> Result<()> {
    let stage = Rc::new(Stage::start(Options::default()).await?);
    for client in Client::ALL {
        let model = format!("{client:?}");
        let (_upstreams, _) = four(&stage, &client.surface(), &model).await?;
        let stays = {
            let stage = Rc::clone(&stage);
            move |session| stays(Rc::clone(&stage), client, session)
        };
        let used = each_here(SESSIONS, SESSIONS as u64, stays).await?;
        let used = used.into_iter().collect::<Result<BTreeSet<_>>>()?;
        // That 12 sessions are all at one of four equals happens once in four million times.
        ensure!(used.len() > 1, "{model}: all at {used:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_switched_off_or_reset_lets_its_sessions_go() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let (_upstreams, ids) = four(&stage, &CHAT, "m").await?;
    let (first, _) = at(&stage, &ask(&stage, Client::Chat, "m", 0).await?).await?;
    let number: usize = first.rsplit('-').next().context("no number")?.parse()?;
    stage.admin.post(&format!("accounts/{}/reset", ids[number]), &json!({})).await?;
    let (second, reason) = at(&stage, &ask(&stage, Client::Chat, "m", 0).await?).await?;
    ensure!(reason == "eligible", "{second} is still known: {reason}");
    let number: usize = second.rsplit('-').next().context("no number")?.parse()?;
    stage.admin.post(&format!("accounts/{}/disable", ids[number]), &json!({})).await?;
    let (third, reason) = at(&stage, &ask(&stage, Client::Chat, "m", 0).await?).await?;
    ensure!(third != second && reason == "eligible", "{second}, then {third}: {reason}");
    stage.admin.post(&format!("accounts/{}/enable", ids[number]), &json!({})).await?;
    let (fourth, reason) = at(&stage, &ask(&stage, Client::Chat, "m", 0).await?).await?;
    ensure!((&*fourth, &*reason) == (&*third, "session_kept"), "{third}, then {fourth}: {reason}");
    Ok(())
}
