//! Counts a batch of records on the side, so that the families, which look labels up under a lock, are
//! touched once per batch and label and not once per record.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::record::{Attempt, Check, RequestRecord};
use model::{Code, UsageSource};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::Metrics;
use super::families::Exemplary;

/// What limits count, as checks in records are named.
const DIMENSIONS: [&str; 6] = ["rpm", "tpm", "rpd", "tpd", "concurrent", "burst"];
/// The check that says how long a request waited for an account, in milliseconds.
const QUEUE_WAIT: &str = "queue_wait_ms";

/// Counts per label value: few different ones, mostly the same as the time before.
struct Counts<L>(Vec<(L, u64)>);

impl<L> Default for Counts<L> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<L: PartialEq> Counts<L> {
    fn add(&mut self, label: L) {
        match self.0.iter_mut().find(|(known, _)| *known == label) {
            Some((_, count)) => *count += 1,
            None => self.0.push((label, 1)),
        }
    }
}

/// The histograms of a surface.
struct SurfaceTimes {
    surface: &'static str,
    whole: Exemplary,
    first_byte: Histogram,
    first_token: Histogram,
}

/// What a batch adds to the metrics.
pub(super) struct Tally<'m, 'r> {
    metrics: &'m Metrics,
    surfaces: Vec<SurfaceTimes>,
    upstreams: Vec<(&'r Arc<str>, Histogram)>,
    limits: Vec<(&'static str, Histogram)>,
    requests: Counts<(&'static str, u16, Option<Code>)>,
    attempts: Counts<(&'r Arc<str>, &'static str)>,
    // Callers name models: there may be many.
    models: HashMap<&'r str, u64>,
    unpriced: HashMap<&'r str, u64>,
    absurd: Counts<&'r str>,
    bytes: [u64; 2],
    tokens: [u64; 5],
    cost_nanos: u64,
}

impl<'m, 'r> Tally<'m, 'r> {
    pub(super) fn new(metrics: &'m Metrics) -> Self {
        Self {
            metrics,
            surfaces: Vec::new(),
            upstreams: Vec::new(),
            limits: Vec::new(),
            requests: Counts::default(),
            attempts: Counts::default(),
            models: HashMap::new(),
            unpriced: HashMap::new(),
            absurd: Counts::default(),
            bytes: [0; 2],
            tokens: [0; 5],
            cost_nanos: 0,
        }
    }

    /// Counts one record. Times go to their histograms at once.
    pub(super) fn add(&mut self, record: &'r RequestRecord) {
        self.requests.add((record.surface, record.status, record.code));
        let times = self.surface(record.surface);
        let named = [("trace_id", record.trace_id.to_string())];
        times.whole.observe(seconds(record.latency_ms), Some(named), None);
        if let Some(ms) = record.first_byte_ms {
            times.first_byte.observe(seconds(ms));
            if record.stream && record.status == 200 {
                times.first_token.observe(seconds(ms));
            }
        }
        self.add_checks(&record.checks);
        self.metrics.families.own_seconds.observe(f64::from(record.own_us) / 1e6);
        for attempt in &record.attempts {
            self.add_attempt(attempt);
        }
        // A model that never reached an upstream is only what some caller wrote.
        if !record.attempts.is_empty() {
            *self.models.entry(&record.model).or_default() += 1;
        }
        add_all(&mut self.bytes, [record.bytes_in, record.bytes_out]);
        let usage = &record.usage;
        if record.cost.is_none() && usage.source != UsageSource::None {
            *self.unpriced.entry(&record.model).or_default() += 1;
        }
        if let Some(upstream) = record.upstream.as_deref().filter(|_| usage.capped) {
            self.absurd.add(upstream);
        }
        let kinds = [usage.input, usage.cache_read, usage.cache_write(), usage.output, usage.reasoning];
        add_all(&mut self.tokens, kinds);
        let nanos = record.cost.map_or(0, |cost| u64::try_from(cost.0).unwrap_or(0));
        self.cost_nanos = self.cost_nanos.saturating_add(nanos);
    }

    /// What the checks of limits and queues saw.
    fn add_checks(&mut self, checks: &[Check]) {
        for check in checks {
            let (Some(limit), Some(used)) = (check.limit, check.used) else { continue };
            if check.name == QUEUE_WAIT {
                let waited = Duration::from_millis(used).as_secs_f64();
                self.metrics.families.queue_wait_seconds.observe(waited);
            } else if let Some(dimension) = DIMENSIONS.into_iter().find(|name| *name == check.name) {
                let ratio = if limit == 0 { 1.0 } else { ratio(used, limit) };
                self.limit(dimension).observe(ratio);
            }
        }
    }

    fn limit(&mut self, dimension: &'static str) -> &Histogram {
        let known = self.limits.iter().position(|(known, _)| *known == dimension);
        let at = known.unwrap_or_else(|| {
            let family = &self.metrics.families.limit_used;
            self.limits.push((dimension, family.get_or_create_owned(&[("dimension", dimension.into())])));
            self.limits.len() - 1
        });
        &self.limits[at].1
    }

    fn add_attempt(&mut self, attempt: &'r Attempt) {
        self.attempts.add((&attempt.account, attempt.class));
        let known = self.upstreams.iter().find(|(account, _)| **account == attempt.account);
        let histogram = match known {
            Some((_, histogram)) => histogram,
            None => {
                let upstream = self.metrics.bounds.bounded("upstream", &attempt.account);
                let family = &self.metrics.families.upstream_seconds;
                self.upstreams
                    .push((&attempt.account, family.get_or_create_owned(&[("upstream", upstream)])));
                let (_, histogram) = &self.upstreams[self.upstreams.len() - 1];
                histogram
            }
        };
        histogram.observe(seconds(attempt.total_ms));
    }

    fn surface(&mut self, surface: &'static str) -> &SurfaceTimes {
        let known = self.surfaces.iter().position(|known| known.surface == surface);
        let at = known.unwrap_or_else(|| {
            let families = &self.metrics.families;
            let label = [("surface", surface.into())];
            self.surfaces.push(SurfaceTimes {
                surface,
                whole: families.request_seconds.get_or_create_owned(&label),
                first_byte: families.first_byte_seconds.get_or_create_owned(&label),
                first_token: families.first_token_seconds.get_or_create_owned(&label),
            });
            self.surfaces.len() - 1
        });
        &self.surfaces[at]
    }

    /// Adds everything to the metrics.
    pub(super) fn finish(self) {
        let (families, bounds) = (&self.metrics.families, &self.metrics.bounds);
        for ((surface, status, code), count) in self.requests.0 {
            let code = code.map_or("", Code::name);
            let labels =
                [("surface", surface.into()), ("status", status.to_string().into()), ("code", code.into())];
            families.requests.get_or_create(&labels).inc_by(count);
            if let Some(dimension) = limited_dimension(code) {
                families.limit_rejected.get_or_create(&[("dimension", dimension.into())]).inc_by(count);
            }
        }
        for ((account, class), count) in self.attempts.0 {
            let upstream = ("upstream", bounds.bounded("upstream", account));
            families.attempts.get_or_create(&[upstream, ("class", class.into())]).inc_by(count);
        }
        for (model, count) in self.models {
            let model = bounds.bounded("model", model);
            families.model_requests.get_or_create(&[("model", model)]).inc_by(count);
        }
        for (model, count) in self.unpriced {
            let model = bounds.bounded("model", model);
            if count_first(&families.unpriced, ("model", &model), count) {
                tracing::warn!(%model, "nothing prices this model: its requests are recorded without a cost");
            }
        }
        for (upstream, count) in self.absurd.0 {
            let upstream = bounds.bounded("upstream", upstream);
            if count_first(&families.absurd_usage, ("upstream", &upstream), count) {
                tracing::warn!(%upstream, "this upstream states a usage that nobody can mean: it was capped");
            }
        }
        for (direction, bytes) in ["in", "out"].into_iter().zip(self.bytes) {
            families.bytes.get_or_create(&[("direction", direction.into())]).inc_by(bytes);
        }
        let kinds = ["input", "cache_read", "cache_write", "output", "reasoning"];
        for (kind, tokens) in kinds.into_iter().zip(self.tokens) {
            families.tokens.get_or_create(&[("kind", kind.into())]).inc_by(tokens);
        }
        self.metrics.sampled.cost_nanos.fetch_add(self.cost_nanos, Ordering::Relaxed);
    }
}

/// Counts, and says whether it was the first time.
fn count_first(
    family: &Family<[(&'static str, Cow<'static, str>); 1], Counter>,
    (label, value): (&'static str, &Cow<'static, str>),
    count: u64,
) -> bool {
    let counter = family.get_or_create_owned(&[(label, value.clone())]);
    counter.inc_by(count) == 0
}

fn seconds(ms: u32) -> f64 {
    f64::from(ms) / 1e3
}

/// A share as a float, for showing only.
#[allow(clippy::cast_precision_loss, reason = "a share of a limit needs no more than the first digits")]
fn ratio(used: u64, limit: u64) -> f64 {
    used as f64 / limit as f64
}

fn add_all<const N: usize>(sums: &mut [u64; N], values: [u64; N]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum = sum.saturating_add(value);
    }
}

/// The limit dimension that a refusal names (`RATE_LIMIT_RPM` → `rpm`); the upstream's limits are not ours.
fn limited_dimension(code: &str) -> Option<&'static str> {
    let dimension = code.strip_prefix("RATE_LIMIT_")?;
    DIMENSIONS.into_iter().find(|name| name.eq_ignore_ascii_case(dimension))
}
