//! One value as somebody wrote it, with the place where they did.

use model::Secret;

/// Where a value comes from; a later layer wins over an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// `yumen.toml`.
    File,
    /// `.env` in the working directory.
    DotEnv,
    /// The process's environment.
    Environment,
    /// The command line.
    Flag,
}

/// A value that somebody set. The text may be a secret, so it has no `Debug`.
pub struct Given {
    /// The setting's name, as in the table.
    pub name: &'static str,
    /// The value as text, whatever its type in the file was; lists are joined with commas.
    pub text: Secret<String>,
    /// Which layer it belongs to.
    pub layer: Layer,
    /// The place in words: `yumen.toml line 3`, `environment variable PORT`, `--listen`.
    pub place: String,
}

impl Given {
    /// Takes a value in.
    pub fn new(name: &'static str, text: &str, layer: Layer, place: String) -> Self {
        Self { name, text: Secret::new(text.to_owned()), layer, place }
    }
}
