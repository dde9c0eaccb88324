//! The second factor by command: enrolled, confirmed, asked for, removed; over HTTP, beside a server and without.

use anyhow::{Context, Result, ensure};
use aws_lc_rs::hmac;
use serde_json::Value;
use testkit::command::Commands;
use testkit::gateway::{Folder, Gateway, Options};

/// Seconds for which a code holds (RFC 6238).
const STEP_S: u64 = 30;

/// What an authenticator app shows now for a secret (RFC 6238, six digits of HMAC-SHA-1).
#[expect(clippy::disallowed_methods, reason = "the gateway under test reads the real clock too")]
pub(crate) fn code(secret: &str) -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &base32(secret)?);
    let mac = hmac::sign(&key, &(now / STEP_S).to_be_bytes());
    let mac = mac.as_ref();
    let at = usize::from(mac[19] & 15);
    let word = mac[at..at + 4].iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    Ok(format!("{:06}", (word & 0x7fff_ffff) % 1_000_000))
}

fn base32(text: &str) -> Result<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u64, 0);
    for letter in text.bytes() {
        let five = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|one| *one == letter);
        bits = ((bits << 5) | five.context("no base32")? as u64) & 0xffff;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff)?);
        }
    }
    Ok(bytes)
}

/// A way to the gateway, by its flags.
struct Way<'w> {
    commands: &'w Commands,
    flags: Vec<&'w str>,
}

impl Way<'_> {
    fn words<'a>(&'a self, words: &[&'a str], code: &'a str) -> Vec<&'a str> {
        let code: &[&str] = if code.is_empty() { &[] } else { &["--totp-code", code] };
        [words, &self.flags, code].concat()
    }

    async fn json(&self, words: &[&str], code: &str) -> Result<Value> {
        self.commands.json(&self.words(words, code)).await
    }

    async fn refused(&self, words: &[&str], code: &str) -> Result<String> {
        self.commands.refused(&self.words(words, code)).await
    }

    /// From nothing to a second factor and back.
    async fn walk(&self) -> Result<()> {
        let shown = self.json(&["totp", "show"], "").await?;
        ensure!(shown["enabled"] == false && shown["pending"] == false, "{shown}");
        let made = self.json(&["totp", "enrol"], "").await?;
        let secret = made["secret"].as_str().context("no secret")?;
        ensure!(made["uri"].as_str().is_some_and(|uri| uri.starts_with("otpauth://")), "{made}");
        let said = self.refused(&["totp", "confirm", "000000"], "").await?;
        ensure!(said.contains("TOKEN_INVALID") && !said.contains(secret), "{said}");
        let confirmed = self.json(&["totp", "confirm", &code(secret)?], "").await?;
        let recovery: Vec<&str> =
            confirmed["recovery_codes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        ensure!(recovery.len() == 10, "{confirmed}");

        let said = self.refused(&["user", "list"], "").await?;
        ensure!(said.contains("totp_code"), "{said}");
        let shown = self.json(&["totp", "show"], recovery[0]).await?;
        ensure!(shown["enabled"] == true && shown["recovery_codes_left"] == 9, "{shown}");
        self.refused(&["totp", "show"], recovery[0]).await?;
        self.json(&["totp", "remove", recovery[1]], recovery[2]).await?;
        let shown = self.json(&["totp", "show"], "").await?;
        ensure!(shown["enabled"] == false, "{shown}");
        Ok(())
    }
}

#[tokio::test]
async fn the_second_factor_is_enrolled_and_removed_by_command() -> Result<()> {
    let folder = Folder::temporary()?;
    let mut gateway = Gateway::start(Options::default().data(folder.path())).await?;
    let text = |name: &str| gateway.ready()[name].as_str().unwrap_or_default().to_owned();
    let (email, password, url) = (text("admin_email"), text("admin_password"), gateway.url());
    std::fs::write(folder.path().join("password"), &password)?;
    let commands = Commands::of(folder.path());
    let person = ["--as", email.as_str(), "--password-file", "password"];
    let over_http = Way { commands: &commands, flags: [&person[..], &["--url", &url]].concat() };
    let on_the_data = Way { commands: &commands, flags: [&person[..], &["--data", "."]].concat() };
    over_http.walk().await?;
    on_the_data.walk().await?;

    // Whoever lost the app is let in again by who administers.
    let made = on_the_data.json(&["totp", "enrol"], "").await?;
    let secret = made["secret"].as_str().context("no secret")?;
    on_the_data.json(&["totp", "confirm", &code(secret)?], "").await?;
    on_the_data.refused(&["totp", "show"], "").await?;
    commands.json(&["user", "remove-totp", &email, "--data", "."]).await?;
    on_the_data.json(&["totp", "show"], "").await?;
    gateway.terminate().await?;
    on_the_data.walk().await
}

#[tokio::test]
async fn who_signs_in_on_the_machine_has_their_own_rights() -> Result<()> {
    let folder = Folder::temporary()?;
    Gateway::start(Options::default().data(folder.path())).await?.terminate().await?;
    let commands = Commands::on(folder.path());
    std::fs::write(folder.path().join("password"), "a long enough password")?;
    let create = ["user", "create", "--email", "ann@example.org", "--role", "viewer"];
    commands.json(&[&create[..], &["--password-from", "password"]].concat()).await?;
    let ann = ["--as", "ann@example.org", "--password-file", "password"];
    commands.json(&[&["key", "list"], &ann[..]].concat()).await?;
    let said = commands.refused(&[&["key", "create", "--name", "a"], &ann[..]].concat()).await?;
    ensure!(said.contains("SCOPE_DENIED"), "{said}");
    Ok(())
}
