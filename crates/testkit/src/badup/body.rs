//! A table: faults of the body, its framing and its coding.

use super::{BROKEN, Case, Expectation, Fault, INVALID, TIMEOUT};
use crate::canned;
use crate::deflate;
use crate::script::{Script, chunk};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new("ends before the stated length", ends_early, |_| Expectation::broken_off(BROKEN)),
    Fault::new("states less than it sends", states_less, |_| Expectation::broken_off(BROKEN)),
    Fault::new("sends bytes after the answer", bytes_after, |_| Expectation::whole()),
    Fault::new(
        "sends a chunk size that is none",
        |case| case.chunked_head().chunk(case.beginning()).send("zz\r\nxx\r\n").close(),
        |_| Expectation::broken_off(BROKEN),
    ),
    Fault::new(
        "sends a chunk shorter than its size",
        |case| case.chunked_head().chunk(case.beginning()).send("ff\r\nshort\r\n").close(),
        |_| Expectation::broken_off(BROKEN),
    ),
    Fault::new(
        "leaves out the last chunk",
        |case| case.chunked_head().chunk(case.frames().concat()).close(),
        |_| Expectation::either(BROKEN),
    ),
    Fault::new("ends without the end of the answer", ends_without_end, |_| Expectation::broken_off(BROKEN)),
    Fault::new("closes in the middle, length unstated", closes_unframed, |_| Expectation::broken_off(BROKEN)),
    Fault::new("resets in the middle, length stated", resets_sized, |_| Expectation::broken_off(BROKEN)),
    Fault::new(
        "stalls in the middle",
        |case| case.chunked_head().chunk(case.beginning()).hold(),
        |_| Expectation::broken_off(TIMEOUT).by_timer(),
    ),
    Fault::new(
        "sends nothing after the head",
        |case| case.chunked_head().hold(),
        |_| Expectation::broken_off(TIMEOUT).by_timer(),
    ),
    Fault::new("sends coded bytes that are not", broken_gzip, |_| Expectation::broken_off(BROKEN)),
    Fault::new("packs its answer although nobody asked", packed, |_| Expectation::whole()),
    Fault::new("packs its answer and stops in the middle", packed_half, |_| Expectation::broken_off(BROKEN)),
    Fault::new("sends a gzip bomb", gzip_bomb, |_| Expectation::broken_off(BROKEN)),
    Fault::new("sends a page", page, |_| Expectation::bad_gateway(INVALID)),
    Fault::new("sends an empty success", |case| case.sized_head(0), |_| Expectation::bad_gateway(INVALID)),
    Fault::new(
        "sends success without content",
        |_| Script::new().send("HTTP/1.1 204 No Content\r\n\r\n"),
        |_| Expectation::bad_gateway(BROKEN),
    ),
    Fault::new("sends the other kind of answer", other_kind, |_| Expectation::bad_gateway(INVALID)),
    Fault::new("calls its answer plain text", plain_text, |_| Expectation::either(INVALID)),
    Fault::new("cuts characters in two", cut_characters, |_| Expectation::whole()),
    Fault::new("puts zero bytes into the body", zero_bytes, |_| Expectation::either(INVALID)),
    Fault::new("begins with a byte order mark", byte_order_mark, |case| {
        if case.stream { Expectation::whole() } else { Expectation::either(INVALID) }
    }),
    Fault::new("sends one frame of two mebibytes", long_line, |case| {
        if case.stream { Expectation::broken_off(INVALID) } else { Expectation::whole() }
    }),
];

fn ends_early(case: &Case) -> Script {
    let beginning = case.beginning();
    case.sized_head(beginning.len() + 1_000).send(beginning).close()
}

fn states_less(case: &Case) -> Script {
    let body = case.frames().concat();
    case.sized_head(case.beginning().len()).send(body)
}

fn bytes_after(case: &Case) -> Script {
    let body = case.frames().concat();
    case.sized_head(body.len()).send(body + "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled")
}

fn ends_without_end(case: &Case) -> Script {
    case.chunked_head().chunk(case.beginning()).last_chunk()
}

fn closes_unframed(case: &Case) -> Script {
    let head = canned::head(200, &[("content-type", case.content_type()), ("connection", "close")]);
    Script::new().send(head).send(case.beginning()).close()
}

fn resets_sized(case: &Case) -> Script {
    case.sized_head(100_000).send(case.beginning()).reset()
}

fn coded_head(case: &Case) -> Script {
    let headers = [
        ("content-type", case.content_type()),
        ("content-encoding", "gzip"),
        ("transfer-encoding", "chunked"),
    ];
    Script::new().send(canned::head(200, &headers))
}

fn broken_gzip(case: &Case) -> Script {
    coded_head(case).chunk("this is not gzip at all").last_chunk()
}

fn packed(case: &Case) -> Script {
    coded_head(case).chunk(deflate::stored(case.frames().concat().as_bytes())).last_chunk()
}

fn packed_half(case: &Case) -> Script {
    let mut file = deflate::stored(case.frames().concat().as_bytes());
    file.truncate(file.len() / 2);
    coded_head(case).chunk(file).last_chunk()
}

fn gzip_bomb(case: &Case) -> Script {
    coded_head(case).chunk(deflate::bomb(128)).last_chunk()
}

fn page(_: &Case) -> Script {
    let body = "<!doctype html><html><body>502 from a proxy in between</body></html>";
    let length = body.len().to_string();
    let headers = [("content-type", "text/html; charset=utf-8"), ("content-length", length.as_str())];
    Script::new().send(canned::head(200, &headers) + body)
}

fn other_kind(case: &Case) -> Script {
    canned::answer(&case.surface, "fault", !case.stream)
}

fn plain_text(case: &Case) -> Script {
    let body = case.frames().concat();
    let length = body.len().to_string();
    let headers = [("content-type", "text/plain"), ("content-length", length.as_str())];
    Script::new().send(canned::head(200, &headers) + &body)
}

fn cut_characters(case: &Case) -> Script {
    let body = case.frames().concat().into_bytes();
    let cuts = (1..body.len()).filter(|at| body[*at] & 0xC0 == 0x80);
    let (mut script, mut from) = (case.chunked_head(), 0);
    for at in cuts {
        script = script.send(chunk(&body[from..at])).wait_ms(2);
        from = at;
    }
    script.send(chunk(&body[from..])).last_chunk()
}

fn zero_bytes(case: &Case) -> Script {
    let body = case.frames().concat();
    let body = if case.stream { format!(": \0\n\n{body}") } else { body + "\0" };
    case.sized_head(body.len()).send(body)
}

fn byte_order_mark(case: &Case) -> Script {
    let body = format!("\u{feff}{}", case.frames().concat());
    case.sized_head(body.len()).send(body)
}

fn long_line(case: &Case) -> Script {
    let body = case.frames().concat().replacen("Hello", &"x".repeat(2 * 1024 * 1024), 1);
    case.sized_head(body.len()).send(body)
}
