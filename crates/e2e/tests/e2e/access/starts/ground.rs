//! The data directories on which the starts fail: copies of one that a gateway has used, each spoilt in its own way.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::admin::account;
use testkit::command::Commands;
use testkit::gateway::{Folder, Gateway, Options, Turn};
use testkit::surface::CHAT;

use super::{Start, limits};

/// What is sealed under an `ENCRYPTION_KEY`, and another one.
const KEYS: [&str; 2] = [
    "00112233445566778899aabbccddeeff0123456789abcdef0011223344556677",
    "8899aabbccddeeff00112233445566778899aabbccddeeff0123456789abcdef",
];

/// Folders and a running gateway, kept until the end.
pub(super) struct Ground {
    used: Folder,
    sealed: Folder,
    running: Gateway,
    listener: Option<tokio::net::TcpListener>,
    kept: Vec<Folder>,
}

/// A folder that a gateway with an account in it has left.
async fn left_by(options: Options) -> Result<Folder> {
    let folder = Folder::temporary()?;
    let mut gateway = Gateway::start(options.data(folder.path()).turn(Turn::Held)).await?;
    let admin = gateway.admin().await?;
    admin.create_account(&account("a", &CHAT, "http://127.0.0.1:9", &json!(["m"]))).await?;
    admin.unlimited_key("k").await?;
    gateway.terminate().await?;
    Ok(folder)
}

impl Ground {
    pub(super) async fn prepare() -> Result<Self> {
        let running = Gateway::start(Options::default()).await?;
        let used = left_by(Options::default()).await?;
        let sealed = left_by(Options::default().env("ENCRYPTION_KEY", KEYS[0])).await?;
        Ok(Self { used, sealed, running, listener: None, kept: Vec::new() })
    }

    /// A folder that lives until the end.
    fn keep(&mut self, folder: Folder) -> PathBuf {
        let path = folder.path().to_path_buf();
        self.kept.push(folder);
        path
    }

    fn empty(&mut self) -> Result<PathBuf> {
        Ok(self.keep(Folder::temporary()?))
    }

    fn used(&mut self) -> Result<PathBuf> {
        let copy = self.used.copy()?;
        Ok(self.keep(copy))
    }

    fn start(data: &Path, what: &str, words: &[&str]) -> Start {
        Start::new(what, Options::default().data(data).turn(Turn::Held), words)
    }

    /// A start on a used folder whose database was changed by hand.
    async fn edited(&mut self, what: &str, sql: &str, words: &[&str]) -> Result<Start> {
        let data = self.used()?;
        let script =
            "import sqlite3,sys\nc=sqlite3.connect('yumen.db')\nc.executescript(sys.argv[1])\nc.commit()";
        std::fs::write(data.join("edit.py"), script)?;
        let ended = Commands::of(&data).shell(&format!("python3 edit.py \"{sql}\"")).await?;
        ensure!(ended.code == Some(0), "{sql}: {ended:?}");
        Ok(Self::start(&data, what, words))
    }

    pub(super) fn without_configuration(&mut self) -> Result<Vec<Start>> {
        let folder = self.empty()?;
        let with =
            |path: &Path| Options::default().argument("--config").argument(&path.display().to_string());
        Ok(vec![
            Start::new("a file that is not there", with(&folder.join("nothing.toml")), &["nothing.toml"]),
            Start::new("a directory for a file", with(&folder), &["cannot read"]),
        ])
    }

    pub(super) fn configuration(&mut self, text: &str, words: &[&str]) -> Result<Start> {
        let path = self.empty()?.join("yumen.toml");
        std::fs::write(&path, text)?;
        let options = Options::default().argument("--config").argument(&path.display().to_string());
        Ok(Start::new(text, options, words))
    }

    pub(super) fn dot_env(&mut self, text: &str) -> Result<Start> {
        let data = self.empty()?;
        std::fs::write(data.join(".env"), text)?;
        Ok(Self::start(&data, ".env", &[".env line 1"]))
    }

    pub(super) fn file_in_the_way(&mut self) -> Result<Start> {
        let file = self.empty()?.join("a-file");
        std::fs::write(&file, "in the way")?;
        Ok(Self::start(&file.join("data"), "a file in the way", &["a-file", "belongs to user"]))
    }

