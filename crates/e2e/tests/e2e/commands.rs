//! The command line: every command has its help, every command over a noun works beside a server, over HTTP and
//! without one, and says the same.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::command::Commands;
use testkit::gateway::{Folder, Gateway, Options};
use testkit::http::Request;

const ADMIN_TOKEN: &str = "commands-test-token-0123456789abcdef";

/// Commands that run until they are stopped or that another test runs.
const NOT_RUN: [&str; 4] = ["serve", "config check", "completions", "version"];

/// The words of the commands below `path`, from its help.
async fn commands_below(commands: &Commands, path: &[String]) -> Result<Vec<String>> {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = commands.done(&arguments).await?;
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        ensure!(help.contains("\nExample"), "no example: {help}");
        return Ok(Vec::new());
    };
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    Ok(lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect())
}

/// Every command that there is, as its words.
async fn every_command(commands: &Commands) -> Result<Vec<String>> {
    let (mut open, mut leaves) = (vec![Vec::new()], Vec::new());
    while let Some(path) = open.pop() {
        let below = commands_below(commands, &path).await?;
        if below.is_empty() {
            leaves.push(path.join(" "));
        }
        open.extend(below.into_iter().map(|word| [path.clone(), vec![word]].concat()));
    }
    leaves.sort();
    Ok(leaves)
}

/// Every command over a noun in an order that works, with what its answer must hold.
const STEPS: &[(&str, &str)] = &[
    ("tenant create --id acme --name Acme --rpm 600 --tpm unlimited", "/id=acme"),
    ("tenant list", "/items/0/id=acme"),
    ("tenant show acme", "/rate_limit/rpm=600"),
    ("tenant update acme --quota tokens:monthly:1000", "/quota/0/limit=1000"),
    ("group create --id gold", "/id=gold"),
    ("group list --limit 1", "/items/0/id=gold"),
    ("group show gold", "/name=gold"),
    ("group update gold --name Gold --retry-executed --max-switches 5", "/name=Gold"),
    ("group update gold --echo-model asked", "/retry_executed=true"),
    ("user create --email ann@example.org --role viewer --balance 5 --rpm 9", "/balance=5"),
    ("user list", "/items/0/email=ann@example.org"),
    ("user show ann@example.org", "/rate_limit/rpm=9"),
    ("user update ann@example.org --name Ann", "/name=Ann"),
    ("user balance ann@example.org --amount -1.25 --reason test", "/balance=3.75"),
    ("user disable ann@example.org", "/enabled=false"),
    ("user enable ann@example.org", "/enabled=true"),
    ("user reset-password ann@example.org", "/email=ann@example.org"),
    (
        "key create --name laptop --user ann@example.org --model m --rpm 5 --quota requests:daily:10",
        "/name=laptop",
    ),
    ("key list --status active --limit 200", "/items/0/name=laptop"),
    ("key show laptop", "/quota/0/limit=10"),
    ("key update laptop --rpm 7 --set is_whitelist=true", "/is_whitelist=true"),
    ("key disable laptop", "/status=disabled"),
    ("key enable laptop", "/status=active"),
    ("key rotate laptop", "/name=laptop"),
    ("key unfreeze laptop", ""),
    ("key usage laptop", "/items"),
    ("quota show laptop", "/items/0/limit=10"),
    ("quota set key:laptop tokens monthly 100", "/items/1/limit=100"),
    ("quota grant key:laptop requests daily 5", "/items/0/limit=15"),
    ("quota grant user:ann@example.org cost never 2.5", "/items/0/limit=2.5"),
    ("quota reset laptop requests daily --reason test", "/was_used=0"),
    ("key revoke laptop", "/status=revoked"),
    (
        "account create --name main --provider openai --api-key-file credential --model a=b --group gold",
        "/name=main",
    ),
    ("account list --provider openai", "/items/0/name=main"),
    ("account show main", "/models/0/upstream=b"),
    ("account update main --weight 3 --concurrency unlimited", "/weight=3"),
    ("account disable main", "/enabled=false"),
    ("account enable main", "/enabled=true"),
    ("account reset main", ""),
    (
        "account update main --base-url http://127.0.0.1:9/v1 --allow-private --api-key-file credential",
        "/allow_private=true",
    ),
    ("account test main", "/phase=connect"),
    ("model list", "/items/0/id=a"),
    ("model show a", "/id=a"),
    ("account delete main", ""),
    ("provider list", "/items/0/id=openai"),
    ("price set m --in 0.5 --out 1.5", "/in=0.5"),
    ("price show m", "/out=1.5"),
    ("price list", "/items/0/model=m"),
    ("price explain --model m --input 1000000 --output 1000000", "/total=2"),
    ("price delete m", ""),
    ("circuit list", "/items"),
    ("request list --limit 1", "/items"),
    ("ledger list --user ann@example.org", "/items"),
    ("audit-log list --verb price.set --limit 1", "/items/0/object=m"),
    ("jwt-key rotate", "/signs=true"),
    ("jwt-key list", "/items/1/id"),
    ("secrets list", "/items/0/current=true"),
    ("secrets rotate", "/unopened=[]"),
    ("secrets status", "/sealed_by_older=0"),
    ("settings set-limits --set global={\"rpm\":6000}", "/global/rpm=6000"),
    ("settings limits", "/global/rpm=6000"),
    ("settings retention", "/audit_days=730"),
    ("settings set-retention --audit-days 90", "/audit_days=90"),
    ("settings set-retention --record-days 7 --record-mebibytes 64 --usage-days 400", "/record_days=7"),
    ("settings set-retention --audit-entries 20000", "/audit_days=90"),
    ("settings log-level warn", "/level=warn"),
    ("group delete gold", ""),
];

