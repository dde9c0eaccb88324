//! The database's URL, in the spellings people bring along: it says where the data is and what its main file is called.

use std::path::PathBuf;

use super::value::{Refusal, count, refuse};

/// What the database is called where nobody names it.
const DEFAULT: &str = "yumen.db";
/// The most connections that a pool may be given.
const LARGEST_POOL: usize = 1_000;

/// The directory and the name of the file of `sqlite:path`, `sqlite://path` or `sqlite:///path`. The other files of
/// the data are kept beside it, so that whoever keeps the database keeps its keys and its journal.
///
/// After three slashes the path is absolute, but for `sqlite:///./path`, which says itself that it is
/// not. `?min_size=` and `?max_size=` are checked and then left aside: the embedded database has one writer.
pub fn file(text: &str) -> Result<(PathBuf, String), Refusal> {
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
    let (directory, name) = path.rsplit_once('/').map_or((".", path), |(directory, name)| match directory {
        "" => ("/", name),
        _ => (directory, name),
    });
    if matches!(name, "" | "." | "..") {
        return refuse("it names a directory", format!("name a file in it: sqlite:{directory}/{DEFAULT}"));
    }
    if !store::can_be_main(name) {
        return refuse(
            format!("`{}` is the name of another file in the directory of the data", name.escape_default()),
            format!("give it another name, such as sqlite:{directory}/{DEFAULT}"),
        );
    }
    Ok((PathBuf::from(directory), name.to_owned()))
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
