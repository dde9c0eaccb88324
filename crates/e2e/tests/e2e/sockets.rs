//! The sockets beside the public one, and what all sockets together may take of the process.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::admin::Admin;
use testkit::canned;
use testkit::gateway::{Gateway, Options};
use testkit::http::{Connection, Request, call};
use testkit::surface::CHAT;
use testkit::upstream::Upstream;
use testkit::wait;
use tokio::task::JoinSet;

use crate::stage::{Stage, ensure_complete};

const ADMIN_TOKEN: &str = "sockets-admin-token-of-40-characters-xx";
/// Whoever a proxy speaks for.
const CALLER: &str = "203.0.113.9";

/// An address that is free now.
async fn free_address() -> Result<String> {
    Ok(tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string())
}

/// A gateway with a socket for administration, and that socket's address.
async fn with_admin_socket(options: Options) -> Result<(Gateway, String)> {
    let address = free_address().await?;
    let options = options.env("YUMEN_ADMIN_LISTEN", &address).env("ADMIN_TOKEN", ADMIN_TOKEN);
    Ok((Gateway::start(options).await?, address))
}

#[tokio::test]
async fn administration_moves_to_a_socket_of_its_own() -> Result<()> {
    let (gateway, address) = with_admin_socket(Options::demo()).await?;
    let text = |name: &str| gateway.ready()[name].as_str().context("the ready line lacks a field");
    let admin = Admin::sign_in(&address, text("admin_email")?, text("admin_password")?).await?;
    let (key, _) = admin.create_key(&json!({"name": "moved"})).await?;
    ensure!(admin.get(&format!("api-keys/{key}")).await?["name"] == "moved", "the key is not shown");
    let login = json!({"email": text("admin_email")?, "password": text("admin_password")?}).to_string();
    for request in [
        Request::post("/api/v1/auth/login", login),
        Request::get("/api/v1/admin/api-keys").bearer(admin.token()),
        Request::get("/admin/keys").bearer(ADMIN_TOKEN),
        Request::get("/api/openapi.json"),
    ] {
        let answer = gateway.call(&request).await?;
        let shown = format!("{} {} {}", request.method(), answer.status(), answer.text());
        ensure!(
            answer.status() == 404 && answer.code() == Some("NOT_FOUND"),
            "on the public socket: {shown}"
        );
    }
    for path in ["/health", "/health/ready", "/metrics"] {
        ensure!(gateway.call(&Request::get(path)).await?.status() == 200, "{path} is gone");
    }
    let model = Request::post(CHAT.path, CHAT.request("demo-chat", false).to_string()).bearer(gateway.key());
    ensure_complete(&CHAT, false, &gateway.call(&model).await?)?;
    let answer = call(&address, &model).await?;
    ensure!(
        answer.status() == 404,
        "models are called on the socket for administration: {}",
        answer.status()
    );
    Ok(())
}

#[tokio::test]
async fn the_socket_for_administration_knows_whom_a_proxy_speaks_for() -> Result<()> {
    let proxy = Options::demo().env("YUMEN_TRUSTED_PROXIES", "127.0.0.0/8");
    for (options, source) in [(proxy, CALLER), (Options::demo(), "127.0.0.1")] {
        let (gateway, address) = with_admin_socket(options).await?;
        let create = Request::post("/api/v1/admin/api-keys", json!({"name": "seen"}).to_string());
        let create = create.bearer(ADMIN_TOKEN).header("x-forwarded-for", CALLER);
        ensure!(call(&address, &create).await?.status() == 201, "the key was not made");
        let log =
            Admin::with_token(&address, ADMIN_TOKEN).get("audit-log?verb=api-key.create&limit=1").await?;
        ensure!(log["items"][0]["source_ip"] == source, "{source}: {log}");
        drop(gateway);
    }
    Ok(())
}

#[tokio::test]
async fn the_side_sockets_hold_callers_to_the_limits_of_the_public_one() -> Result<()> {
    let ops = free_address().await?;
    let options = Options::demo().env("YUMEN_OPS_LISTEN", &ops).timer("header_read", 1_000);
    let (_gateway, admin) = with_admin_socket(options).await?;
    for address in [&admin, &ops] {
        let many =
            (0..110).fold(Request::get("/health"), |request, n| request.header(&format!("x-{n}"), "1"));
        let long = Request::get(&format!("/health?x={}", "y".repeat(9_000)));
        for (request, status, code) in [(many, 431, "HEADERS_TOO_LARGE"), (long, 414, "URI_TOO_LONG")] {
            let answer = call(address, &request).await?;
            ensure!(answer.status() == status && answer.code() == Some(code), "{address}: {}", answer.text());
            ensure!(answer.json()["code"] == code && answer.request_id().is_ok(), "{}", answer.text());
        }
        let mut half = Connection::open(address).await?;
        half.send_raw(b"GET /health HTTP/1.1\r\nhost: x\r\n").await?;
        ensure!(half.closed_within(Duration::from_secs(8)).await, "half a head keeps a place at {address}");
    }
    Ok(())
}

#[tokio::test]
async fn callers_leave_descriptors_for_upstreams_and_health() -> Result<()> {
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    let ops = free_address().await?;
    let few = Options::default().under(&["prlimit", "--nofile=256:256"]).env("YUMEN_OPS_LISTEN", &ops);
    let stage = Stage::start(few).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let mut first = stage.gateway.connect().await?;
    let health = Request::get("/health/ready");
    ensure!(first.call(&health).await?.status() == 200, "it is not ready");
    let idle = stage.gateway.fds()?;
    let mut others = JoinSet::new();
    for _ in 0..300 {
        let address = stage.gateway.address().to_owned();
        others.spawn(async move {
            let _kept = Connection::open(&address).await;
            std::future::pending::<()>().await;
        });
    }
    // As many as there are places (70, some of which the test itself has); all others wait in the kernel, and
    // no descriptor is taken any more.
    let full = wait::until("the places to be taken", wait::PATIENCE, async || {
        let before = stage.gateway.fds()?;
        wait::pass(Duration::from_millis(200)).await;
        Ok((before >= idle + 60 && stage.gateway.fds()? == before).then_some(before))
    });
    let taken = full.await? - idle;
    ensure!(taken <= 80, "{taken} of 256 descriptors are taken by idle callers");
    let request = stage.request(&CHAT, &CHAT.request("m", false));
    ensure_complete(&CHAT, false, &first.call(&request).await?)?;
    ensure!(first.call(&health).await?.status() == 200, "it is not ready");
    ensure!(call(&ops, &health).await?.status() == 200, "the operator does not get through");
    drop(others);
    ensure_complete(&CHAT, false, &stage.gateway.call(&request).await?)?;
    ensure!(!stage.gateway.log().contains("could not be accepted"), "{}", stage.gateway.log());
    ensure!(stage.gateway.log().contains("few open files"), "{}", stage.gateway.log());
    Ok(())
}

#[tokio::test]
async fn the_soft_limit_of_descriptors_is_raised() -> Result<()> {
    let low = Options::demo().under(&["prlimit", "--nofile=300:4096"]);
    let gateway = Gateway::start(low).await?;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.pid()))?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    let soft = line.split_whitespace().nth(3);
    ensure!(soft == Some("4096"), "{line}");
    Ok(())
}