/// Commands whose object has to exist in the data plane, or belongs to nothing any more.
const REFUSED: &[(&str, &str)] = &[
    ("circuit reset nothing", "NOT_FOUND"),
    ("tenant delete acme", "CONFLICT"),
    ("jwt-key delete nothing", "NOT_FOUND"),
    ("settings set-retention --audit-days 29", "INVALID_REQUEST"),
    ("settings set-retention --record-days 0", "INVALID_REQUEST"),
    // Nobody has signed in, so it is nobody's.
    ("totp show", "SCOPE_DENIED"),
    ("totp enrol", "SCOPE_DENIED"),
    ("totp confirm 123456", "SCOPE_DENIED"),
    ("totp remove 123456", "SCOPE_DENIED"),
    ("user remove-totp ann@example.org", "NOT_FOUND"),
];

async fn take_steps(commands: &Commands) -> Result<()> {
    for (line, expected) in STEPS {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = commands.json(&words).await?;
        let (pointer, value) = expected.split_once('=').unwrap_or((expected, ""));
        let found = answer.pointer(pointer).with_context(|| format!("{line}: no {pointer} in {answer}"))?;
        let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        ensure!(value.is_empty() || text == value, "{line}: {text} is not {value}");
    }
    commands.json(&["user", "list", "--tenant", "acme"]).await?;
    let in_tenant = ["key", "create", "--name", "theirs", "--tenant", "acme"];
    commands.json(&in_tenant).await?;
    for (line, code) in REFUSED {
        let said = commands.refused(&line.split(' ').collect::<Vec<_>>()).await?;
        ensure!(said.contains(code) && said.contains("fix:"), "{line}: {said}");
    }
    Ok(())
}

/// A data directory with an administrator and nothing else.
async fn used(folder: &Folder) -> Result<()> {
    Gateway::start(Options::default().data(folder.path())).await?.terminate().await?;
    std::fs::write(folder.path().join("credential"), "sk-upstream-0123456789\n")?;
    Ok(())
}

