//! Starts that must be refused: with exit code 1, the cause by name, and a fix.

use std::os::unix::fs::PermissionsExt;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use testkit::gateway::{Folder, Gateway, Options, Turn};
use testkit::wait::PATIENCE;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

fn ensure_refused(status: ExitStatus, said: &str, words: &[&str]) -> Result<()> {
    ensure!(status.code() == Some(1), "{status}: {said}");
    let lower = said.to_lowercase();
    for word in words {
        ensure!(lower.contains(&word.to_lowercase()), "{word:?} is not in: {said}");
    }
    ensure!(!said.contains("panicked"), "{said}");
    ensure!(!said.contains("\"event\":\"ready\""), "it said it was ready: {said}");
    Ok(())
}

/// Everything that a start says on a terminal, up to the first line of the log that is expected.
async fn said_by(arguments: &str) -> Result<Vec<String>> {
    let folder = Folder::temporary()?;
    let line = format!("exec \"$YUMEN_BIN\" serve {arguments} --listen 127.0.0.1:0 --data data 2>&1");
    let mut shell = tokio::process::Command::new("bash");
    shell.args(["-c", &line]).env("YUMEN_BIN", testkit::environment::binary()?).current_dir(folder.path());
    let mut child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
    let mut said = Vec::new();
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await?? {
        let is_last = line.contains("listening");
        said.push(line);
        if is_last {
            break;
        }
    }
    child.kill().await?;
    Ok(said)
}

#[tokio::test]
async fn a_newcomer_reads_the_banner_first() -> Result<()> {
    for arguments in ["--demo", ""] {
        let said = said_by(arguments).await?;
        ensure!(said[0].starts_with("Yumen listens on http://"), "{said:#?}");
        ensure!(!said.iter().any(|line| line.contains("checkpoint")), "{said:#?}");
        ensure!(said.iter().any(|line| line.contains("password:")), "{said:#?}");
    }
    Ok(())
}

/// Runs a line as a newcomer would, who copied it.
async fn copied(line: &str, path: &str) -> Result<String> {
    let mut bash = tokio::process::Command::new("bash");
    bash.args(["-c", line]).env("PATH", path).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, bash.output()).await.context(line.to_owned())??;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{line}\n{}: {out}{err}", output.status);
    Ok(out.into_owned())
}