    pub(super) fn second_process(&self) -> Start {
        let pid = self.running.pid().to_string();
        Self::start(self.running.data(), "a second process", &[&pid])
    }

    pub(super) async fn address_in_use(&mut self) -> Result<Start> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        self.listener = Some(listener);
        let options = Options::default().argument("--listen").argument(&address);
        Ok(Start::new("a port in use", options, &[&address, &std::process::id().to_string()]))
    }

    fn key_file(data: &Path, prefix: &str) -> Result<PathBuf> {
        let entries = std::fs::read_dir(data.join("keys"))?.filter_map(Result::ok).map(|entry| entry.path());
        let mut found = entries
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
        found.next().with_context(|| format!("no key file {prefix}"))
    }

    /// Key files that are open to others, missing, cut short, or not what their name says.
    pub(super) fn key_files(&mut self) -> Result<Vec<Start>> {
        let mut starts = Vec::new();
        for prefix in ["pepper", "kek-"] {
            for mode in [0o644, 0o640, 0o604] {
                let data = self.used()?;
                std::fs::set_permissions(Self::key_file(&data, prefix)?, Permissions::from_mode(mode))?;
                starts.push(Self::start(&data, &format!("{prefix} with mode {mode:o}"), &["chmod 600"]));
            }
            let data = self.used()?;
            std::fs::write(Self::key_file(&data, prefix)?, b"short")?;
            starts.push(Self::start(&data, &format!("{prefix} cut short"), &[prefix]));
        }
        for prefix in ["pepper", "kek-"] {
            let data = self.used()?;
            std::fs::remove_file(Self::key_file(&data, prefix)?)?;
            starts.push(Self::start(&data, &format!("no {prefix}"), &[prefix]));
        }
        let data = self.used()?;
        std::fs::remove_dir_all(data.join("keys"))?;
        starts.push(Self::start(&data, "no keys at all", &["keys"]));
        let data = self.used()?;
        std::fs::set_permissions(data.join("keys"), Permissions::from_mode(0o755))?;
        starts.push(Self::start(&data, "an open directory of keys", &["chmod 700"]));
        Ok(starts)
    }

    /// Another `ENCRYPTION_KEY` than the one that sealed the data; a file that is gone is named as such.
    pub(super) fn wrong_keys(&mut self) -> Result<Vec<Start>> {
        let copy = self.sealed.copy()?;
        let sealed = self.keep(copy);
        let other = Options::default().data(&sealed).turn(Turn::Held).env("ENCRYPTION_KEY", KEYS[1]);
        let mut other = Start::new("another ENCRYPTION_KEY", other, &["sealed them", "ENCRYPTION_KEY"]);
        other.secret = Some(KEYS[1].to_owned());
        Ok(vec![other])
    }

    pub(super) fn wrong_pepper(&mut self) -> Result<Start> {
        let data = self.used()?;
        let path = Self::key_file(&data, "pepper")?;
        let mut bytes = std::fs::read(&path)?;
        bytes.reverse();
        std::fs::write(&path, bytes)?;
        Ok(Self::start(&data, "another pepper", &["pepper"]))
    }

    pub(super) async fn newer_schema(&mut self) -> Result<Start> {
        let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                   VALUES (999, 'later', TRUE, X'00', 0)";
        self.edited("a newer schema", sql, &["schema 999", "newer"]).await
    }

    pub(super) fn damaged(&mut self) -> Result<Start> {
        let data = self.used()?;
        std::fs::write(data.join("yumen.db"), "no database at all, but long enough to be taken for one")?;
        for rest in ["yumen.db-wal", "yumen.db-shm"] {
            let _ = std::fs::remove_file(data.join(rest));
        }
        Ok(Self::start(&data, "no database", &["salvage"]))
    }

    /// The data under another name than its own, and a file in which another program keeps its tables.
    pub(super) async fn other_database(&mut self) -> Result<Vec<Start>> {
        let data = self.used()?;
        let url = format!("sqlite:{}", data.join("other.db").display());
        let options = Options::default().data(&data).turn(Turn::Held).env("DATABASE_URL", &url);
        let named = Start::new("another name", options, &["other.db", "yumen.db"]);
        let sql = "DROP TABLE _sqlx_migrations; DROP TABLE key_marker";
        Ok(vec![named, self.edited("another program's tables", sql, &["another program"]).await?])
    }

    pub(super) async fn altered_credential(&mut self) -> Result<Start> {
        let sql = "UPDATE account SET tenant_id = 'other'";
        self.edited("a moved credential", sql, &["does not open", "account"]).await
    }

    pub(super) async fn without_table(&mut self) -> Result<Start> {
        self.edited("a missing table", "DROP TABLE price_override", &["failed"]).await
    }

    pub(super) fn journal_in_the_way(&mut self) -> Result<Start> {
        let data = self.used()?;
        std::fs::remove_dir_all(data.join("journal"))?;
        std::fs::write(data.join("journal"), "in the way")?;
        Ok(Self::start(&data, "a file for the journal", &["journal"]))
    }

    pub(super) fn nonces_in_the_way(&mut self) -> Result<Start> {
        let data = self.used()?;
        let _ = std::fs::remove_dir_all(data.join("signatures"));
        std::fs::write(data.join("signatures"), "in the way")?;
        Ok(Self::start(&data, "a file for the nonces", &["signatures"]))
    }

    pub(super) fn stored_responses_in_the_way(&mut self) -> Result<Start> {
        let data = self.used()?;
        let _ = std::fs::remove_dir_all(data.join("responses"));
        std::fs::write(data.join("responses"), "in the way")?;
        Ok(Self::start(&data, "a file for the stored responses", &["responses"]))
    }

    /// Key files of access tokens that are missing, open to others or no keys.
    pub(super) fn signing_keys(&mut self) -> Result<Vec<Start>> {
        let folder = self.empty()?;
        let named =
            |path: &Path| Options::default().env("YUMEN_JWT__PRIVATE_KEY_FILE", &path.display().to_string());
        let (open, junk) = (folder.join("open.pem"), folder.join("junk.pem"));
        for (path, mode) in [(&open, 0o644), (&junk, 0o600)] {
            std::fs::write(path, "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")?;
            std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        Ok(vec![
            Start::new("no such key", named(&folder.join("nothing.pem")), &["nothing.pem"]),
            Start::new("a key that others may read", named(&open), &["open.pem"]),
            Start::new("no key", named(&junk), &["junk.pem"]),
        ])
    }

    /// A clock that stands before the program was written, and one that is behind what is stored; that one is taken
    /// where somebody says so.
    pub(super) async fn wrong_clocks(&mut self) -> Result<Vec<Start>> {
        let folder = self.empty()?;
        let early = limits::clock(&folder, "early", "= 1000000000").await?;
        let ahead = limits::clock(&folder, "ahead", "+= 3600").await?;
        let later = left_by(Options::default().env("LD_PRELOAD", &ahead)).await?;
        let copy = later.copy()?;
        let later = self.keep(later);
        let unchecked = Options::default().data(copy.path()).turn(Turn::Held).env("YUMEN_CLOCK_CHECK", "off");
        Gateway::start(unchecked).await?.terminate().await?;
        let early = Options::default().env("LD_PRELOAD", &early);
        Ok(vec![
            Start::new("a clock of 2001", early, &["2001-09-09", "set the clock"]),
            Self::start(&later, "a clock an hour behind", &["behind the database", "YUMEN_CLOCK_CHECK"]),
        ])
    }

    /// A journal in which nobody may make a file, not even its owner.
    pub(super) fn closed_journal(&mut self) -> Result<Start> {
        let data = self.used()?;
        std::fs::set_permissions(data.join("journal"), Permissions::from_mode(0o500))?;
        let options = Options::default().data(&data).turn(Turn::Held);
        let options = limits::without("dac_override", options)?;
        Ok(Start::new("a closed journal", options, &["journal", "writable"]))
    }

    pub(super) async fn no_administrator(&mut self) -> Result<Start> {
        let sql = "DELETE FROM user_account; CREATE TRIGGER t BEFORE INSERT ON user_account \
                   BEGIN SELECT RAISE(ABORT, 'not now'); END";
        self.edited("no first administrator", sql, &["first administrator"]).await
    }
}
