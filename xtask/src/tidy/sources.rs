//! Rules over the words of the code: who may connect, read the environment, touch money, sleep.

use super::scrub::has_words;
use super::tree::{Finding, Source, Tree};

/// Crates that only developers run: they start processes, read the environment, print and connect.
const DEVELOPER_CRATES: &[&str] = &["testkit", "e2e", "bench", "xtask"];

/// What of the ledger decides: pure, whoever drives it.
const STATE_MACHINE: &[&str] = &[
    "crates/ledger/src/book",
    "crates/ledger/src/catalogue.rs",
    "crates/ledger/src/course.rs",
    "crates/ledger/src/hold.rs",
    "crates/ledger/src/period.rs",
    "crates/ledger/src/price.rs",
];

/// Whether a crate is a codec or a vocabulary: no I/O, no clock.
pub fn is_codec(name: &str) -> bool {
    matches!(name, "llm" | "rpc" | "model")
}

/// No SQL is awaited on a request's path.
pub fn the_data_plane_never_names_the_store(tree: &Tree) -> Vec<Finding> {
    let data_plane = |source: &Source| matches!(source.crate_name(), "proxy" | "policy");
    find(tree, data_plane, Lines::All, &["use store", "store::", "sqlx"], |word| {
        format!("the data plane names `{word}`: nothing on a request's path waits for a database")
    })
}

/// A statement is a text of the program, and what callers wrote is bound to it. `sqlx` takes others only by these
/// names, which the care of files has: it names tables and columns that it read from the database itself.
pub fn no_statement_is_put_together(tree: &Tree) -> Vec<Finding> {
    let others = |source: &Source| !source.path.starts_with("crates/store/src/care/");
    find(tree, others, Lines::Product, &["AssertSqlSafe", "QueryBuilder"], |word| {
        format!("`{word}`: SQL is never put together from texts; bind them")
    })
}

/// Codecs and the ledger's state machine are pure.
pub fn codecs_have_no_sockets_and_no_clock(tree: &Tree) -> Vec<Finding> {
    const WORDS: &[&str] = &[
        "tokio",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "UnixListener",
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "std::fs",
    ];
    let is_below = |source: &Source, path: &str| source.path.starts_with(path);
    let pure = |source: &Source| {
        is_codec(source.crate_name()) || STATE_MACHINE.iter().any(|path| is_below(source, path))
    };
    let mut findings = find(tree, pure, Lines::Product, WORDS, |word| {
        format!("`{word}` in code that has no I/O and no clock")
    });
    let ledger = tree.sources.iter().find(|source| source.path == "crates/ledger/src/lib.rs");
    for path in STATE_MACHINE {
        if let Some(ledger) = ledger.filter(|_| !tree.sources.iter().any(|source| is_below(source, path))) {
            findings.push(ledger.finding(1, format!("no `{path}`: name what is the state machine now")));
        }
    }
    findings
}

/// Only the binary reads the environment; everyone else is handed what they need.
pub fn only_yumen_reads_the_environment(tree: &Tree) -> Vec<Finding> {
    const WORDS: &[&str] = &[
        "env::var",
        "env::vars",
        "env::var_os",
        "env::vars_os",
        "env::set_var",
        "env::remove_var",
        "env::args",
        "env::args_os",
    ];
    let others = |source: &Source| !is_developer(source) && source.crate_name() != "yumen";
    find(tree, others, Lines::Product, WORDS, |word| format!("`{word}`: only `yumen` reads the environment"))
}

/// Only `egress` opens connections and resolves names.
pub fn only_egress_connects(tree: &Tree) -> Vec<Finding> {
    const WORDS: &[&str] = &[
        "TcpStream::connect",
        "TcpSocket",
        "UdpSocket",
        "UnixStream::connect",
        "lookup_host",
        "ToSocketAddrs",
        "to_socket_addrs",
    ];
    let others = |source: &Source| !is_developer(source) && source.crate_name() != "egress";
    find(tree, others, Lines::Product, WORDS, |word| {
        format!("`{word}`: only `egress` connects, after its address check")
    })
}

/// `Secret` has no way to be shown.
pub fn a_secret_cannot_be_printed(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let mut derived = "";
        for (number, line, _) in source.lines() {
            let shown = ["Debug", "Display", "Serialize"].into_iter().find(|word| has_words(line, word));
            let implemented = line.contains("impl") && has_words(line, "for Secret") && shown.is_some();
            let declared = has_words(line, "struct Secret")
                && ["Debug", "Display", "Serialize"].iter().any(|word| has_words(derived, word));
            if implemented || declared {
                findings.push(source.finding(number, "a `Secret` cannot be printed or serialised"));
            }
            if line.trim_start().starts_with("#[derive") {
                derived = line;
            } else if !line.trim().is_empty() && !line.trim_start().starts_with("#[") {
                derived = "";
            }
        }
    }
    findings
}

