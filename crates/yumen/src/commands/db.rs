//! `yumen db …`: care of the database files. The statements are the store's; what is said is said here.

use std::path::{Path, PathBuf};

use model::Clock as _;
use model::clock::rfc3339;
use serde_json::{Value, json};
use store::care::{self, FileCheck, Format};
use store::{Database, Store, StoreError};

use super::{data, load};
use crate::cli::{DbCommand, ExportFormat, Place};
use crate::config::Settings;
use crate::problem::Problem;
use crate::startup::{self, store_problem};
use crate::system_clock::SystemClock;

/// What a command has done: for machines and for people.
struct Done(Value, String);

/// Runs the command.
///
/// # Errors
/// What the operator has to change.
pub fn run(command: DbCommand, as_json: bool) -> Result<String, Vec<Problem>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        vec![Problem::new("cannot start", error.to_string(), "free memory or raise the limit of open files")]
    })?;
    let Done(json, text) = runtime.block_on(perform(command))?;
    Ok(if as_json { json.to_string() } else { text })
}

async fn perform(command: DbCommand) -> Result<Done, Vec<Problem>> {
    let one = |problem| vec![problem];
    match command {
        DbCommand::Check { place } => check(&settled(&place)?).await,
        DbCommand::Backup { target, with_keys, place } => {
            backup(&settled(&place)?, target, with_keys).await.map_err(one)
        }
        DbCommand::Restore { backup, place } => {
            let settings = settings(&place)?;
            let done = restore(&settings, &backup).await.map_err(one)?;
            noted(&settings, ("db.restore", &backup.display().to_string()), done).await.map_err(one)
        }
        DbCommand::Vacuum { place } => {
            let settings = settled(&place)?;
            let done = vacuum(&settings).await.map_err(one)?;
            let main = main_file(&settings).map_err(one)?;
            let name = main.file_name().unwrap_or_default().to_string_lossy();
            noted(&settings, ("db.vacuum", &name), done).await.map_err(one)
        }
        DbCommand::Migrate { place } => migrate(&settled(&place)?).await.map_err(one),
        DbCommand::Export { into, format, tables, place } => {
            let settings = settled(&place)?;
            let done = export(&settings, &into, format, &tables).await.map_err(one)?;
            noted(&settings, ("db.export", &into.display().to_string()), done).await.map_err(one)
        }
        DbCommand::Salvage { file, into, requests } => salvage(&file, into, requests).await.map_err(one),
    }
}