#[tokio::test]
async fn every_command_has_help_and_every_noun_is_tried() -> Result<()> {
    let folder = Folder::temporary()?;
    let all = every_command(&Commands::of(folder.path())).await?;
    let tried =
        STEPS.iter().chain(REFUSED).map(|(line, _)| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
    let tried: BTreeSet<String> = tried.chain(NOT_RUN.iter().map(|name| (*name).to_owned())).collect();
    let elsewhere = ["db ", "sign", "audit ", "jobs "];
    for command in &all {
        let is_elsewhere = elsewhere.iter().any(|prefix| command.starts_with(prefix));
        ensure!(is_elsewhere || tried.contains(command), "no step runs {command:?}");
    }
    ensure!(all.len() > 50, "{all:?}");
    Ok(())
}

#[tokio::test]
async fn every_noun_is_administered_without_a_server() -> Result<()> {
    let folder = Folder::temporary()?;
    used(&folder).await?;
    take_steps(&Commands::on(folder.path())).await
}

#[tokio::test]
async fn every_noun_is_administered_beside_a_running_server_without_a_token() -> Result<()> {
    let folder = Folder::temporary()?;
    used(&folder).await?;
    let _gateway = Gateway::start(Options::default().data(folder.path())).await?;
    take_steps(&Commands::on(folder.path())).await
}

#[tokio::test]
async fn every_noun_is_administered_over_http_with_the_token() -> Result<()> {
    let folder = Folder::temporary()?;
    used(&folder).await?;
    let options = Options::default().data(folder.path()).env("ADMIN_TOKEN", ADMIN_TOKEN);
    let gateway = Gateway::start(options).await?;
    let commands = Commands::of(folder.path()).env("YUMEN_URL", &gateway.url());
    take_steps(&commands.clone().env("ADMIN_TOKEN", ADMIN_TOKEN)).await?;
    let said = commands.refused(&["key", "list"]).await?;
    ensure!(said.contains("ADMIN_TOKEN") && said.contains("--token-file"), "{said}");
    let wrong = commands.env("ADMIN_TOKEN", "commands-wrong-token-0123456789abcdef");
    let said = wrong.refused(&["key", "list"]).await?;
    ensure!(said.contains("TOKEN_INVALID"), "{said}");
    Ok(())
}

#[tokio::test]
async fn somebody_signs_in_for_a_command() -> Result<()> {
    let gateway = Gateway::start(Options::default()).await?;
    let text = |name: &str| gateway.ready()[name].as_str().unwrap_or_default().to_owned();
    let (email, password) = (text("admin_email"), text("admin_password"));
    std::fs::write(gateway.data().join("password"), &password)?;
    let commands = Commands::of(gateway.data());
    let url = gateway.url();
    let signed_in = ["--url", &url, "--as", &email, "--password-file", "password"];
    let listed = commands.json(&[&["user", "list"], &signed_in[..]].concat()).await?;
    ensure!(listed["items"][0]["email"] == json!(email), "{listed}");
    // A new password ends all sign-ins and works at once, and is shown this once.
    let made = commands.json(&["user", "reset-password", &email, "--data", "."]).await?;
    let said = commands.refused(&[&["user", "list"], &signed_in[..]].concat()).await?;
    ensure!(!said.contains(&password), "{said}");
    std::fs::write(gateway.data().join("password"), made["password"].as_str().unwrap_or_default())?;
    commands.json(&[&["user", "list"], &signed_in[..]].concat()).await?;
    Ok(())
}

#[tokio::test]
async fn a_key_made_by_a_command_works_with_the_next_request() -> Result<()> {
    let gateway = Gateway::start(Options::demo()).await?;
    let commands = Commands::on(gateway.data());
    let made = commands.json(&["key", "create", "--name", "laptop"]).await?;
    let key = made["key"].as_str().context("no key")?;
    let body = json!({"model": "demo-chat", "messages": [{"role": "user", "content": "hello"}]}).to_string();
    let request = || Request::post("/v1/chat/completions", body.clone()).bearer(key);
    ensure!(gateway.call(&request()).await?.status() == 200);
    commands.json(&["key", "revoke", "laptop"]).await?;
    ensure!(gateway.call(&request()).await?.status() == 401);
    let text = commands.done(&["key", "list"]).await?;
    ensure!(!text.contains(key) && text.contains("laptop") && text.contains("revoked"), "{text}");
    for value in [["--rpm", "many"], ["--quota", "requests"], ["--set", "name"]] {
        let ended = commands.run(&[&["key", "create", "--name", "z"][..], &value].concat()).await?;
        ensure!(ended.code == Some(2) && ended.err.contains(value[0]), "{value:?}: {ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn usage_is_2_and_problems_are_1_in_json_too() -> Result<()> {
    let folder = Folder::temporary()?;
    let commands = Commands::of(folder.path());
    for arguments in [&["key"][..], &["key", "create"], &["key", "crate"], &["quota", "grant", "key:a"]] {
        ensure!(commands.run(arguments).await?.code == Some(2), "{arguments:?}");
    }
    let ended = commands.run(&["key", "list", "--json"]).await?;
    let said: Value = serde_json::from_str(&ended.out)?;
    ensure!(ended.code == Some(1) && said["ok"] == false, "{ended:?}");
    let problem = &said["problems"][0];
    ensure!(problem["what"].as_str().is_some_and(|what| what.contains("there is no data")), "{problem}");
    let ended = commands.run(&["version", "--json"]).await?;
    ensure!(ended.code == Some(0) && ended.out.contains("version"), "{ended:?}");
    let script = commands.done(&["completions", "bash"]).await?;
    let checked = commands.shell(&format!("bash -n <<'END'\n{script}\nEND")).await?;
    ensure!(checked.code == Some(0), "{checked:?}");
    Ok(())
}
