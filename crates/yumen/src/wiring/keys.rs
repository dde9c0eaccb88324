//! What has to be opened before anything is served: the log, the keys, the first administrator, the
//! first configuration.

use std::sync::Arc;

use control::Passwords;
use control::bootstrap;
use model::Clock;
use store::Store;
use telemetry::log::{Format, LevelHandle};

use crate::banner::FirstAdministrator;
use crate::config::{LogFormat, Settings};
use crate::entropy;
use crate::problem::{Problem, Reason};
use crate::startup;

/// Starts the log, each stream to where it is to go.
///
/// # Errors
/// A file of it cannot be opened.
pub fn start_log(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<LevelHandle, Problem> {
    telemetry::stream::direct(&settings.streams).map_err(|(path, error)| {
        Problem::refusal(
            Reason::LogFile,
            format!("cannot write the log to {}", path.display()),
            error.to_string(),
            "make its directory, writable for this user, or name another file",
        )
    })?;
    Ok(start_log_at(settings.log.level, settings, clock))
}

/// Starts the log of a command, which says by itself what it has done: only what went wrong beside it is logged.
pub fn start_quiet_log(settings: &Settings, clock: &Arc<dyn Clock>) -> LevelHandle {
    start_log_at("error", settings, clock)
}

fn start_log_at(level: &str, settings: &Settings, clock: &Arc<dyn Clock>) -> LevelHandle {
    telemetry::log::init(log_format(settings), level, Arc::clone(clock))
        .expect("the level was checked with the settings, and a process runs one command")
}

/// The form of log lines and of the digest.
#[must_use]
pub fn log_format(settings: &Settings) -> Format {
    match settings.log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    }
}

/// Makes the first administrator when nobody could sign in otherwise.
///
/// # Errors
/// The store refuses.
pub async fn first_administrator(
    store: &Store,
    passwords: &Passwords,
    clock: &dyn Clock,
) -> Result<Option<FirstAdministrator>, Problem> {
    let made =
        bootstrap::first_administrator(store, passwords, (clock, entropy::fill), bootstrap::FIRST_EMAIL);
    let made = made.await.map_err(|error| {
        Problem::refusal(
            Reason::FirstAdministrator,
            "cannot make the first administrator",
            error.to_string(),
            "check the data directory",
        )
    })?;
    Ok(made.map(|made| FirstAdministrator { email: made.email, password: made.password }))
}

/// Loads the configuration as it stands and the way for its successors.
///
/// # Errors
/// It cannot be read.
pub async fn first_configuration(store: &Store) -> Result<(sync::Publisher, sync::Subscriber), Problem> {
    let configuration = store.configuration().await.map_err(|error| startup::store_problem(&error))?;
    Ok(sync::local(Arc::new(configuration)))
}

/// The keys that sign access tokens.
///
/// # Errors
/// A key file cannot be read or made.
pub fn jwt_keys(settings: &Settings, clock: &dyn Clock) -> Result<control::JwtKeys, Problem> {
    let folder = settings.data.join("keys");
    let source = control::KeySource { folder: folder.clone(), ..settings.jwt.clone() };
    control::JwtKeys::load(source, clock.now_ms()).map_err(|error| {
        let fix = match &settings.jwt.private_file {
            Some(path) => format!("check {}, and the settings below jwt", path.display()),
            None => format!("check {}", folder.display()),
        };
        Problem::refusal(Reason::SigningKeys, "cannot load the signing keys", error.to_string(), fix)
    })
}