/// Money is integer nano-dollars.
pub fn money_is_never_a_float(tree: &Tree) -> Vec<Finding> {
    let money = |source: &Source| matches!(source.crate_name(), "ledger" | "model");
    find(tree, money, Lines::All, &["f32", "f64"], |word| {
        format!("`{word}` near money: use `NanoUsd` and integers")
    })
}

/// Every crate root forbids unsafe code by itself, so that the workspace's lint cannot be lifted below it.
pub fn no_crate_has_unsafe_code(tree: &Tree) -> Vec<Finding> {
    let roots = tree.sources.iter().filter(|source| is_crate_root(&source.path));
    let open = roots.filter(|source| !source.code.contains("#![forbid(unsafe_code)]"));
    open.map(|source| source.finding(1, "write `#![forbid(unsafe_code)]` at the top of the crate")).collect()
}

/// Work that is not done is an issue, not a macro; a debugging aid is not committed.
pub fn nothing_is_unfinished(tree: &Tree) -> Vec<Finding> {
    find(
        tree,
        |_| true,
        Lines::All,
        &["todo!", "unimplemented!", "dbg!"],
        |word| format!("`{word}` is left over"),
    )
}

/// A test that does not run is no test.
pub fn no_test_is_ignored(tree: &Tree) -> Vec<Finding> {
    find(
        tree,
        |_| true,
        Lines::All,
        &["#[ignore", "#![ignore"],
        |_| "an ignored test proves nothing".to_owned(),
    )
}

/// A test waits for an event or moves a paused clock. The testkit and the benchmarks, which play slow
/// peers, may let time pass.
pub fn no_test_sleeps(tree: &Tree) -> Vec<Finding> {
    let quick =
        |source: &Source| !source.code.contains("start_paused") && !source.code.contains("time::pause");
    let mut findings = find(tree, |_| true, Lines::Tests, &["thread::sleep"], sleeping);
    findings.extend(find(tree, quick, Lines::Tests, &["time::sleep", "sleep("], sleeping));
    findings.sort();
    findings.dedup_by(|a, b| (&a.path, a.line) == (&b.path, b.line));
    findings
}

fn sleeping(_: &str) -> String {
    "a test that sleeps is slow when it passes and wrong when it fails: wait for the event".to_owned()
}

/// A failure that can happen has a way out; one that cannot is an `expect` that says why.
pub fn nothing_unwraps_outside_tests(tree: &Tree) -> Vec<Finding> {
    find(
        tree,
        |_| true,
        Lines::Product,
        &[".unwrap()", ".unwrap_err()"],
        |word| format!("`{word}` outside tests: handle it, or `expect` with the reason why it cannot happen"),
    )
}

#[derive(Clone, Copy, PartialEq)]
enum Lines {
    All,
    Product,
    Tests,
}

fn find(
    tree: &Tree,
    applies: impl Fn(&Source) -> bool,
    lines: Lines,
    words: &[&str],
    message: impl Fn(&str) -> String,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources.iter().filter(|source| applies(source)) {
        for (number, line, test) in source.lines() {
            let wanted = lines == Lines::All || test == (lines == Lines::Tests);
            if wanted && let Some(word) = words.iter().find(|word| has_words(line, word)) {
                findings.push(source.finding(number, message(word)));
            }
        }
    }
    findings
}

fn is_developer(source: &Source) -> bool {
    DEVELOPER_CRATES.contains(&source.crate_name())
}

