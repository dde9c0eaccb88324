//! Where recorded exchanges lie, and how one is read. They are not part of this project: a test that finds
//! none says that it was skipped.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of recordings, wherever it lies on this machine.
pub fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("YUMEN_CORPUS").map(PathBuf::from);
    let folder =
        given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"));
    folder.join("index.json").exists().then_some(folder)
}

/// One file of it.
pub fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a listed file is there")).expect("it is JSON")
}
