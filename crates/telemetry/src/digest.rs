//! The digest: one log line per finished request, with the fields that scripts grep for.
//!
//! Written by the recorder, off the request path, into one reused buffer. Numbers and names only: no
//! body and no secret ever reaches a record.

use model::plain;
use model::record::RequestRecord;

use crate::escape;
use crate::log::Format;

/// The names of the fields in order, as they stand in both formats. A field without a value is left out.
pub const FIELDS: &[&str] = &[
    "ts",
    "level",
    "stream",
    "message",
    "request_id",
    "trace_id",
    "api_key_id",
    "user_id",
    "tenant_id",
    "client_ip",
    "route",
    "surface",
    "model",
    "upstream_model",
    "upstream",
    "streamed",
    "status",
    "error_code",
    "cause",
    "upstream_status",
    "upstream_error",
    "attempts",
    "latency_ms",
    "first_byte_ms",
    "own_us",
    "bytes_in",
    "bytes_out",
    "input",
    "cache_read",
    "cache_write",
    "output",
    "reasoning",
    "usage_source",
    "cost",
    "revision",
];

/// The digest line of a request, with its line feed.
#[must_use]
pub fn line(format: Format, record: &RequestRecord) -> String {
    let mut out = Vec::with_capacity(1024);
    write(&mut out, format, record);
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends the digest line of a request, with its line feed, to `out`; hand a batch of them to
/// [`crate::stream::write`].
pub fn write(out: &mut Vec<u8>, format: Format, record: &RequestRecord) {
    let mut line = Line { out, format };
    line.begin(record);
    line.caller(record);
    line.call(record);
    line.outcome(record);
    line.measures(record);
    line.end();
}

/// A field's name with what stands around it: made when this is compiled, since gluing three pieces for
/// each of thirty fields is a good part of what a line costs.
#[derive(Clone, Copy)]
struct Names {
    json: &'static str,
    text: &'static str,
}

macro_rules! field {
    ($name:literal) => {
        Names { json: concat!(",\"", $name, "\":"), text: concat!(" ", $name, "=") }
    };
}

/// A line being written.
struct Line<'a> {
    out: &'a mut Vec<u8>,
    format: Format,
}

impl Line<'_> {
    fn begin(&mut self, record: &RequestRecord) {
        let level = level(record.status);
        match self.format {
            Format::Json => {
                self.push("{\"ts\":\"");
                escape::timestamp(self.out, record.at);
                self.push("\",\"level\":\"");
                self.push(level);
                self.push("\",\"stream\":\"digest\",\"message\":\"request\"");
            }
            Format::Text => {
                escape::timestamp(self.out, record.at);
                self.push(" ");
                self.push(level);
                self.push(" request stream=digest");
            }
        }
    }

    fn caller(&mut self, record: &RequestRecord) {
        let id = record.request_id.text();
        let id = std::str::from_utf8(&id).unwrap_or_default();
        self.name(field!("request_id"), id);
        let trace = record.trace_id.text();
        self.name(field!("trace_id"), std::str::from_utf8(&trace).unwrap_or_default());
        if let Some(id) = &record.key_id {
            self.name(field!("api_key_id"), id.as_str());
        }
        if let Some(id) = &record.user_id {
            self.name(field!("user_id"), id.as_str());
        }
        self.text(field!("tenant_id"), &record.tenant_id);
        if let Some(ip) = record.client_ip {
            self.exact(field!("client_ip"), |out| plain::address(out, ip));
        }
    }

    fn call(&mut self, record: &RequestRecord) {
        self.text(field!("route"), record.route);
        self.text(field!("surface"), record.surface);
        if !record.model.is_empty() {
            self.text(field!("model"), &record.model);
        }
        if let Some(model) = &record.upstream_model {
            self.text(field!("upstream_model"), model);
        }
        if let Some(upstream) = &record.upstream {
            self.text(field!("upstream"), upstream);
        }
        self.key(field!("streamed"));
        self.push(if record.stream { "true" } else { "false" });
    }

    fn outcome(&mut self, record: &RequestRecord) {
        self.number(field!("status"), u64::from(record.status));
        if let Some(code) = record.code {
            self.name(field!("error_code"), code.name());
        }
        if let Some(cause) = &record.cause {
            self.text(field!("cause"), cause);
        }
        // The last attempt is the one whose answer or failure the caller saw.
        if let Some(last) = record.attempts.last() {
            if let Some(status) = last.status {
                self.number(field!("upstream_status"), u64::from(status));
            }
            if let Some(error) = &last.error {
                self.text(field!("upstream_error"), error);
            }
        }
        self.number(field!("attempts"), u64::try_from(record.attempts.len()).unwrap_or(u64::MAX));
    }

    fn measures(&mut self, record: &RequestRecord) {
        self.number(field!("latency_ms"), u64::from(record.latency_ms));
        if let Some(ms) = record.first_byte_ms {
            self.number(field!("first_byte_ms"), u64::from(ms));
        }
        self.number(field!("own_us"), u64::from(record.own_us));
        self.number(field!("bytes_in"), record.bytes_in);
        self.number(field!("bytes_out"), record.bytes_out);
        self.number(field!("input"), record.usage.input);
        self.number(field!("cache_read"), record.usage.cache_read);
        self.number(field!("cache_write"), record.usage.cache_write());
        self.number(field!("output"), record.usage.output);
        self.number(field!("reasoning"), record.usage.reasoning);
        self.name(field!("usage_source"), record.usage.source.name());
        if let Some(cost) = record.cost {
            self.exact(field!("cost"), |out| plain::money(out, cost));
        }
        self.number(field!("revision"), record.revision);
    }

    fn end(&mut self) {
        self.push(if self.format == Format::Json { "}\n" } else { "\n" });
    }

    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn key(&mut self, names: Names) {
        self.push(if self.format == Format::Json { names.json } else { names.text });
    }

    fn quote(&mut self) {
        if self.format == Format::Json {
            self.out.push(b'"');
        }
    }

    fn text(&mut self, names: Names, value: &str) {
        self.key(names);
        match self.format {
            Format::Json => escape::json_string(self.out, value),
            Format::Text => escape::text_value(self.out, value),
        }
    }

    /// A name from one of our tables, or an id: needs no escaping.
    fn name(&mut self, names: Names, value: &str) {
        self.exact(names, |out| out.extend_from_slice(value.as_bytes()));
    }

    /// A value whose text needs no escaping (an id, an address, an amount) but is a string in JSON.
    fn exact(&mut self, names: Names, value: impl FnOnce(&mut Vec<u8>)) {
        self.key(names);
        self.quote();
        value(self.out);
        self.quote();
    }

    fn number(&mut self, names: Names, value: u64) {
        self.key(names);
        plain::number(self.out, value);
    }
}

