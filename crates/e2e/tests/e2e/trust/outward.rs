//! T60 on the built gateway: what the environment says of proxies is not heard.

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::canned;
use testkit::gateway::Options;
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;

use crate::stage::{Stage, ensure_complete};

const PROOF: Proof =
    Proof::new("T60-proxy", "P11", "Proxies that the environment names are not used, whatever the scheme");

const NAMES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
const CALLS: usize = 5;

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() -> Result<()> {
    let proxy = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    let mut options = Options::default().timer("tls", 500).env("NO_PROXY", "").env("no_proxy", "");
    for name in NAMES {
        options = options.env(name, &proxy.url()).env(&name.to_lowercase(), &proxy.url());
    }
    let stage = Stage::start(options).await?;
    stage.account("plain", &CHAT, &upstream, "m").await?;
    // It answers no handshake: what matters is who is asked.
    let secure = upstream.url().replace("http://", "https://");
    stage.create(&testkit::admin::account("secure", &CHAT, &secure, &json!(["tls"]))).await?;
    for _ in 0..CALLS {
        ensure_complete(&CHAT, false, &stage.ask(&CHAT, "m", false).await?)?;
    }
    let before = upstream.connections();
    let failed = stage.ask(&CHAT, "tls", false).await?;
    ensure!(failed.status() == 504, "{} {}", failed.status(), failed.text());
    ensure!(upstream.connections() > before, "the account of https was not called");
    ensure!(proxy.connections() == 0, "{} connections to the proxy", proxy.connections());
    PROOF.held(&format!("{} variables set, {} calls: 0 connections to the proxy", 2 * NAMES.len(), CALLS + 1))
}
