//! Every statement and every migration, on SQLite and on a real PostgreSQL: one text for both.
//!
//! PostgreSQL is started for the test on a unix socket in a temporary directory, as an unprivileged
//! user when the test runs as root, which `initdb` refuses.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use scratch::Scratch;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Executor, SqlSafeStr};
use store::{Database, migrations, statements};

/// `nobody`: owns the cluster when root runs the test.
const UNPRIVILEGED: u32 = 65_534;

#[tokio::test]
async fn every_statement_prepares_on_sqlite() {
    for database in [Database::Main, Database::Requests] {
        let options = SqliteConnectOptions::new().in_memory(true);
        let mut connection: SqliteConnection = options.connect().await.unwrap();
        migrations(database).run(&mut connection).await.unwrap();
        for (_, sql) in statements().into_iter().filter(|(of, _)| *of == database) {
            let prepared = (&mut connection).prepare(sql.into_sql_str()).await;
            assert!(prepared.is_ok(), "SQLite does not take: {sql}\n{prepared:?}");
        }
    }
}

#[tokio::test]
async fn every_statement_prepares_on_postgresql() {
    let server = Postgres::start();
    for database in [Database::Main, Database::Requests] {
        let mut connection = server.connect(database).await;
        if database == Database::Main {
            fill_first_schema(&mut connection).await;
        }
        migrations(database).run(&mut connection).await.unwrap();
        for (_, sql) in statements().into_iter().filter(|(of, _)| *of == database) {
            let prepared = (&mut connection).prepare(sql.into_sql_str()).await;
            assert!(prepared.is_ok(), "PostgreSQL does not take: {sql}\n{prepared:?}");
        }
        if database == Database::Main {
            let revision = sqlx::query_scalar("SELECT revision FROM user_account WHERE NOT enabled");
            assert_eq!(revision.fetch_one(&mut connection).await.ok(), Some(5_i64));
        }
        connection.close().await.unwrap();
    }
}

/// The first schema with rows that later steps have to do with.
async fn fill_first_schema(connection: &mut PgConnection) {
    let first = migrations(Database::Main).iter().take(1).cloned().collect();
    Migrator::with_migrations(first).run(&mut *connection).await.unwrap();
    for sql in [
        "UPDATE revision SET revision = 5",
        "INSERT INTO user_account (id, tenant_id, email, name, role, enabled, created_at, updated_at) \
         VALUES ('a', 'default', 'off@example.test', 'off', 'user', FALSE, 1, 1)",
    ] {
        sqlx::query(sql).execute(&mut *connection).await.unwrap();
    }
}

#[test]
fn every_statement_is_listed_once() {
    let mut all: Vec<&str> = statements().into_iter().map(|(_, sql)| sql).collect();
    assert!(all.len() > 40);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), statements().len());
}

/// A server of its own, stopped when dropped.
struct Postgres {
    directory: Scratch,
    binaries: PathBuf,
}

impl Postgres {
    fn start() -> Self {
        let server = Self { directory: Scratch::new(), binaries: find_binaries() };
        if is_root() {
            chown(server.directory.path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
        }
        let data = server.data();
        server.run("initdb", &["-D", &data, "-U", "yumen", "-A", "trust", "-E", "UTF8", "--no-sync"]);
        let socket = server.directory.path().to_str().unwrap();
        let options = format!("-k {socket} -c listen_addresses='' -c fsync=off");
        let log = format!("{socket}/log");
        server.run("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &options, "start"]);
        for name in ["main", "requests"] {
            server.run("createdb", &["-h", socket, "-U", "yumen", name]);
        }
        server
    }

    async fn connect(&self, database: Database) -> PgConnection {
        let name = match database {
            Database::Main => "main",
            Database::Requests => "requests",
        };
        PgConnectOptions::new_without_pgpass()
            .socket(self.directory.path())
            .username("yumen")
            .database(name)
            .connect()
            .await
            .unwrap()
    }

    fn data(&self) -> String {
        self.directory.path().join("cluster").to_str().unwrap().to_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.output(program, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program}: {said}");
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Output {
        let program = self.binaries.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            let id = UNPRIVILEGED.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let command = command.args(arguments).current_dir(self.directory.path());
        command.output().expect("PostgreSQL's programs should start")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.output("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }
}

/// The newest installed version's programs.
fn find_binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &Path| -> u32 {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.parse().ok()).unwrap_or(0)
    };
    versions
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/initdb").exists())
        .max_by_key(|path| version(path))
        .map(|path| path.join("bin"))
        .expect("this test needs PostgreSQL's programs: apt-get install postgresql")
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
