//! The metrics: what is counted, and how it is shown to Prometheus.
//!
//! Most are derived from finished request records by the recorder, off the request path; the rest are
//! gauges that their owners set. [`table`] is the one list of all of them.

mod bounded;
mod families;
pub mod table;
mod tally;

use std::time::Duration;

use model::NanoUsd;
use model::clock::EpochMs;
use model::record::RequestRecord;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use table::{Kind, MetricInfo, TABLE};

use bounded::Bounds;
use families::{Families, Sampled};
use tally::Tally;

/// The content type of [`Metrics::render`] (OpenMetrics 1.0, which Prometheus reads).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    sampled: Sampled,
    bounds: Bounds,
}

/// The gauges that a worker moves itself, on the request path: one atomic addition each.
#[derive(Clone, Debug)]
pub struct WorkerGauges {
    /// Connections that this worker serves.
    pub connections: Gauge,
    /// Requests in flight in the whole process.
    pub in_flight: Gauge,
}

/// What can be seen of the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct LedgerGauges {
    /// Requests that hold something and have not ended.
    pub open_holds: u64,
    /// The money that they hold.
    pub held: NanoUsd,
    /// Bytes of the journal that the database does not know.
    pub backlog_bytes: u64,
    /// For how long it has not known all of it.
    pub lag: Duration,
    /// Whether the journal cannot be written.
    pub is_faulty: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero.
    #[must_use]
    pub fn new() -> Self {
        let (families, sampled) = (Families::default(), Sampled::default());
        let mut registry = Registry::default();
        families.register(&mut registry);
        registry.register_collector(Box::new(sampled.clone()));
        Self { registry, families, sampled, bounds: Bounds::default() }
    }

    /// Everything in the OpenMetrics text format; see [`CONTENT_TYPE`].
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Writing into a string cannot fail, and no metric here refuses to be written.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Counts finished requests. Called by the recorder, off the request path.
    pub fn observe<'r>(&self, records: impl IntoIterator<Item = &'r RequestRecord>) {
        let mut tally = Tally::new(self);
        for record in records {
            tally.add(record);
        }
        tally.finish();
    }

    /// The gauges of worker `index`.
    #[must_use]
    pub fn worker(&self, index: usize) -> WorkerGauges {
        let worker = self.bounds.bounded("worker", &index.to_string());
        WorkerGauges {
            connections: self.families.connections.get_or_create_owned(&[("worker", worker)]),
            in_flight: self.families.in_flight.clone(),
        }
    }

    /// Replaces the states of all circuits: `(name, state)` with 0 closed, 1 half-open, 2 open.
    pub fn set_circuits<'a>(&self, circuits: impl IntoIterator<Item = (&'a str, i64)>) {
        let family = &self.families.circuit_state;
        family.clear();
        for (name, state) in circuits.into_iter().take(bounded::LIMIT) {
            family.get_or_create(&[("circuit", name.to_owned().into())]).set(state);
        }
    }

    /// Shows how many requests wait for a place at an account.
    pub fn set_waiting(&self, requests: u32) {
        self.families.queue_waiting.set(requests.into());
    }

    /// Notes which configuration is in force since when.
    pub fn config_applied(&self, revision: u64, now_ms: EpochMs) {
        self.families.config_revision.set(gauge(revision));
        self.families.config_applied.set(gauge(now_ms / 1_000));
    }

    /// Shows how the ledger is doing.
    pub fn set_ledger(&self, ledger: LedgerGauges) {
        self.families.open_holds.set(gauge(ledger.open_holds));
        self.families.held_nanos.set(ledger.held.0);
        self.families.ledger_lag.set(gauge(ledger.lag.as_secs()));
        self.families.journal_backlog.set(gauge(ledger.backlog_bytes));
        self.families.journal_fault.set(i64::from(ledger.is_faulty));
    }

    /// Counts request records that were lost because their queue was full.
    pub fn records_dropped(&self, count: u64) {
        self.families.records_dropped.inc_by(count);
    }

    /// Counts request records that reached the database.
    pub fn records_written(&self, count: u64) {
        self.families.records_written.inc_by(count);
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::tests::record;
    use model::Code;
    use model::record::Check;

    /// A `Metrics` in which everything has happened once.
    fn busy() -> Metrics {
        let metrics = Metrics::new();
        metrics.observe([&record()]);
        let mut refused = record();
        (refused.status, refused.code) = (429, Some(Code::RateLimitRpm));
        let check = |name, limit, used| Check { name, passed: false, limit: Some(limit), used: Some(used) };
        refused.checks =
            vec![check("rpm", 60, 57), check("tpm", 0, 0), check("queue_wait_ms", 30_000, 1_250)];
        metrics.observe([&refused]);
        let mut odd = record();
        (odd.cost, odd.usage.capped) = (None, true);
        metrics.observe([&odd, &odd]);
        metrics.worker(0).connections.inc();
        metrics.worker(1).in_flight.inc();
        metrics.set_circuits([("openai:gpt-5", 2)]);
        metrics.set_waiting(5);
        metrics.config_applied(7, 1_790_000_000_123);
        metrics.records_dropped(3);
        metrics.records_written(4);
        metrics
    }

    #[test]
    fn every_metric_of_the_table_is_shown_with_help_and_type() {
        let text = busy().render();
        for row in TABLE {
            let shown = row.name.strip_suffix("_total").unwrap_or(row.name);
            assert!(text.contains(&format!("# HELP {shown} {}.\n", row.help)), "{} in {text}", row.name);
            assert!(text.contains(&format!("# TYPE {shown} {}\n", row.kind.name())), "{}", row.name);
            let sample = text.lines().find(|line| {
                let rest = line.strip_prefix(row.name).unwrap_or_default();
                rest.starts_with(['{', ' ']) || rest.starts_with("_bucket") || rest.starts_with("_info")
            });
            let sample = sample.unwrap_or_else(|| panic!("{} has no sample in {text}", row.name));
            for label in row.labels {
                assert!(sample.contains(&format!("{label}=\"")), "{sample}");
            }
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn nothing_is_shown_that_is_not_in_the_table() {
        let text = busy().render();
        for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = name.split(' ').next().unwrap_or_default();
            let listed = |row: &&MetricInfo| row.name.strip_suffix("_total").unwrap_or(row.name) == name;
            assert_eq!(TABLE.iter().filter(listed).count(), 1, "{name}");
        }
    }

    #[test]
    fn a_request_is_counted_where_it_belongs() {
        let text = busy().render();
        for line in [
            "gateway_request_total{surface=\"openai_chat\",status=\"200\",code=\"\"} 3",
            "gateway_request_total{surface=\"openai_chat\",status=\"429\",code=\"RATE_LIMIT_RPM\"} 1",
            "gateway_limit_rejected_total{dimension=\"rpm\"} 1",
            "gateway_limit_used_ratio_sum{dimension=\"rpm\"} 0.95",
            "gateway_limit_used_ratio_sum{dimension=\"tpm\"} 1.0",
            "gateway_queue_waiting 5",
            "gateway_queue_wait_seconds_sum 1.25",
            "gateway_first_token_seconds_sum{surface=\"openai_chat\"} 0.636",
            "gateway_upstream_attempt_total{upstream=\"main\",class=\"ok\"} 4",
            "gateway_unpriced_request_total{model=\"gpt-5\"} 2",
            "gateway_absurd_usage_total{upstream=\"main\"} 2",
            "gateway_tokens_total{kind=\"output\"} 136",
            "gateway_cost_usd_total 0.00071",
            "gateway_connections{worker=\"0\"} 1",
            "gateway_in_flight 1",
            "gateway_circuit_state{circuit=\"openai:gpt-5\"} 2",
            "gateway_config_revision 7",
            "gateway_config_applied_timestamp_seconds 1790000000",
            "gateway_records_dropped_total 3",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
        }
    }

    #[test]
    fn how_long_requests_took_comes_with_the_trace_of_one() {
        let text = busy().render();
        let of =
            |line: &&str| line.starts_with("gateway_request_seconds_bucket") && line.contains("le=\"1.0\"");
        let line = text.lines().find(of).unwrap();
        let trace = record().trace_id.to_string();
        assert!(line.ends_with(&format!(" # {{trace_id=\"{trace}\"}} 0.903")), "{line}");
    }

    #[test]
    fn a_caller_cannot_make_metrics_grow_by_inventing_models() {
        let metrics = Metrics::new();
        for n in 0..1_000 {
            let mut asked = record();
            asked.model = format!("invented-{n}").into();
            let mut turned_away = asked.clone();
            turned_away.attempts.clear();
            turned_away.model = format!("refused-{n}").into();
            metrics.observe([&asked, &turned_away]);
        }
        let text = metrics.render();
        assert!(text.matches("gateway_model_request_total{").count() <= bounded::LIMIT + 1);
        assert!(text.contains("model=\"other\"") && !text.contains("refused-"));
    }
}
