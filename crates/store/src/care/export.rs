//! Rows as text, for whoever wants to look at them with other tools. Secrets are left out.

use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Column, Row, TypeInfo, ValueRef};

use super::{close, failed, make_directory, named, open, quoted, tables};
use crate::error::StoreError;
use crate::statements::Database;

/// Tables that hold nothing but secrets or housekeeping.
const LEFT_OUT: [&str; 5] =
    ["key_marker", "refresh_token", "idempotent_answer", "second_factor", "_sqlx_migrations"];
/// Columns and members that are secret, hashed or not.
const SECRET: [&str; 9] = [
    "credential",
    "password_hash",
    "signing_secret",
    "secret",
    "secrets",
    "secret_hmac",
    "recovery",
    "mac",
    "previous",
];
/// Columns whose text is many rows, one a line of JSON.
const LINES: &str = "lines";
/// Rows that are read at a time.
const STEP: i64 = 500;

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a heading; lists and structures are JSON.
    Csv,
}

/// Writes each table of a database to a file of its own in `directory`; the names of the tables and their rows.
/// `only` names the wanted tables; empty for all.
///
/// # Errors
/// The database cannot be read, or the files cannot be written.
pub async fn export(
    (data_dir, database): (&Path, Database),
    directory: &Path,
    format: Format,
    only: &[String],
) -> Result<Vec<(String, u64)>, StoreError> {
    let path = database.path(data_dir)?;
    let mut connection = open(&path).await?;
    make_directory(directory)?;
    let mut done = Vec::new();
    for table in tables(&mut connection).await.map_err(|error| named(&path, error))? {
        let is_wanted = only.is_empty() || only.contains(&table);
        if !is_wanted || LEFT_OUT.contains(&table.as_str()) {
            continue;
        }
        let target =
            directory.join(format!("{table}.{}", if format == Format::Csv { "csv" } else { "jsonl" }));
        super::write_file(&target, b"")?;
        let file = std::fs::OpenOptions::new().append(true).open(&target);
        let mut out = Out {
            file: BufWriter::new(file.map_err(|error| failed(&target, &error))?),
            format,
            heading: Vec::new(),
            rows: 0,
        };
        let read = format!(
            "SELECT rowid AS rowid_, * FROM {} WHERE rowid > $1 ORDER BY rowid LIMIT {STEP}",
            quoted(&table)
        );
        let mut last = i64::MIN;
        loop {
            let rows = sqlx::query(AssertSqlSafe(read.clone())).bind(last).fetch_all(&mut connection);
            let rows = rows.await.map_err(|error| named(&path, error))?;
            for row in &rows {
                last = row.try_get(0)?;
                for object in objects(row) {
                    out.write(&object).map_err(|error| failed(&target, &error))?;
                }
            }
            if rows.is_empty() {
                break;
            }
        }
        out.file.flush().map_err(|error| failed(&target, &error))?;
        done.push((table, out.rows));
    }
    close(connection).await?;
    Ok(done)
}

/// A row as objects: one, or as many as its lines.
fn objects(row: &SqliteRow) -> Vec<Map<String, Value>> {
    let mut object = Map::new();
    let mut lines = None;
    for (n, column) in row.columns().iter().enumerate().skip(1) {
        let name = column.name();
        if SECRET.contains(&name) {
            continue;
        }
        let value = value(row, n);
        if name == LINES {
            lines = value.as_str().map(str::to_owned);
        } else {
            object.insert(name.to_owned(), without_secrets(value));
        }
    }
    let Some(lines) = lines else { return vec![object] };
    let parsed = |line| match serde_json::from_str(line) {
        Ok(Value::Object(members)) => members,
        _ => Map::from_iter([(LINES.to_owned(), json!(line))]),
    };
    lines
        .lines()
        .map(|line| {
            let mut whole = parsed(line);
            whole.entry("tenant_id").or_insert_with(|| object.get("tenant_id").cloned().unwrap_or_default());
            whole
        })
        .collect()
}

fn value(row: &SqliteRow, n: usize) -> Value {
    let Ok(raw) = row.try_get_raw(n) else { return Value::Null };
    if raw.is_null() {
        return Value::Null;
    }
    match raw.type_info().name() {
        "INTEGER" | "BOOLEAN" => {
            row.try_get_unchecked::<i64, _>(n).map_or(Value::Null, |number| json!(number))
        }
        "REAL" => row.try_get_unchecked::<f64, _>(n).map_or(Value::Null, |number| json!(number)),
        _ => row.try_get_unchecked::<String, _>(n).map_or(Value::Null, |text| {
            // Lists and structures are stored as JSON text.
            let is_json = text.starts_with(['{', '[']);
            if is_json { serde_json::from_str(&text).unwrap_or(json!(text)) } else { json!(text) }
        }),
    }
}

/// The value without what is secret in it, and without what is sealed.
fn without_secrets(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(name, _)| !SECRET.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name, without_secrets(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(without_secrets).collect(),
        Value::String(text) if is_sealed(&text) => Value::Null,
        other => other,
    }
}

fn is_sealed(text: &str) -> bool {
    text.starts_with("v1.") && text.split('.').count() == 4
}

/// Where rows go.
struct Out {
    file: BufWriter<std::fs::File>,
    format: Format,
    /// The columns of the first row, which all rows of a file have.
    heading: Vec<String>,
    rows: u64,
}

impl Out {
    fn write(&mut self, object: &Map<String, Value>) -> std::io::Result<()> {
        self.rows += 1;
        if self.format == Format::Jsonl {
            return writeln!(self.file, "{}", Value::Object(object.clone()));
        }
        if self.heading.is_empty() {
            self.heading = object.keys().cloned().collect();
            writeln!(self.file, "{}", self.heading.join(","))?;
        }
        let cell = |name: &String| cell(object.get(name).unwrap_or(&Value::Null));
        let cells: Vec<String> = self.heading.iter().map(cell).collect();
        writeln!(self.file, "{}", cells.join(","))
    }
}

/// A cell as RFC 4180 writes it.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_wherever_they_stand() {
        let value =
            json!({"secret_hmac": "07", "name": "n", "deep": [{"credential": 1, "x": "v1.aa.bb.cc"}]});
        assert_eq!(without_secrets(value), json!({"name": "n", "deep": [{"x": null}]}));
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(cell(&json!("a\"b,c")), "\"a\"\"b,c\"");
        assert_eq!(cell(&json!(["a"])), "\"[\"\"a\"\"]\"");
        assert_eq!(cell(&Value::Null), "");
    }
}
