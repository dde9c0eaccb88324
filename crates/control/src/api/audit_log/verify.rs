//! `GET /api/v1/admin/audit-log/verify`: whether the log is as it was written. `yumen audit verify` says the same.

use model::clock::rfc3339;
use schemars::JsonSchema;
use serde::Serialize;
use store::AuditReport;

use crate::answer::{Answer, Json, ok};
use crate::api::context::Context;

/// What was found.
#[derive(Serialize, JsonSchema)]
pub struct View {
    ok: bool,
    /// The last entry that retention has deleted; 0 where the log is verified from its beginning.
    after: u64,
    /// Entries that are as they were written, from the one after that on.
    entries: u64,
    /// Checkpoints that are as they were signed, from the first one left on.
    checkpoints: u64,
    first_at: Option<String>,
    last_at: Option<String>,
    /// The Ed25519 key that signs checkpoints, in hex.
    public_key: String,
    /// What is wrong first.
    fault: Option<FaultView>,
}

/// Where the log is not as it was written.
#[derive(Serialize, JsonSchema)]
pub struct FaultView {
    /// The first entry or checkpoint that does not fit.
    seq: u64,
    what: String,
}

impl From<AuditReport> for View {
    fn from(report: AuditReport) -> Self {
        Self {
            ok: report.fault.is_none(),
            after: report.after,
            entries: report.entries,
            checkpoints: report.checkpoints,
            first_at: report.first_at.map(rfc3339),
            last_at: report.last_at.map(rfc3339),
            public_key: report.public_key,
            fault: report.fault.map(|fault| FaultView { seq: fault.seq, what: fault.what }),
        }
    }
}

/// Verifies the log.
///
/// # Errors
/// What the store says.
pub async fn handler(context: Context) -> Answer<Json<View>> {
    Ok(ok(context.store().verify_audit().await?.into()))
}
