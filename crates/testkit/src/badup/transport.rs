//! A table: faults of the connection and of the answer's head.

use std::time::Duration;

use bytes::Bytes;

use super::{BROKEN, Case, ERROR, Expectation, Fault, TIMEOUT};
use crate::canned;
use crate::script::{Script, Step};

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "nobody listens",
        script: None,
        expectation: |_| Expectation::bad_gateway(ERROR),
        retry_after: None,
    },
    Fault::new("accepts and stays silent", |_| Script::new().hold(), timed_out),
    Fault::new("resets before the head", |_| Script::new().reset(), |_| Expectation::bad_gateway(ERROR)),
    Fault::new("closes before the head", |_| Script::new().close(), |_| Expectation::bad_gateway(ERROR)),
    Fault::new(
        "closes within the head",
        |_| Script::new().send("HTTP/1.1 200 OK\r\ncontent-ty").close(),
        |_| Expectation::bad_gateway(BROKEN),
    ),
    Fault::new(
        "resets after the head",
        |case| case.chunked_head().reset(),
        |case| {
            if case.stream { Expectation::bad_gateway(BROKEN) } else { Expectation::broken_off(BROKEN) }
        },
    ),
    Fault::new(
        "resets within a frame",
        |case| case.chunked_head().chunk(case.beginning()).chunk("data: {\"cho").reset(),
        |_| Expectation::broken_off(BROKEN),
    ),
    Fault::new("sends the head one byte at a time", slow_head, timed_out),
    Fault::new("floods with interim answers", interim_flood, |_| {
        Expectation::new(
            super::Told::BrokenOff,
            &["UPSTREAM_TIMEOUT", "UPSTREAM_ERROR", "UPSTREAM_INVALID_RESPONSE"],
        )
        .by_timer()
    }),
    Fault::new("switches protocols unasked", switches, |_| Expectation::bad_gateway(BROKEN)),
    Fault::new(
        "sends a status line that is none",
        |_| Script::new().send("HTTP/9.7 abc maybe\r\n\r\nhello").close(),
        |_| Expectation::bad_gateway(BROKEN),
    ),
    Fault::new(
        "answers without a status line",
        |case| Script::new().send(case.frames().concat()).close(),
        |_| Expectation::bad_gateway(BROKEN),
    ),
    Fault::new("sends a header of 512 KiB", long_header, |_| Expectation::bad_gateway(BROKEN)),
    Fault::new("sends a thousand headers", many_headers, |_| Expectation::bad_gateway(BROKEN)),
    Fault::new("states two different lengths", two_lengths, |_| Expectation::bad_gateway(BROKEN)),
    Fault::new("sends a header with a line feed in it", folded_header, |_| Expectation::either(BROKEN)),
];

fn timed_out(_: &Case) -> Expectation {
    Expectation::status(504, 504, TIMEOUT).by_timer()
}

fn slow_head(case: &Case) -> Script {
    let headers = [("content-type", case.content_type()), ("transfer-encoding", "chunked")];
    let bytes = Bytes::from(canned::head(200, &headers));
    Script::new().then(Step::Drip { bytes, every: Duration::from_millis(100) })
}

fn interim_flood(_: &Case) -> Script {
    let bytes = Bytes::from_static(b"HTTP/1.1 102 Processing\r\n\r\n");
    Script::new().then(Step::Repeat { bytes, every: Duration::from_millis(2) })
}

fn switches(_: &Case) -> Script {
    let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n";
    Script::new().send(head).send("\0\0").close()
}

fn long_header(case: &Case) -> Script {
    let value = "x".repeat(512 * 1024);
    let body = case.frames().concat();
    let length = body.len().to_string();
    let headers = [
        ("x-long", value.as_str()),
        ("content-type", case.content_type()),
        ("content-length", length.as_str()),
    ];
    Script::new().send(canned::head(200, &headers) + &body)
}

fn many_headers(case: &Case) -> Script {
    let body = case.frames().concat();
    let mut head = format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\n", case.content_type());
    (0..1_000).for_each(|number| head.push_str(&format!("x-{number}: 1\r\n")));
    Script::new().send(format!("{head}content-length: {}\r\n\r\n{body}", body.len()))
}

fn two_lengths(case: &Case) -> Script {
    let body = case.frames().concat();
    let (kind, length) = (case.content_type(), body.len());
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\ncontent-length: 7\r\n\r\n"
    );
    Script::new().send(head + &body).close()
}

fn folded_header(case: &Case) -> Script {
    let body = case.frames().concat();
    let (kind, length) = (case.content_type(), body.len());
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nx-folded: one\r\n two\r\ncontent-length: {length}\r\n\r\n"
    );
    Script::new().send(head + &body)
}
