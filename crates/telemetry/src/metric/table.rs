//! A table of one-line entries: every metric, with all that is fixed about it.
//!
//! To add a metric, add a row, a field in `families`, and the line that counts it. The reference page
//! and the tests are derived from this table.

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How values are distributed.
    Histogram,
    /// Constant facts as labels.
    Info,
}

impl Kind {
    /// The name in the exposition format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricInfo {
    /// The name as scripts and dashboards know it.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, without a full stop.
    pub help: &'static str,
}

const fn row(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> MetricInfo {
    MetricInfo { name, kind, unit, labels, help }
}

/// Every metric.
#[rustfmt::skip]
pub const TABLE: &[MetricInfo] = &[
    row("gateway_request_total", Kind::Counter, "requests", &["surface", "status", "code"], "Finished requests by endpoint kind, HTTP status and code of the failure (empty when none)"),
    row("gateway_request_seconds", Kind::Histogram, "seconds", &["surface"], "Time from acceptance to the end of the answer"),
    row("gateway_first_byte_seconds", Kind::Histogram, "seconds", &["surface"], "Time from acceptance to the first byte of the answer"),
    row("gateway_first_token_seconds", Kind::Histogram, "seconds", &["surface"], "Time from acceptance to the first content of a streamed answer, or to the sign of life that goes out before it after ten seconds"),
    row("gateway_own_seconds", Kind::Histogram, "seconds", &[], "Part of the time that was spent in the gateway and not waiting for an upstream"),
    row("gateway_bytes_total", Kind::Counter, "bytes", &["direction"], "Bytes of request bodies (in) and answer bodies (out)"),
    row("gateway_model_request_total", Kind::Counter, "requests", &["model"], "Requests that reached an upstream, by the model asked for"),
    row("gateway_upstream_latency_seconds", Kind::Histogram, "seconds", &["upstream"], "Time that one call to an upstream took in all"),
    row("gateway_upstream_attempt_total", Kind::Counter, "attempts", &["upstream", "class"], "Calls to upstreams by how they ended"),
    row("gateway_tokens_total", Kind::Counter, "tokens", &["kind"], "Tokens by kind; reasoning is a part of output"),
    row("gateway_cost_usd_total", Kind::Counter, "US dollars", &[], "What finished requests cost their callers"),
    row("gateway_unpriced_request_total", Kind::Counter, "requests", &["model"], "Requests whose cost nobody knows, since nothing prices their model; a warning names each model once"),
    row("gateway_absurd_usage_total", Kind::Counter, "requests", &["upstream"], "Answers that stated a usage which nobody can mean and which was capped; a warning names each upstream once"),
    row("gateway_limit_rejected_total", Kind::Counter, "requests", &["dimension"], "Requests refused by a limit of this gateway"),
    row("gateway_limit_used_ratio", Kind::Histogram, "ratio", &["dimension"], "How much of a limit was used when a request came to it, of the tightest level"),
    row("gateway_queue_waiting", Kind::Gauge, "requests", &[], "Requests that wait for a place at an account"),
    row("gateway_queue_wait_seconds", Kind::Histogram, "seconds", &[], "How long requests waited for a place at an account, of those that waited"),
    row("gateway_in_flight", Kind::Gauge, "requests", &[], "Requests being served"),
    row("gateway_connections", Kind::Gauge, "connections", &["worker"], "Open connections of callers by worker"),
    row("gateway_circuit_state", Kind::Gauge, "state", &["circuit"], "State of each circuit: 0 closed, 1 half-open, 2 open"),
    row("gateway_ledger_open_holds", Kind::Gauge, "requests", &[], "Requests that hold something of their payers and have not ended"),
    row("gateway_ledger_held_nano_usd", Kind::Gauge, "nano-dollars", &[], "Money that requests hold which have not ended"),
    row("gateway_ledger_lag_seconds", Kind::Gauge, "seconds", &[], "For how long the database has not known all of the journal"),
    row("gateway_journal_backlog_bytes", Kind::Gauge, "bytes", &[], "Bytes of the journal that the database does not know"),
    row("gateway_journal_fault", Kind::Gauge, "state", &[], "Whether the journal cannot be written and new requests are refused: 0 no, 1 yes"),
    row("gateway_config_revision", Kind::Gauge, "revision", &[], "Revision of the configuration in force"),
    row("gateway_config_applied_timestamp_seconds", Kind::Gauge, "seconds", &[], "When the configuration in force was applied, in Unix time"),
    row("gateway_records_dropped_total", Kind::Counter, "records", &[], "Request records lost because their queue was full"),
    row("gateway_records_written_total", Kind::Counter, "records", &[], "Request records written to the database"),
    row("gateway_build", Kind::Info, "", &["version"], "The version of this gateway"),
    row("process_resident_memory_bytes", Kind::Gauge, "bytes", &[], "Resident memory"),
    row("process_open_fds", Kind::Gauge, "descriptors", &[], "Open file descriptors"),
    row("process_threads", Kind::Gauge, "threads", &[], "Threads"),
    row("process_cpu_seconds_total", Kind::Counter, "seconds", &[], "Processor time used, user and system"),
    row("process_start_time_seconds", Kind::Gauge, "seconds", &[], "When the process started, in Unix time"),
];

/// The row of `name`.
pub(super) fn find(name: &str) -> Option<&'static MetricInfo> {
    TABLE.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_no_duplicates_and_no_misnomers() {
        for (at, row) in TABLE.iter().enumerate() {
            let first = TABLE.iter().position(|other| other.name == row.name);
            assert_eq!(first, Some(at), "{} stands twice", row.name);
            let snake = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(snake(row.name) && row.labels.iter().all(|label| snake(label)), "{}", row.name);
            assert_eq!(row.name.ends_with("_total"), row.kind == Kind::Counter, "{}", row.name);
            assert!(!row.help.is_empty() && !row.help.ends_with('.'), "{}", row.name);
        }
    }
}
