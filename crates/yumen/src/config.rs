//! What a process needs to start: from flags, the environment, `.env` and `yumen.toml`, in that order.
//!
//! [`Inputs`] is what people wrote, [`Settings`] is what was checked. Everything that can change
//! while the process runs is data in the store, never a setting here.

mod database;
mod environment;
mod file;
mod given;
mod nearest;
mod settings;
mod table;
mod value;

use std::path::{Path, PathBuf};

pub use given::{Given, Layer};
pub use settings::{Log, LogFormat, ProviderKey, Settings, Sizes, Timers};
pub use table::{SETTINGS, Setting};
pub use value::{Refusal, encryption_key};

use crate::problem::{Problem, Reason};

/// The configuration file that is read when none is named and it exists.
pub const DEFAULT_FILE: &str = "yumen.toml";

/// Everything that people wrote, unread.
#[derive(Default)]
pub struct Inputs {
    /// The configuration file's path and text.
    pub file: Option<(PathBuf, String)>,
    /// The text of `.env` in the working directory.
    pub dotenv: Option<String>,
    /// The environment's names and values.
    pub environment: Vec<(String, String)>,
    /// Settings given as flags: name of the setting, value.
    pub flags: Vec<(&'static str, String)>,
}

/// A configuration that can be used.
pub struct Loaded {
    /// The checked settings.
    pub settings: Settings,
    /// What was recognised but has no effect in this version; said once, at the start.
    pub warnings: Vec<String>,
    /// Every setting that somebody set, with its place; for `config check`.
    pub given: Vec<Given>,
}

impl Inputs {
    /// Reads the configuration file, `.env` and the environment.
    ///
    /// # Errors
    /// A file that was named or exists, but cannot be read.
    pub fn gather(config: Option<&Path>, flags: Vec<(&'static str, String)>) -> Result<Self, Problem> {
        let default = Path::new(DEFAULT_FILE);
        let file = match config {
            Some(path) => Some(read(path)?.ok_or_else(|| missing(path))?),
            None => read(default)?,
        };
        let dotenv = read(Path::new(".env"))?.map(|(_, text)| text);
        // A variable that is not UTF-8 cannot be one of ours.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(Self { file, dotenv, environment, flags })
    }

    /// Checks everything and puts it together.
    ///
    /// # Errors
    /// Every problem found, not only the first.
    pub fn load(&self) -> Result<Loaded, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        let mut given = Vec::new();
        if let Some((path, text)) = &self.file {
            file::read(path, text, &mut given, &mut problems);
        }
        if let Some(text) = &self.dotenv {
            let variables = environment::parse_dotenv(text, &mut problems);
            environment::read(&variables, Layer::DotEnv, &mut given, &mut problems);
            warnings.extend(environment::without_effect(&variables));
        }
        let variables: Vec<_> = self.environment.iter().map(|(n, v)| (n.clone(), v.clone(), None)).collect();
        environment::read(&variables, Layer::Environment, &mut given, &mut problems);
        warnings.extend(environment::without_effect(&variables));
        for (name, value) in &self.flags {
            given.push(Given::new(name, value, Layer::Flag, format!("--{name}")));
        }
        warnings.sort();
        warnings.dedup();
        let settings = table::apply(&mut given, &mut problems);
        let url = given.iter().find(|value| value.name == "database.url");
        if let (None, Some(url)) = (&settings.database, url) {
            let data = settings.data.display();
            warnings.push(format!("{} is set but not used: --data names the directory {data}", url.place));
        }
        if problems.is_empty() {
            return Ok(Loaded { settings, warnings, given });
        }
        Err(problems)
    }
}

/// The file's path and text; `None` when there is no such file.
fn read(path: &Path) -> Result<Option<(PathBuf, String)>, Problem> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::refusal(
            Reason::ConfigurationFile,
            format!("cannot read {}", path.display()),
            error.to_string(),
            "make it a text file in UTF-8 that this user may read",
        )),
    }
}

fn missing(path: &Path) -> Problem {
    Problem::refusal(
        Reason::ConfigurationFile,
        format!("cannot read {}", path.display()),
        "there is no such file",
        "give the right path after --config, or leave --config out to run with the defaults",
    )
}

#[cfg(test)]
mod tests;
