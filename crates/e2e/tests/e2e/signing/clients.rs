//! Signatures made by real clients: generators in Python, Node.js and Java under `tests/signing`, and every
//! snippet of `docs/signing.md`, taken from the page and run.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use serde_json::{Value, json};
use testkit::environment::repository;
use testkit::gateway::{Folder, Options};
use testkit::http::Request;
use testkit::trust::Proof;
use tokio::process::Command;

use super::{Signer, seconds};
use crate::stage::Stage;

/// How long a client may take on a busy machine, compiling included.
const LIMIT: Duration = Duration::from_secs(300);
/// Vectors that there are at least, of all clients together.
const VECTORS: usize = 200;
/// Codes that refuse a signature.
const REFUSED: [&str; 5] =
    ["INVALID_SIGNATURE", "NONCE_REUSED", "TIMESTAMP_EXPIRED", "SIGNATURE_FROZEN", "INVALID_API_KEY"];

async fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(LIMIT, output).await.context("the client takes too long")??;
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?}: {}\n{out}\n{errors}", output.status);
    Ok(out.into_owned())
}

/// Whether a program can be run here.
async fn is_here(program: &str) -> bool {
    let version = if program == "go" { "version" } else { "--version" };
    let found = Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.await.is_ok_and(|status| status.success())
}

/// The generator of a language, told what to sign.
fn generator(language: &str, plan: &Value) -> Command {
    let folder = repository().join("tests/signing").join(language);
    let text = |name: &str| plan[name].as_str().unwrap_or_default().to_owned();
    match language {
        "python" => {
            let mut command = Command::new("python3");
            command.arg(folder.join("vectors.py")).arg(plan.to_string());
            command
        }
        "node" => {
            let mut command = Command::new("node");
            command.arg(folder.join("vectors.mjs")).arg(plan.to_string());
            command
        }
        _ => {
            let mut command = Command::new("java");
            let time = plan["now"].to_string();
            command.arg(folder.join("Vectors.java"));
            command.args([text("scheme"), text("key_id"), text("secret"), text("host"), time]);
            command
        }
    }
}

/// Sends all that a client has signed; how many there were.
async fn send_all(stage: &Stage, language: &str, scheme: &str) -> Result<usize> {
    let signer = Signer::create(stage, scheme, json!({})).await?;
    let plan = json!({"scheme": scheme, "key_id": signer.id, "secret": signer.secret,
        "host": stage.gateway.address(), "now": seconds()});
    let vectors = output(&mut generator(language, &plan)).await?;
    let mut connection = stage.gateway.connect().await?;
    for line in vectors.lines() {
        let vector: Value = serde_json::from_str(line)?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
        let body = base64::engine::general_purpose::STANDARD.decode(text(&vector["body"])?)?;
        let mut request = Request::new("POST", &text(&vector["target"])?)
            .header("host", stage.gateway.address())
            .header("content-type", "application/json")
            .body(body.clone());
        for pair in vector["headers"].as_array().context("no headers")? {
            request = request.header(&text(&pair[0])?, &text(&pair[1])?);
        }
        let answer = connection.call(&request).await?;
        let refused = answer.code().is_some_and(|code| REFUSED.contains(&code));
        let shown = String::from_utf8_lossy(&body);
        ensure!(!refused, "{language} {}: {}\n{shown}", vector["name"], answer.text());
        if answer.header("connection").is_some_and(|value| value == "close") {
            connection = stage.gateway.connect().await?;
        }
    }
    Ok(vectors.lines().count())
}

#[tokio::test]
async fn what_real_clients_sign_is_accepted() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let (mut vectors, mut skipped) = (0, Vec::new());
    for (language, program) in [("python", "python3"), ("node", "node"), ("java", "java")] {
        if !is_here(program).await {
            skipped.push(language);
            continue;
        }
        for scheme in ["hmac-v1", "rfc9421"] {
            vectors += send_all(&stage, language, scheme).await?;
        }
    }
    ensure!(vectors >= VECTORS, "{vectors} vectors, without {skipped:?}");
    let what = "What Python, Node.js and Java sign as hmac-v1 and rfc9421 is accepted";
    let missing =
        if skipped.is_empty() { String::new() } else { format!("; not here: {}", skipped.join(", ")) };
    Proof::new("T54", "R15", what).held(&format!("{vectors} of {vectors} vectors accepted{missing}"))
}

/// A snippet of the page: its language, its scheme, its text.
type Snippet = (String, &'static str, String);

fn snippets() -> Result<Vec<Snippet>> {
    let page = std::fs::read_to_string(repository().join("docs/signing.md"))?;
    let mut snippets = Vec::new();
    for block in page.split("\n```").skip(1).step_by(2) {
        let (info, text) = block.split_once('\n').context("a block without text")?;
        let (language, scheme) = info.split_once(' ').unwrap_or((info, "hmac-v1"));
        let scheme = if scheme == "rfc9421" { "rfc9421" } else { "hmac-v1" };
        snippets.push((language.to_owned(), scheme, text.to_owned()));
    }
    Ok(snippets)
}

/// The program that runs snippets of a language, the name of the file, and what comes before that name.
fn runner(language: &str) -> (&'static str, &'static str, &'static [&'static str]) {
    match language {
        "python" => ("python3", "signed.py", &[]),
        "javascript" => ("node", "signed.mjs", &[]),
        "java" => ("java", "Signed.java", &[]),
        "go" => ("go", "signed.go", &["run"]),
        "csharp" => ("dotnet", "signed.cs", &["run"]),
        "php" => ("php", "signed.php", &[]),
        _ => ("sh", "signed.sh", &["-eu"]),
    }
}

async fn run_snippet(stage: &Stage, folder: &Path, (language, scheme, text): &Snippet) -> Result<()> {
    let signer = Signer::create(stage, scheme, json!({})).await?;
    let (program, name, arguments) = runner(language);
    std::fs::write(folder.join(name), text)?;
    let mut command = Command::new(program);
    command.args(arguments).arg(name).current_dir(folder);
    command.env("GOFLAGS", "-mod=mod").env("GO111MODULE", "off").env("GOCACHE", folder.join("go"));
    command.env("YUMEN_URL", stage.gateway.url()).env("YUMEN_KEY_ID", &signer.id);
    command.env("YUMEN_SIGNING_SECRET", &signer.secret);
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(proxy);
    }
    let said = output(&mut command).await.with_context(|| format!("{language} {scheme}"))?;
    ensure!(said.contains("chat.completion"), "{language} {scheme}: {said}");
    Ok(())
}

#[tokio::test]
async fn every_snippet_of_the_page_works() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let folder = Folder::temporary()?;
    let snippets = snippets()?;
    let languages = ["python", "javascript", "java", "go", "csharp", "php", "sh"];
    for language in languages {
        ensure!(snippets.iter().any(|snippet| snippet.0 == language), "the page has nothing in {language}");
    }
    let (mut run, mut skipped) = (0, Vec::new());
    for snippet in &snippets {
        let (program, ..) = runner(&snippet.0);
        if program != "sh" && !is_here(program).await {
            skipped.push(snippet.0.as_str());
            continue;
        }
        run_snippet(&stage, folder.path(), snippet).await?;
        run += 1;
    }
    println!(
        "{run} snippets of docs/signing.md were run; {} not: no {skipped:?} on this machine",
        skipped.len()
    );
    ensure!(run >= 3 && snippets.len() == 9, "{run} of {}", snippets.len());
    Ok(())
}
