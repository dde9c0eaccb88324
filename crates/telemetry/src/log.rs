//! The log: one event is one line, JSON or text, on standard error (standard output belongs to the
//! ready line and the banner) or wherever its [stream](crate::stream) goes.
//!
//! The level can be changed while the process runs. Every value is escaped, so that nothing a caller
//! sends can forge a line. Writing takes a process-wide lock: log events where they are handled, never
//! per request; requests have their [digest](crate::digest).

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::Arc;

use model::clock::{Clock, EpochMs};
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, reload};

use crate::escape;
use crate::stream::{self, Stream};

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line, fields at the top level.
    #[default]
    Json,
    /// `ts LEVEL message key=value …`.
    Text,
}

impl Format {
    /// Reads `json` or `text`, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
}

/// Why the log did not start or its level did not change.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Not a level.
    #[error("`{0}` is not a log level: use off, error, warn, info, debug or trace")]
    UnknownLevel(String),
    /// This process already has a log.
    #[error("the log was started twice")]
    AlreadyStarted,
    /// The log has ended (the process is going down).
    #[error("the log has ended")]
    Ended,
}

/// Changes the level while the process runs.
#[derive(Clone, Debug)]
pub struct LevelHandle(reload::Handle<LevelFilter, Registry>);

impl LevelHandle {
    /// Changes the level. Names as for [`init`].
    ///
    /// # Errors
    /// [`LogError::UnknownLevel`] when `level` is not a level; the old one stays in force.
    pub fn set(&self, level: &str) -> Result<(), LogError> {
        let filter = parse_level(level)?;
        self.0.reload(filter).map_err(|_| LogError::Ended)
    }

    /// The level in force, in upper case (`OFF` when nothing is logged).
    #[must_use]
    pub fn level(&self) -> String {
        let level = self.0.clone_current().unwrap_or(LevelFilter::OFF);
        level.to_string().to_ascii_uppercase()
    }
}

/// Starts the process's log on standard error. `level` is `off`, `error`, `warn` (or `warning`),
/// `info`, `debug` or `trace`, in any case; `clock` gives every line its time.
///
/// # Errors
/// [`LogError`] when the level is unknown or the log was started before.
pub fn init(format: Format, level: &str, clock: Arc<dyn Clock>) -> Result<LevelHandle, LogError> {
    let (filter, handle) = reload::Layer::new(parse_level(level)?);
    let lines = LineLayer { format, clock, write: |stream, line| stream::write(stream, line.as_bytes()) };
    let subscriber = Registry::default().with(filter).with(lines);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadyStarted)?;
    Ok(LevelHandle(handle))
}

/// Lines that are held back; `None` while none are. Whoever writes takes its lock.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// More bytes than these are not held back.
const MOST_HELD: usize = 64 << 10;

/// Writes finished lines, each ending in a line feed, to standard error; one lock and one write for
/// all of them. A log that cannot be written is not worth failing for: errors are ignored.
pub(crate) fn write_lines(lines: &[u8]) {
    let mut held = HELD.lock();
    match held.as_mut() {
        Some(kept) if kept.len() + lines.len() <= MOST_HELD => kept.extend_from_slice(lines),
        _ => {
            let kept = held.take().unwrap_or_default();
            let mut out = std::io::stderr().lock();
            let _ = out.write_all(&kept).and_then(|()| out.write_all(lines));
        }
    }
}

/// Keeps the log back until it is dropped, so that what people are to read first stands first.
#[must_use]
pub struct HeldBack(());

/// Holds lines back, up to 64 KiB of them and as long as nothing goes wrong: a warning or an error brings out
/// all of them.
pub fn hold_back() -> HeldBack {
    HELD.lock().get_or_insert_default();
    HeldBack(())
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        bring_out();
    }
}

fn bring_out() {
    let kept = HELD.lock().take();
    if let Some(kept) = kept {
        write_lines(&kept);
    }
}

/// Reads a level name in any case. `WARNING`, `CRITICAL` and `FATAL` are what other systems' scripts send.
fn parse_level(name: &str) -> Result<LevelFilter, LogError> {
    match name.trim().to_ascii_lowercase().as_str() {
        "off" => Ok(LevelFilter::OFF),
        "error" | "critical" | "fatal" => Ok(LevelFilter::ERROR),
        "warn" | "warning" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(LogError::UnknownLevel(name.to_owned())),
    }
}

/// Turns events into lines.
struct LineLayer {
    format: Format,
    clock: Arc<dyn Clock>,
    write: fn(Stream, &str),
}

impl<S: Subscriber> Layer<S> for LineLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Taken out, not borrowed: a value's `Debug` that logs itself then simply starts with new buffers.
        let mut line = LINE.take().unwrap_or_default();
        line.clear(self.format);
        event.record(&mut *line);
        line.finish(event, self.clock.now_ms());
        (self.write)(Stream::of(event.metadata()), &line.whole);
        if *event.metadata().level() <= Level::WARN {
            bring_out();
        }
        LINE.set(Some(line));
    }
}

thread_local! {
    static LINE: Cell<Option<Box<Line>>> = const { Cell::new(None) };
}

/// The buffers of one line, reused by the thread.
#[derive(Default)]
struct Line {
    format: Format,
    message: String,
    fields: String,
    value: String,
    whole: String,
}

