//! The database's URL, in the spellings people bring along: it says where the data directory is.

use std::path::PathBuf;

use super::value::{Refusal, count, refuse};

/// The embedded database's file name, fixed in this version.
const FILE: &str = "yumen.db";
/// The most connections that a pool may be given.
const LARGEST_POOL: usize = 1_000;

/// The data directory of `sqlite:path`, `sqlite://path` or `sqlite:///path`.
///
/// After three slashes the path is absolute, but for `sqlite:///./path`, which says itself that it is
/// not. `?min_size=` and `?max_size=` are checked and then left aside: the embedded database has one writer.
pub fn directory(text: &str) -> Result<PathBuf, Refusal> {
    let (location, query) = text.split_once('?').unwrap_or((text, ""));
    let Some((scheme, rest)) = location.split_once(':') else {
        return refuse("it has no scheme", SQLITE_FIX);
    };
    match scheme.to_ascii_lowercase().split('+').next().unwrap_or("") {
        "sqlite" => {}
        "postgres" | "postgresql" => {
            return refuse("PostgreSQL is not supported by this version yet", SHARED_FIX);
        }
        other => {
            return refuse(format!("`{other}` is not a database this program knows"), SQLITE_FIX);
        }
    }
    let path = match rest.strip_prefix("//") {
        Some(after) if after.starts_with("/./") => &after[1..],
        Some(after) if after.starts_with("//") => &after[1..],
        Some(after) => after,
        None => rest,
    };
    if path.is_empty() || path.contains(":memory:") {
        return refuse("it names no file, and a database in memory would lose every key at exit", SQLITE_FIX);
    }
    check_options(query)?;
    let path = PathBuf::from(path);
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or_else(|| PathBuf::from("."), PathBuf::from);
    if path.file_name().is_some_and(|name| name == FILE) {
        return Ok(directory);
    }
    refuse(
        format!("this version names its database {FILE} and keeps other files beside it"),
        format!("write sqlite:{}", directory.join(FILE).display()),
    )
}

fn check_options(query: &str) -> Result<(), Refusal> {
    let (mut least, mut most) = (0, LARGEST_POOL);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "min_size" => least = count(value, 0, LARGEST_POOL)?,
            "max_size" => most = count(value, 1, LARGEST_POOL)?,
            other => {
                return refuse(format!("`{other}` is not an option of it"), "use min_size and max_size only");
            }
        }
    }
    if least > most {
        return refuse("min_size is larger than max_size", "make max_size at least min_size");
    }
    Ok(())
}

const SQLITE_FIX: &str =
    "write sqlite:data/yumen.db, or leave it out to keep the database in the data directory";
/// What to do as long as only the embedded database exists.
const SHARED_FIX: &str = "use sqlite:data/yumen.db for now; shared databases come with a later version";