/// Writes what was done into the audit log of the data, which is there now, and says where it cannot: the keys
/// that chain the log are not needed for anything else here.
async fn noted(
    settings: &Settings,
    (verb, object): (&'static str, &str),
    Done(mut json, mut text): Done,
) -> Result<Done, Problem> {
    let has_keys = settings.encryption_key.is_some() || settings.data.join("keys").exists();
    let written = if has_keys {
        let keys = data::key_ring(settings).map_err(failed)?;
        let now = SystemClock.now_ms();
        store::note_in_directory(&settings.data, &keys, (verb, object), now).await.map_err(failed)?
    } else {
        false
    };
    json["audited"] = Value::Bool(written);
    if !written {
        text.push_str(
            "\nThere is no entry of it in the audit log, whose keys are not here or which is older.",
        );
    }
    Ok(Done(json, text))
}

fn settings(place: &Place) -> Result<Settings, Vec<Problem>> {
    let flags = place.data.iter().map(|data| ("data", data.clone())).collect();
    Ok(load(place.config.as_deref(), flags)?.settings)
}

/// The settings of a data directory that there is.
fn settled(place: &Place) -> Result<Settings, Vec<Problem>> {
    let settings = settings(place)?;
    data::existing(&settings).map_err(|problem| vec![problem])?;
    Ok(settings)
}

/// Nothing is ever written over.
fn refuse_existing(target: &Path) -> Result<(), Problem> {
    if !target.exists() {
        return Ok(());
    }
    Err(Problem::new(
        format!("cannot write to {}", target.display()),
        "it is there already, and nothing is written over",
        "give a name that is not taken",
    ))
}

fn failed(error: StoreError) -> Problem {
    store_problem(&error)
}

fn main_file(settings: &Settings) -> Result<PathBuf, Problem> {
    Database::Main.path(&settings.data).map_err(failed)
}

/// The databases of the data directory that are there, with their files.
fn present(settings: &Settings) -> Result<Vec<(Database, PathBuf)>, Problem> {
    let all = Database::ALL.map(|database| Ok((database, database.path(&settings.data).map_err(failed)?)));
    let all: Vec<_> = all.into_iter().collect::<Result<_, Problem>>()?;
    Ok(all.into_iter().filter(|(_, path)| path.exists()).collect())
}

async fn check(settings: &Settings) -> Result<Done, Vec<Problem>> {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for (database, path) in present(settings).map_err(|problem| vec![problem])? {
        match care::check(&settings.data, database).await {
            Ok(found) => {
                problems.extend(found.faults.iter().map(|fault| damaged(&path, fault)));
                files.push(found);
            }
            Err(error) => problems.push(failed(error)),
        }
    }
    if problems.is_empty() {
        problems.extend(check_keys(settings).await.err());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let json: Vec<Value> = files.iter().map(file_in_json).collect();
    let text: Vec<String> = files.iter().map(file_in_words).collect();
    Ok(Done(json!({"ok": true, "files": json}), text.join("\n")))
}

fn damaged(path: &Path, fault: &str) -> Problem {
    Problem::new(
        format!("the database {} is not sound", path.display()),
        fault.to_owned(),
        format!(
            "stop the server; get the rest into a new file with: yumen db salvage {}; or restore a backup: yumen db restore",
            path.display()
        ),
    )
}

/// Whether the key that seals the data is at hand.
async fn check_keys(settings: &Settings) -> Result<(), Problem> {
    let key_id = care::key_of(&main_file(settings)?).await.map_err(failed)?;
    let ring = data::key_ring(settings).map_err(failed)?;
    if ring.ids().contains(&key_id) {
        return Ok(());
    }
    Err(failed(StoreError::WrongKey { sealed_by: key_id, at_hand: ring.ids().join(", ") }))
}

fn file_in_json(file: &FileCheck) -> Value {
    let tables =
        file.tables.iter().map(|table| json!({"name": table.name, "rows": table.rows, "bytes": table.bytes}));
    json!({
        "file": file.file, "bytes": file.bytes, "free_bytes": file.free_bytes, "schema": file.schema,
        "newest_schema": file.newest_schema, "tables": tables.collect::<Vec<_>>(),
    })
}

fn file_in_words(file: &FileCheck) -> String {
    let mut lines = vec![format!(
        "{} is sound: {} KiB, {} KiB of it free, schema {} of {}",
        file.file,
        file.bytes / 1024,
        file.free_bytes / 1024,
        file.schema,
        file.newest_schema
    )];
    let of = |table: &care::TableSize| {
        format!("  {:<24}{:>10} rows{:>10} KiB", table.name, table.rows, table.bytes / 1024)
    };
    lines.extend(file.tables.iter().map(of));
    lines.join("\n")
}

async fn backup(settings: &Settings, target: Option<PathBuf>, with_keys: bool) -> Result<Done, Problem> {
    let target = match target {
        Some(target) => target,
        None => {
            let folder = settings.data.join("backups");
            std::fs::create_dir_all(&folder).map_err(|error| {
                failed(StoreError::Directory { path: folder.clone(), reason: error.to_string() })
            })?;
            folder.join(rfc3339(SystemClock.now_ms()).replace(':', "-"))
        }
    };
    refuse_existing(&target)?;
    let made = care::backup(&settings.data, &target, with_keys).await.map_err(failed)?;
    let keys = if made.has_keys || settings.encryption_key.is_some() {
        String::new()
    } else {
        format!("\nThe keys are not in it; keep {} somewhere else.", settings.data.join("keys").display())
    };
    let text = format!(
        "backed up to {}: {} KiB, revision {}, sealed by the key {}{keys}",
        made.path.display(),
        made.bytes / 1024,
        made.revision,
        made.key_id
    );
    Ok(Done(json!(made), text))
}

async fn restore(settings: &Settings, backup: &Path) -> Result<Done, Problem> {
    let key_id = care::key_of(backup).await.map_err(failed)?;
    let brings_keys = backup.join("keys").is_dir() && !settings.data.join("keys").exists();
    if !brings_keys {
        let has_keys = settings.encryption_key.is_some() || settings.data.join("keys").exists();
        let ring = if has_keys { Some(data::key_ring(settings).map_err(failed)?) } else { None };
        let ids = ring.map(|ring| ring.ids()).unwrap_or_default();
        if !ids.contains(&key_id) {
            let at_hand = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
            return Err(failed(StoreError::WrongKey { sealed_by: key_id, at_hand }));
        }
    }
    startup::prepare_directory(&settings.data)?;
    data::settle_name(settings)?;
    let done = care::restore(backup, &settings.data, SystemClock.now_ms()).await.map_err(failed)?;
    let moved = done.moved_to.as_ref().map(|path| format!("\nWhat was there is in {}.", path.display()));
    let text = format!("restored {}{}", done.restored.join(", "), moved.unwrap_or_default());
    Ok(Done(json!(done), text))
}

async fn vacuum(settings: &Settings) -> Result<Done, Problem> {
    let mut files = Vec::new();
    for (database, _) in present(settings)? {
        files.push(care::vacuum(&settings.data, database).await.map_err(failed)?);
    }
    let line = |file: &care::Vacuumed| {
        format!("{}: {} KiB, before {} KiB", file.file, file.after / 1024, file.before / 1024)
    };
    let text = files.iter().map(line).collect::<Vec<_>>().join("\n");
    Ok(Done(json!({"files": files}), text))
}

async fn migrate(settings: &Settings) -> Result<Done, Problem> {
    let schemas = async || {
        let mut schemas = Vec::new();
        for (database, path) in present(settings)? {
            let (schema, newest) = care::schema_of(&settings.data, database).await.map_err(failed)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            schemas.push((name, schema, newest));
        }
        Ok::<_, Problem>(schemas)
    };
    let before = schemas().await?;
    if before.len() < Database::ALL.len() || before.iter().any(|(_, schema, newest)| schema != newest) {
        let ring = data::key_ring(settings).map_err(failed)?;
        Store::open(&settings.data, ring).await.map_err(failed)?.close().await;
    }
    let after = schemas().await?;
    let of = |file: &str| before.iter().find(|(name, ..)| name == file).map_or(0, |(_, schema, _)| *schema);
    let json: Vec<Value> = after
        .iter()
        .map(|(file, schema, _)| json!({"file": file, "before": of(file), "schema": schema}))
        .collect();
    let line =
        |(file, schema, _): &(String, i64, i64)| format!("{file}: schema {schema}, before {}", of(file));
    let text = after.iter().map(line).collect::<Vec<_>>().join("\n");
    Ok(Done(json!({"files": json}), text))
}

async fn export(
    settings: &Settings,
    into: &Path,
    format: ExportFormat,
    tables: &[String],
) -> Result<Done, Problem> {
    let format = match format {
        ExportFormat::Jsonl => Format::Jsonl,
        ExportFormat::Csv => Format::Csv,
    };
    let mut written = Vec::new();
    for (database, _) in present(settings)? {
        let of = (settings.data.as_path(), database);
        written.extend(care::export(of, into, format, tables).await.map_err(failed)?);
    }
    if let Some(unknown) = tables.iter().find(|table| !written.iter().any(|(name, _)| name == *table)) {
        return Err(Problem::new(
            format!("there is no table {unknown:?} to export"),
            "it does not exist, or holds nothing but secrets",
            "see the tables with: yumen db check",
        ));
    }
    let json: Vec<Value> =
        written.iter().map(|(table, rows)| json!({"table": table, "rows": rows})).collect();
    let text = written.iter().map(|(table, rows)| format!("{table}: {rows} rows")).collect::<Vec<_>>();
    Ok(Done(json!({"directory": into, "tables": json}), text.join("\n")))
}

async fn salvage(file: &Path, into: Option<PathBuf>, requests: bool) -> Result<Done, Problem> {
    let into = into.unwrap_or_else(|| {
        let mut name = file.as_os_str().to_owned();
        name.push(".salvaged");
        PathBuf::from(name)
    });
    refuse_existing(&into)?;
    let database = if requests { Database::Requests } else { Database::of_file(file) };
    let done = care::salvage(file, &into, database).await.map_err(failed)?;
    let mut lines: Vec<String> =
        done.rows.iter().map(|(table, rows)| format!("{table}: {rows} rows")).collect();
    lines.push(format!("{} pages or rows could not be read", done.lost));
    lines.extend(done.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.push(format!(
        "To go on with it: stop the server, move {} away, move {} in its place, start.",
        file.display(),
        into.display()
    ));
    Ok(Done(json!({"into": into, "salvaged": done}), lines.join("\n")))
}
