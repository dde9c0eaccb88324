//! `audit verify`: whether the log of who changed what is as it was written.

use model::clock::rfc3339;
use serde_json::json;
use store::{AuditReport, KeyRing, verify_directory};

use super::{data, load};
use crate::cli::{AuditCommand, Place};
use crate::config::Settings;
use crate::problem::Problem;
use crate::startup::store_problem;

/// Runs the command.
///
/// # Errors
/// What is wrong with the log, or why it cannot be read.
pub fn run(command: &AuditCommand, as_json: bool) -> Result<String, Vec<Problem>> {
    let AuditCommand::Verify { place } = command;
    let (settings, keys) = found(place)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        let fix = "free memory or raise the limit of open files";
        vec![Problem::new("cannot start", error.to_string(), fix)]
    })?;
    let report = runtime.block_on(verify_directory(&settings.data, &keys));
    let report = report.map_err(|error| vec![store_problem(&error)])?;
    match &report.fault {
        Some(fault) => Err(vec![altered(&report, fault.seq, &fault.what)]),
        None if as_json => Ok(in_json(&report)),
        None => Ok(in_words(&report)),
    }
}

/// Where the data of `place` is and under which keys. Reading needs no lock, so a server may run.
fn found(place: &Place) -> Result<(Settings, KeyRing), Vec<Problem>> {
    let flags = place.data.iter().map(|data| ("data", data.clone())).collect();
    let settings = load(place.config.as_deref(), flags)?.settings;
    data::existing(&settings).map_err(|problem| vec![problem])?;
    let keys = data::key_ring(&settings).map_err(|error| vec![store_problem(&error)])?;
    Ok((settings, keys))
}

fn altered(report: &AuditReport, seq: u64, what: &str) -> Problem {
    Problem::new(
        "the audit log is not as it was written",
        format!(
            "at {seq}: {what}; {} entries before, from {} on, are good",
            report.entries,
            report.after + 1
        ),
        "find out who had access to the database and its keys; compare with the log lines kept elsewhere",
    )
}

fn in_json(report: &AuditReport) -> String {
    json!({
        "ok": true,
        "after": report.after,
        "entries": report.entries,
        "checkpoints": report.checkpoints,
        "first_at": report.first_at.map(rfc3339),
        "last_at": report.last_at.map(rfc3339),
        "public_key": report.public_key,
    })
    .to_string()
}

fn in_words(report: &AuditReport) -> String {
    let AuditReport { entries, checkpoints, .. } = report;
    let span = match (report.first_at, report.last_at) {
        (Some(first), Some(last)) => format!(" from {} to {}", rfc3339(first), rfc3339(last)),
        _ => String::new(),
    };
    let begins = match report.after {
        0 => "from the first entry on".to_owned(),
        after => format!("from entry {} on, those before were deleted by retention", after + 1),
    };
    format!(
        "The audit log is as it was written {begins}: {entries} entries{span}, {checkpoints} signed checkpoints.\n\
         Checkpoints are signed with the Ed25519 key {}.",
        report.public_key
    )
}