#[tokio::test]
async fn the_banners_lines_work_as_they_are_printed() -> Result<()> {
    let folder = Folder::temporary()?;
    let mut serve = tokio::process::Command::new(testkit::environment::binary()?);
    serve.args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data", "data"]).current_dir(folder.path());
    serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = serve.spawn()?;
    let mut log = BufReader::new(child.stderr.take().context("no stderr")?).lines();
    // Nobody else reads the log: a full pipe would stop the server.
    let read = tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
    let (mut curl, mut python) = (None, None);
    while curl.is_none() || python.is_none() {
        let line = timeout(PATIENCE, lines.next_line()).await??.context("the banner has no such lines")?;
        match line {
            line if line.starts_with("curl ") => curl = Some(line),
            line if line.starts_with("python3 ") => python = Some(line),
            _ => {}
        }
    }
    // What `pip install openai` puts there comes first.
    let packages = testkit::environment::python()?;
    let packages = packages.parent().context("no folder")?.display().to_string();
    let path = format!("{packages}:/usr/local/bin:/usr/bin:/bin");
    let answered = copied(&curl.context("no line with curl")?, &path).await?;
    let answered: serde_json::Value = serde_json::from_str(&answered).context(answered.clone())?;
    let said = answered["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
    ensure!(!said.is_empty(), "{answered}");
    let printed = copied(&python.context("no line with Python")?, &path).await?;
    ensure!(printed.trim() == said.trim(), "{printed:?} and {said:?}");
    child.kill().await?;
    read.abort();
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named() -> Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let options = Options::default().argument("--listen").argument(&address);
    let (status, said) = Gateway::refusal(options).await?;
    ensure_refused(status, &said, &[&address, "listen", &std::process::id().to_string()])
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_by_name() -> Result<()> {
    let cases: [(&str, &str, &[&str]); 7] = [
        ("ENCRYPTION_KEY", "tooshort", &["ENCRYPTION_KEY"]),
        ("YUMEN_NO_SUCH_SETTING", "1", &["YUMEN_NO_SUCH_SETTING"]),
        ("YUMEN_TIMERS__CONECT_SECONDS", "1", &["connect_seconds"]),
        ("YUMEN_TIMERS__CONNECT_SECONDS", "soon", &["soon"]),
        ("ADMIN_TOKEN", "short", &["ADMIN_TOKEN", "32"]),
        ("DATABASE_URL", "mysql://x", &["DATABASE_URL"]),
        ("LOG_LEVEL", "chatty", &["chatty"]),
    ];
    for (name, value, words) in cases {
        let (status, said) = Gateway::refusal(Options::default().env(name, value)).await?;
        ensure_refused(status, &said, words)?;
        ensure!(name != "ADMIN_TOKEN" || !said.contains("\"short\""), "a secret is shown: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_argument_is_bad_usage() -> Result<()> {
    let (status, said) = Gateway::refusal(Options::default().argument("--no-such-flag")).await?;
    ensure!(status.code() == Some(2), "{status}: {said}");
    Ok(())
}

#[tokio::test]
async fn administration_on_an_open_address_needs_tls_in_front() -> Result<()> {
    let open = Options::default().argument("--listen").argument("0.0.0.0:0");
    let (status, said) = Gateway::refusal(open.clone()).await?;
    ensure_refused(status, &said, &["TLS", "YUMEN_TLS_TERMINATED"])?;
    Gateway::start(open.env("YUMEN_TLS_TERMINATED", "1")).await?;
    Ok(())
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() -> Result<()> {
    let first = Gateway::start(Options::default()).await?;
    let second = Options::default().data(first.data()).turn(Turn::Held);
    let (status, said) = Gateway::refusal(second).await?;
    ensure_refused(status, &said, &[&first.pid().to_string()])?;
    let alive = first.call(&testkit::http::Request::get("/healthz")).await?;
    ensure!(alive.status() == 200, "the first was disturbed");
    Ok(())
}

#[tokio::test]
async fn another_encryption_key_than_the_one_that_sealed_the_data_is_refused() -> Result<()> {
    let folder = Folder::temporary()?;
    let with = |digit: char| {
        let key = format!("{}{}", "0123456789abcdef".repeat(3), String::from(digit).repeat(16));
        Options::default().data(folder.path()).env("ENCRYPTION_KEY", &key).turn(Turn::Held)
    };
    let mut first = Gateway::start(with('1').turn(Turn::Shared)).await?;
    let admin = first.admin().await?;
    let body = testkit::admin::account(
        "a",
        &testkit::surface::CHAT,
        "http://127.0.0.1:9",
        &serde_json::json!(["m"]),
    );
    admin.create_account(&body).await?;
    first.terminate().await?;
    let (status, said) = Gateway::refusal(with('2')).await?;
    ensure_refused(status, &said, &["key"])?;
    Gateway::start(with('1')).await?;
    Ok(())
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() -> Result<()> {
    let folder = Folder::temporary()?;
    let file = folder.path().join("a-file");
    std::fs::write(&file, "in the way")?;
    let inside = file.join("data");
    let (status, said) = Gateway::refusal(Options::default().data(&inside)).await?;
    ensure_refused(status, &said, &[&inside.display().to_string()])
}

#[tokio::test]
async fn a_key_file_that_others_can_read_is_refused() -> Result<()> {
    let folder = Folder::temporary()?;
    let mut first = Gateway::start(Options::default().data(folder.path())).await?;
    first.terminate().await?;
    let mut opened = 0;
    for entry in std::fs::read_dir(folder.path().join("keys"))? {
        let path = entry?.path();
        let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{} has mode {mode:o}", path.display());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
        opened += 1;
    }
    ensure!(opened > 0, "there are no key files");
    let (status, said) = Gateway::refusal(Options::default().data(folder.path()).turn(Turn::Held)).await?;
    ensure_refused(status, &said, &["keys", "600"])
}