impl Line {
    fn clear(&mut self, format: Format) {
        self.format = format;
        for buffer in [&mut self.message, &mut self.fields, &mut self.value, &mut self.whole] {
            buffer.clear();
        }
    }

    fn finish(&mut self, event: &Event<'_>, now_ms: EpochMs) {
        let level = event.metadata().level().as_str();
        let target = event.metadata().target();
        let whole = &mut self.whole;
        match self.format {
            Format::Json => {
                whole.push_str("{\"ts\":\"");
                escape::timestamp(whole, now_ms);
                let _ = write!(whole, "\",\"level\":\"{level}\",\"target\":");
                escape::json_string(whole, target);
                let _ = writeln!(whole, ",\"message\":\"{}\"{}}}", self.message, self.fields);
            }
            Format::Text => {
                escape::timestamp(whole, now_ms);
                let _ = writeln!(whole, " {level} {}{} target={target}", self.message, self.fields);
            }
        }
    }

    /// Appends a field whose value is already in its final form.
    fn raw(&mut self, field: &Field, value: impl fmt::Display) {
        self.key(field);
        let _ = write!(self.fields, "{value}");
    }

    fn text(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            escape::escaped(&mut self.message, value);
            return;
        }
        self.key(field);
        match self.format {
            Format::Json => escape::json_string(&mut self.fields, value),
            Format::Text => escape::text_value(&mut self.fields, value),
        }
    }

    /// Appends the field's name, flat and never equal to one of the line's own.
    fn key(&mut self, field: &Field) {
        let name = field.name().trim_start_matches("r#");
        self.fields.push_str(if self.format == Format::Json { ",\"" } else { " " });
        let flat = |c: char| {
            if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }
        };
        self.fields.extend(name.chars().map(flat));
        if ["ts", "level", "target"].contains(&name) {
            self.fields.push('_');
        }
        self.fields.push_str(if self.format == Format::Json { "\":" } else { "=" });
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.raw(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.raw(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.raw(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.raw(field, value);
        } else {
            self.text(field, &value.to_string());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = std::mem::take(&mut self.value);
        text.clear();
        let _ = write!(text, "{value:?}");
        self.text(field, &text);
        self.value = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ManualClock;

    thread_local! {
        static WRITTEN: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
    }

    /// What `log` writes, at level info, in `format`.
    fn written(format: Format, log: impl FnOnce(&LevelHandle)) -> String {
        let (filter, handle) = reload::Layer::new(LevelFilter::INFO);
        let write = |_, lines: &str| WRITTEN.with_borrow_mut(|all| all.push_str(lines));
        let clock = Arc::new(ManualClock::at(1_790_000_000_123));
        let subscriber = Registry::default().with(filter).with(LineLayer { format, clock, write });
        tracing::subscriber::with_default(subscriber, || log(&LevelHandle(handle)));
        WRITTEN.take()
    }

    #[test]
    fn a_json_event_has_its_fields_at_the_top_level() {
        let line = written(Format::Json, |_| {
            tracing::warn!(trace_id = %"req-1", latency_ms = 12_u64, ok = false, ratio = f64::NAN, "slow {}", 7);
        });
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            value,
            serde_json::json!({"ts": "2026-09-21T14:13:20.123Z", "level": "WARN", "target": "telemetry::log::tests",
                "message": "slow 7", "trace_id": "req-1", "latency_ms": 12, "ok": false, "ratio": "NaN"})
        );
    }

    #[test]
    fn a_text_event_reads_as_key_and_value() {
        let line = written(Format::Text, |_| {
            tracing::error!(trace_id = "req-1", cause = "a b", "failed");
        });
        assert_eq!(
            line,
            "2026-09-21T14:13:20.123Z ERROR failed trace_id=req-1 cause=\"a b\" target=telemetry::log::tests\n"
        );
    }

    #[test]
    fn one_event_is_one_line_whatever_a_caller_sent() {
        let nasty = "x\r\n{\"level\":\"INFO\"}\u{1b}[2J\u{2028}";
        for format in [Format::Json, Format::Text] {
            let line = written(format, |_| tracing::info!(model = nasty, cause = ?nasty, "got {nasty}"));
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(line.ends_with('\n') && !line.contains(['\r', '\u{1b}', '\u{2028}']), "{line}");
        }
    }

    #[test]
    fn a_field_cannot_take_the_place_of_the_line_s_own() {
        let line = written(Format::Json, |_| {
            tracing::info!(level = "x", otel.name = "y", r#type = "z", "m");
        });
        for part in ["\"level\":\"INFO\"", "\"level_\":\"x\"", "\"otel_name\":\"y\"", "\"type\":\"z\""] {
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn the_level_changes_at_run_time_by_names_in_any_case() {
        let lines = written(Format::Text, |handle| {
            tracing::debug!("unseen");
            for (name, level) in [("Debug", "DEBUG"), ("WARNING", "WARN"), ("off", "OFF"), ("trace", "TRACE")]
            {
                handle.set(name).expect("a level");
                assert_eq!(handle.level(), level);
                tracing::debug!("at {level}");
            }
            assert!(matches!(handle.set("loud"), Err(LogError::UnknownLevel(_))));
            assert_eq!(handle.level(), "TRACE");
        });
        let seen: Vec<&str> = lines.lines().filter_map(|line| line.split(" DEBUG at ").nth(1)).collect();
        assert_eq!(seen, ["DEBUG target=telemetry::log::tests", "TRACE target=telemetry::log::tests"]);
    }
}