/// Failures of ours or the upstream's are errors, the caller's are warnings: `grep ERROR` finds the first.
fn level(status: u16) -> &'static str {
    match status {
        500.. => "ERROR",
        400.. => "WARN",
        _ => "INFO",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use model::record::Attempt;
    use model::{Code, NanoUsd, RequestId, ResourceId, Usage, UsageSource};

    pub(crate) fn record() -> RequestRecord {
        let id = RequestId::mint(1_790_000_000_123, [7; 10]);
        RequestRecord {
            request_id: id,
            trace_id: id.into(),
            at: 1_790_000_000_123,
            route: "POST /v1/chat/completions",
            surface: "openai_chat",
            key_id: Some(ResourceId::mint(1_790_000_000_000, [1; 10])),
            user_id: None,
            tenant_id: "default".into(),
            client_ip: Some([127, 0, 0, 1].into()),
            model: "gpt-5".into(),
            upstream_model: Some("gpt-5-2025-08-07".into()),
            upstream: Some("main".into()),
            stream: true,
            status: 200,
            code: None,
            cause: None,
            checks: Vec::new(),
            candidates: Vec::new(),
            attempts: vec![Attempt {
                account: "main".into(),
                status: Some(200),
                class: "ok",
                error: None,
                upstream_request_id: None,
                reused: true,
                first_byte_ms: Some(210),
                total_ms: 900,
            }],
            usage: Usage {
                input: 12,
                output: 34,
                cache_read: 5,
                source: UsageSource::Measured,
                ..Usage::default()
            },
            cost: Some(NanoUsd(355_000)),
            bytes_in: 321,
            bytes_out: 4_567,
            first_byte_ms: Some(212),
            latency_ms: 903,
            own_us: 41,
            revision: 3,
            program: None,
            translation: None,
            signature: None,
            stated_usage: None,
        }
    }

    fn failed() -> RequestRecord {
        let mut failed = record();
        (failed.status, failed.code, failed.cost) = (502, Some(Code::UpstreamError), None);
        failed.cause = Some("reset\nts=1".into());
        failed.user_id = failed.key_id.clone();
        failed.attempts[0].error = Some("bad \u{1b}[0m gateway".into());
        failed
    }

    #[test]
    fn a_json_line_has_every_field_in_order_and_exact_money() {
        let text = line(Format::Json, &record());
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        for (name, expected) in [
            ("ts", serde_json::json!("2026-09-21T14:13:20.123Z")),
            ("level", "INFO".into()),
            ("stream", "digest".into()),
            ("api_key_id", record().key_id.expect("set").as_str().into()),
            ("latency_ms", 903.into()),
            ("model", "gpt-5".into()),
            ("cost", "0.000355".into()),
            ("streamed", true.into()),
        ] {
            assert_eq!(value[name], expected, "{name}");
        }
        assert_eq!(value["trace_id"], record().request_id.to_string());
    }

    #[test]
    fn the_list_of_fields_is_what_is_written() {
        let mut all = failed();
        all.cost = Some(NanoUsd(1));
        (all.bytes_in, all.bytes_out) = (0, u64::MAX);
        for format in [Format::Json, Format::Text] {
            let text = line(format, &all);
            let mut from = 0;
            for name in FIELDS.iter().skip(4) {
                let needle =
                    if format == Format::Json { format!(",\"{name}\":") } else { format!(" {name}=") };
                let at = text[from..].find(&needle).unwrap_or_else(|| panic!("{name} after {from}: {text}"));
                from += at + 1;
            }
            let sizes: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            assert!(sizes.contains("bytes_in0bytes_out18446744073709551615input"), "{text}");
        }
    }

    #[test]
    fn a_failure_is_one_line_that_grep_finds() {
        let text = line(Format::Text, &failed());
        assert_eq!(text.matches('\n').count(), 1);
        for part in [
            " ERROR request ",
            " error_code=UPSTREAM_ERROR ",
            " cause=\"reset\\nts=1\" ",
            "upstream_error=\"bad \\u001b[0m gateway\"",
            &format!(" trace_id={} ", failed().trace_id),
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains(" cost="));
    }
}
