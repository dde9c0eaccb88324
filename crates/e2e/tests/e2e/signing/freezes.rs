//! Wrong signatures: whom they freeze, for how long, and how many guesses are answered (T56).

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::gateway::Options;
use testkit::http::Request;
use testkit::trust::Proof;

use super::{BODY, Signer, now};
use crate::stage::Stage;

fn from(request: Request, address: &str) -> Request {
    request.header("x-forwarded-for", address)
}

async fn staged() -> Result<Stage> {
    Stage::start(Options::demo().env("YUMEN_TRUSTED_PROXIES", "127.0.0.0/8")).await
}

async fn code(stage: &Stage, request: &Request) -> Result<String> {
    Ok(stage.gateway.call(request).await?.code().unwrap_or("OK").to_owned())
}

#[tokio::test]
async fn five_in_a_row_freeze_their_network_until_it_is_thawed() -> Result<()> {
    let stage = staged().await?;
    let signer = Signer::create(&stage, "hmac-v1", json!({})).await?;
    for number in 0..5 {
        let forged = from(signer.forged(number), &format!("203.0.113.{number}"));
        ensure!(code(&stage, &forged).await? == "INVALID_SIGNATURE", "{number}");
    }
    let right = |nonce: &str, address: &str| from(signer.signed(BODY, &now(nonce)), address);
    for request in [from(signer.forged(9), "203.0.113.99"), right("1", "203.0.113.99")] {
        ensure!(code(&stage, &request).await? == "SIGNATURE_FROZEN", "whatever the signature");
    }
    ensure!(code(&stage, &right("2", "203.0.114.1")).await? == "OK", "from elsewhere");
    let path = format!("api-keys/{}", signer.id);
    let shown = stage.admin.get(&path).await?;
    ensure!(shown["frozen"]["sources"][0]["network"] == "203.0.113.0/24", "{shown}");
    stage.admin.post(&format!("{path}/unfreeze"), &json!({})).await?;
    ensure!(code(&stage, &right("3", "203.0.113.99")).await? == "OK", "thawed");
    let shown = stage.admin.get(&path).await?;
    ensure!(shown["frozen"] == json!({"everywhere": false, "sources": []}), "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_set_up_so_freezes_everywhere() -> Result<()> {
    let stage = staged().await?;
    let signer = Signer::create(&stage, "hmac-v1", json!({"freeze_scope": "key"})).await?;
    for number in 0..5 {
        code(&stage, &from(signer.forged(number), "203.0.113.1")).await?;
    }
    let right = |nonce: &str| from(signer.signed(BODY, &now(nonce)), "198.51.100.1");
    ensure!(code(&stage, &right("1")).await? == "SIGNATURE_FROZEN");
    let rotated = stage.admin.post(&format!("api-keys/{}/rotate", signer.id), &json!({})).await?;
    let renewed = from(Signer::of(&rotated)?.signed(BODY, &now("2")), "198.51.100.1");
    ensure!(code(&stage, &renewed).await? == "OK", "rotation thaws");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_guesses_from_two_hundred_networks_leave_their_victim_alone() -> Result<()> {
    let stage = staged().await?;
    let mut figures = Vec::new();
    for (networks, most) in [(1, 10), (200, 100)] {
        let signer = Signer::create(&stage, "hmac-v1", json!({})).await?;
        let (mut told, mut victim) = (0, 0);
        let mut connection = stage.gateway.connect().await?;
        for number in 0..10_000_usize {
            let address = format!("10.{}.{}.1", number % networks, number % 7);
            let guess =
                from(signer.forged(number), &if networks == 1 { "10.0.0.1".to_owned() } else { address });
            let answer = connection.call(&guess).await?;
            told += usize::from(answer.code() == Some("INVALID_SIGNATURE"));
            if number % 20 == 0 {
                let own = from(signer.signed(BODY, &now(&format!("own-{number}"))), "198.51.100.7");
                victim += usize::from(stage.gateway.call(&own).await?.status() == 200);
            }
        }
        ensure!(told <= most, "{told} guesses were answered from {networks} networks");
        ensure!(victim == 500, "{victim} of 500 requests of the victim were served");
        figures.push(format!(
            "{told} of 10000 guesses from {networks} networks answered, the victim {victim} of 500"
        ));
    }
    let what = "10,000 wrong signatures from 1 and from 200 networks: few are told that they are wrong, and the key's \
                owner is served from another network as ever";
    Proof::new("T56", "R15", what).held(&figures.join("; "))
}
