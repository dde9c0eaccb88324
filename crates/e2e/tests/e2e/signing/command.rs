//! `yumen sign` against a running gateway.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::command::Commands;
use testkit::gateway::Options;

use super::{BODY, Signer};
use crate::stage::Stage;

#[tokio::test]
async fn the_command_signs_what_the_gateway_takes_and_finds_what_differs() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let url = format!("{}/v1/chat/completions?x=1", stage.gateway.url());
    for scheme in ["hmac-v1", "rfc9421"] {
        let signer = Signer::create(&stage, scheme, json!({})).await?;
        let commands = Commands::of(stage.gateway.data()).env("YUMEN_SIGNING_SECRET", &signer.secret);
        let base = ["sign", "--scheme", scheme, "--key-id", &signer.id, "--url", &url, "--data", BODY];
        let curl = commands.done(&[&base[..], &["--curl"]].concat()).await?;
        let sent = commands.shell(&format!("{curl} -sS")).await?;
        ensure!(sent.out.contains("chat.completion"), "{curl}\n{sent:?}");
        let explained = commands.json(&[&base[..], &["--explain"]].concat()).await?;
        ensure!(!explained.to_string().contains(&signer.secret), "{explained}");
        let made = commands.json(&base).await?;
        let mut verify: Vec<String> =
            base.iter().map(|text| (*text).to_owned()).chain(["--verify".to_owned()]).collect();
        for (name, value) in made["headers"].as_object().context("headers")? {
            verify.extend(["--header".to_owned(), format!("{name}: {}", value.as_str().unwrap_or_default())]);
        }
        let verify: Vec<&str> = verify.iter().map(String::as_str).collect();
        commands.done(&verify).await?;
        let changed: Vec<&str> = verify.iter().map(|text| if *text == BODY { "{}" } else { *text }).collect();
        let refused = commands.refused(&changed).await?;
        ensure!(refused.contains("differs") && !refused.contains(&signer.secret), "{refused}");
    }
    let unknown = Commands::of(stage.gateway.data()).run(&["sign", "--scheme", "md5"]).await?;
    ensure!(unknown.code == Some(2), "{unknown:?}");
    let none = Commands::of(stage.gateway.data()).run(&["sign", "--key-id", "a", "--json"]).await?;
    let problem: Value = serde_json::from_str(&none.out)?;
    ensure!(none.code == Some(1) && problem["problems"][0]["fix"].is_string(), "{none:?}");
    Ok(())
}