fn is_crate_root(path: &str) -> bool {
    path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs") || path.contains("/src/bin/")
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn finds_the_store_in_the_data_plane() {
        let text = "// store::Store is named here only\nuse store::Store;\n";
        check(
            the_data_plane_never_names_the_store,
            &[("crates/proxy/src/dispatch.rs", text)],
            &["crates/proxy/src/dispatch.rs:2"],
        );
    }

    #[test]
    fn finds_sockets_and_clocks_in_codecs() {
        let text = "fn a() { Instant::now(); }\nuse tokio::net;\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        let files = [("crates/llm/src/peek.rs", text), ("crates/egress/src/pool.rs", text)];
        check(
            codecs_have_no_sockets_and_no_clock,
            &files,
            &["crates/llm/src/peek.rs:1", "crates/llm/src/peek.rs:2"],
        );
    }

    #[test]
    fn the_ledgers_state_machine_is_pure_and_is_there() {
        let pure = STATE_MACHINE.iter().skip(1).map(|path| (*path, ""));
        let mut files: Vec<_> = pure.chain([("crates/ledger/src/lib.rs", "")]).collect();
        check(codecs_have_no_sockets_and_no_clock, &files, &["crates/ledger/src/lib.rs:1"]);
        files.push(("crates/ledger/src/book/account.rs", "use tokio::sync::Notify;\n"));
        check(codecs_have_no_sockets_and_no_clock, &files, &["crates/ledger/src/book/account.rs:1"]);
    }

    #[test]
    fn finds_the_environment_outside_the_binary() {
        let text = "fn a() { std::env::var(\"A\"); }\n";
        let files = [
            ("crates/control/src/lib.rs", text),
            ("crates/yumen/src/main.rs", text),
            ("xtask/src/a.rs", text),
        ];
        check(only_yumen_reads_the_environment, &files, &["crates/control/src/lib.rs:1"]);
    }

    #[test]
    fn finds_a_connection_outside_egress() {
        let text = "fn a() { TcpStream::connect(b).await; }\n#[cfg(test)]\nmod tests { fn c() { TcpStream::connect(d); } }\n";
        let files = [("crates/egress/src/connect.rs", text), ("crates/policy/src/lib.rs", text)];
        check(only_egress_connects, &files, &["crates/policy/src/lib.rs:1"]);
    }

    #[test]
    fn finds_a_printable_secret() {
        let text = "impl<T> std::fmt::Debug for Secret<T> {}\n#[derive(Clone, Debug)]\npub struct Secret<T>(T);\n\
            #[derive(Debug)]\npub struct SecretName(u8);\n";
        check(
            a_secret_cannot_be_printed,
            &[("crates/model/src/secret.rs", text)],
            &["crates/model/src/secret.rs:1", "crates/model/src/secret.rs:3"],
        );
    }

    #[test]
    fn finds_a_float_near_money() {
        let text = "fn price(a: u64) -> u64 { (a as f64) as u64 }\n";
        let files = [("crates/ledger/src/price.rs", text), ("crates/telemetry/src/metric.rs", text)];
        check(money_is_never_a_float, &files, &["crates/ledger/src/price.rs:1"]);
    }

    #[test]
    fn finds_a_crate_that_allows_unsafe_code() {
        let text = "//! A crate.\n#![deny(unsafe_code)]\n";
        check(no_crate_has_unsafe_code, &[("crates/state/src/lib.rs", text)], &["crates/state/src/lib.rs:1"]);
    }

    #[test]
    fn finds_what_is_left_over() {
        let text = "fn a() {\n    todo!()\n}\nfn b() {\n    dbg!(1);\n    unimplemented!();\n}\n";
        let places = ["crates/sync/src/a.rs:2", "crates/sync/src/a.rs:5", "crates/sync/src/a.rs:6"];
        check(nothing_is_unfinished, &[("crates/sync/src/a.rs", text)], &places);
    }

    #[test]
    fn finds_a_statement_that_is_put_together() {
        let text = "fn a() { query(AssertSqlSafe(format!(\"SELECT {b}\"))); }\n";
        let files = [("crates/store/src/a.rs", text), ("crates/store/src/care/b.rs", text)];
        check(no_statement_is_put_together, &files, &["crates/store/src/a.rs:1"]);
    }

    #[test]
    fn finds_an_ignored_test() {
        let text = "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n";
        check(no_test_is_ignored, &[("crates/e2e/tests/a.rs", text)], &["crates/e2e/tests/a.rs:2"]);
    }

    #[test]
    fn finds_a_test_that_sleeps_unless_its_clock_is_paused() {
        let sleeps = "async fn a() { tokio::time::sleep(b).await }\n";
        let paused = format!("#[tokio::test(start_paused = true)]\n{sleeps}");
        let blocks = "#[tokio::test(start_paused = true)]\nfn a() { std::thread::sleep(b) }\n";
        let files = [
            ("crates/e2e/tests/a.rs", sleeps),
            ("crates/egress/tests/b.rs", &paused),
            ("crates/egress/tests/c.rs", blocks),
            ("crates/testkit/src/d.rs", sleeps),
        ];
        check(no_test_sleeps, &files, &["crates/e2e/tests/a.rs:1", "crates/egress/tests/c.rs:2"]);
    }

    #[test]
    fn finds_an_unwrap_outside_tests() {
        let text = "fn a() { b.unwrap(); }\n#[cfg(test)]\nmod tests { fn c() { d.unwrap(); } }\n";
        check(
            nothing_unwraps_outside_tests,
            &[("crates/state/src/a.rs", text)],
            &["crates/state/src/a.rs:1"],
        );
    }
}
