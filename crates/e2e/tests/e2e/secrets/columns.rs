//! What the columns of secrets hold: keyed hashes, password hashes and sealed values, never the secret; and a hash of a
//! caller's key stands in its own column and nowhere else in the database.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::command::Commands;

/// Every value of every column, a line of JSON each: table, column, value.
const DUMP: &str = "\
import json, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
tables = [row[0] for row in database.execute(\"SELECT name FROM sqlite_master WHERE type = 'table'\")]
for table in tables:
    rows = database.execute(f'SELECT * FROM \"{table}\"')
    names = [column[0] for column in rows.description]
    for row in rows:
        for name, value in zip(names, row):
            text = value.hex() if isinstance(value, bytes) else str(value)
            if value is not None:
                print(json.dumps([table, name, text]))
";

/// What the values of a column look like.
#[derive(Clone, Copy)]
enum Form {
    /// A keyed hash in hex.
    Hash,
    /// A list of keyed hashes in hex, as JSON.
    Hashes,
    /// JSON that has keyed hashes of a caller's key in it.
    Key,
    /// A hash of argon2id.
    Password,
    /// A sealed value.
    Sealed,
}

/// Every column that a secret could stand in.
const COLUMNS: [(&str, &str, Form); 7] = [
    ("api_key", "detail", Form::Key),
    ("api_key", "signing_secret", Form::Sealed),
    ("account", "credential", Form::Sealed),
    ("user_account", "password_hash", Form::Password),
    ("refresh_token", "token_hmac", Form::Hash),
    ("second_factor", "secret", Form::Sealed),
    ("second_factor", "recovery", Form::Hashes),
];

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The hashes in a value, if it looks as it must.
fn hashes_of(form: Form, text: &str) -> Result<Vec<String>> {
    let hashes: Vec<String> = match form {
        Form::Hash => vec![text.to_owned()],
        Form::Hashes => serde_json::from_str(text)?,
        Form::Key => {
            let detail: Value = serde_json::from_str(text)?;
            let former =
                detail["access"]["former"].as_array().into_iter().flatten().map(|former| &former["hmac"]);
            let all = std::iter::once(&detail["secret_hmac"]).chain(former);
            all.map(|hash| hash.as_str().map(str::to_owned)).collect::<Option<_>>().context("no hash")?
        }
        Form::Password => {
            ensure!(text.starts_with("$argon2id$"), "no hash of a password");
            Vec::new()
        }
        Form::Sealed => {
            ensure!(text.starts_with("v1.") && text.split('.').count() == 4, "no sealed value");
            Vec::new()
        }
    };
    ensure!(hashes.iter().all(|hash| is_hash(hash)), "no keyed hash in hex");
    Ok(hashes)
}

/// Looks through the database of a stopped gateway; the hashes of callers' keys.
pub(super) async fn check(data: &Path) -> Result<Vec<String>> {
    std::fs::write(data.join("dump.py"), DUMP)?;
    let ended = Commands::of(data).shell("python3 dump.py yumen.db").await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let cells: Vec<[String; 3]> = ended.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut of_keys = Vec::new();
    for (table, column, form) in COLUMNS {
        let own = cells.iter().filter(|[of, name, _]| of == table && name == column);
        let mut seen = 0;
        for [.., text] in own {
            // The value itself is not shown: it may be the secret.
            let hashes = hashes_of(form, text).with_context(|| format!("{table}.{column}"))?;
            if matches!(form, Form::Key) {
                of_keys.extend(hashes);
            }
            seen += 1;
        }
        ensure!(seen > 0, "nothing is in {table}.{column}");
    }
    let elsewhere = cells.iter().filter(|[table, column, _]| table != "api_key" || column != "detail");
    for [table, column, text] in elsewhere {
        let found = of_keys.iter().any(|hash| text.contains(hash));
        ensure!(!found, "the hash of a key is in {table}.{column}");
    }
    ensure!(of_keys.len() >= 6, "{} hashes of keys", of_keys.len());
    Ok(of_keys)
}
