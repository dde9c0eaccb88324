//! The live counters behind the table: one field per row, registered under the row's name and help.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::table;
use crate::process::Process;

/// `N` labels with their values.
type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;
/// A histogram that names a request for each of its buckets.
pub(super) type Exemplary = HistogramWithExemplars<[(&'static str, String); 1]>;

/// Bounds for whole requests and calls: from a cache hit to the longest allowed stream (decisions.md: 3,600 s).
const SECONDS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0];
/// Bounds for how much of a limit is used.
const RATIOS: [f64; 7] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0];
/// Bounds for the gateway's own time, which is counted in microseconds.
const OWN_SECONDS: [f64; 11] =
    [0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.1, 1.0];

/// What is counted as it happens.
#[derive(Clone, Debug)]
pub(super) struct Families {
    pub requests: Family<Labels<3>, Counter>,
    pub request_seconds: Family<Labels<1>, Exemplary, fn() -> Exemplary>,
    pub first_byte_seconds: Histograms<1>,
    pub first_token_seconds: Histograms<1>,
    pub own_seconds: Histogram,
    pub bytes: Family<Labels<1>, Counter>,
    pub model_requests: Family<Labels<1>, Counter>,
    pub upstream_seconds: Histograms<1>,
    pub attempts: Family<Labels<2>, Counter>,
    pub tokens: Family<Labels<1>, Counter>,
    pub unpriced: Family<Labels<1>, Counter>,
    pub absurd_usage: Family<Labels<1>, Counter>,
    pub limit_rejected: Family<Labels<1>, Counter>,
    pub limit_used: Histograms<1>,
    pub queue_waiting: Gauge,
    pub queue_wait_seconds: Histogram,
    pub in_flight: Gauge,
    pub connections: Family<Labels<1>, Gauge>,
    pub circuit_state: Family<Labels<1>, Gauge>,
    pub open_holds: Gauge,
    pub held_nanos: Gauge,
    pub ledger_lag: Gauge,
    pub journal_backlog: Gauge,
    pub journal_fault: Gauge,
    pub config_revision: Gauge,
    pub config_applied: Gauge,
    pub records_dropped: Counter,
    pub records_written: Counter,
}

impl Default for Families {
    fn default() -> Self {
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Exemplary::new(SECONDS.into_iter())),
            first_byte_seconds: Family::new_with_constructor(seconds),
            first_token_seconds: Family::new_with_constructor(seconds),
            own_seconds: Histogram::new(OWN_SECONDS),
            bytes: Family::default(),
            model_requests: Family::default(),
            upstream_seconds: Family::new_with_constructor(seconds),
            attempts: Family::default(),
            tokens: Family::default(),
            unpriced: Family::default(),
            absurd_usage: Family::default(),
            limit_rejected: Family::default(),
            limit_used: Family::new_with_constructor(|| Histogram::new(RATIOS)),
            queue_waiting: Gauge::default(),
            queue_wait_seconds: Histogram::new(SECONDS),
            in_flight: Gauge::default(),
            connections: Family::default(),
            circuit_state: Family::default(),
            open_holds: Gauge::default(),
            held_nanos: Gauge::default(),
            ledger_lag: Gauge::default(),
            journal_backlog: Gauge::default(),
            journal_fault: Gauge::default(),
            config_revision: Gauge::default(),
            config_applied: Gauge::default(),
            records_dropped: Counter::default(),
            records_written: Counter::default(),
        }
    }
}

impl Families {
    pub(super) fn register(&self, registry: &mut Registry) {
        add(registry, "gateway_request_total", self.requests.clone());
        add(registry, "gateway_request_seconds", self.request_seconds.clone());
        add(registry, "gateway_first_byte_seconds", self.first_byte_seconds.clone());
        add(registry, "gateway_first_token_seconds", self.first_token_seconds.clone());
        add(registry, "gateway_own_seconds", self.own_seconds.clone());
        add(registry, "gateway_bytes_total", self.bytes.clone());
        add(registry, "gateway_model_request_total", self.model_requests.clone());
        add(registry, "gateway_upstream_latency_seconds", self.upstream_seconds.clone());
        add(registry, "gateway_upstream_attempt_total", self.attempts.clone());
        add(registry, "gateway_tokens_total", self.tokens.clone());
        add(registry, "gateway_unpriced_request_total", self.unpriced.clone());
        add(registry, "gateway_absurd_usage_total", self.absurd_usage.clone());
        add(registry, "gateway_limit_rejected_total", self.limit_rejected.clone());
        add(registry, "gateway_limit_used_ratio", self.limit_used.clone());
        add(registry, "gateway_queue_waiting", self.queue_waiting.clone());
        add(registry, "gateway_queue_wait_seconds", self.queue_wait_seconds.clone());
        add(registry, "gateway_in_flight", self.in_flight.clone());
        add(registry, "gateway_connections", self.connections.clone());
        add(registry, "gateway_circuit_state", self.circuit_state.clone());
        add(registry, "gateway_ledger_open_holds", self.open_holds.clone());
        add(registry, "gateway_ledger_held_nano_usd", self.held_nanos.clone());
        add(registry, "gateway_ledger_lag_seconds", self.ledger_lag.clone());
        add(registry, "gateway_journal_backlog_bytes", self.journal_backlog.clone());
        add(registry, "gateway_journal_fault", self.journal_fault.clone());
        add(registry, "gateway_config_revision", self.config_revision.clone());
        add(registry, "gateway_config_applied_timestamp_seconds", self.config_applied.clone());
        add(registry, "gateway_records_dropped_total", self.records_dropped.clone());
        add(registry, "gateway_records_written_total", self.records_written.clone());
        add(registry, "gateway_build", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    }
}

/// Registers a metric with the help of its row. The encoder appends `_total` to counters by itself.
fn add(registry: &mut Registry, name: &'static str, metric: impl Metric) {
    let row = table::find(name).expect("every registered metric has a row: a test reads the whole table");
    registry.register(name.strip_suffix("_total").unwrap_or(name), row.help, metric);
}

/// What is read only when somebody asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Sampled {
    /// Money is summed as an integer and becomes a float only when shown.
    pub cost_nanos: Arc<AtomicU64>,
}

impl Collector for Sampled {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let out = &mut encoder;
        let nanos = self.cost_nanos.load(Ordering::Relaxed);
        show(out, "gateway_cost_usd_total", &ConstCounter::new(dollars(nanos)))?;
        let Some(process) = Process::read() else {
            return Ok(());
        };
        show(out, "process_resident_memory_bytes", &ConstGauge::new(process.resident_bytes))?;
        show(out, "process_open_fds", &ConstGauge::new(process.open_fds))?;
        show(out, "process_threads", &ConstGauge::new(process.threads))?;
        show(out, "process_cpu_seconds_total", &ConstCounter::new(process.cpu_seconds))?;
        show(out, "process_start_time_seconds", &ConstGauge::new(process.start_seconds))
    }
}

fn show(
    encoder: &mut DescriptorEncoder<'_>,
    name: &'static str,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    let help = table::find(name).map_or("", |row| row.help);
    // The registry ends every help with a full stop; do as it does.
    let help = format!("{help}.");
    let shown = name.strip_suffix("_total").unwrap_or(name);
    metric.encode(encoder.encode_descriptor(shown, &help, None, metric.metric_type())?)
}

/// Nano-dollars as dollars, for showing only.
fn dollars(nanos: u64) -> f64 {
    std::time::Duration::from_nanos(nanos).as_secs_f64()
}
