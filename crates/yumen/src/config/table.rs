//! THE table of settings: every name, its plain environment names, its reader. One entry a setting.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::database;
use super::given::Given;
use super::settings::Settings;
use super::value::{self, Refusal};
use crate::problem::{Problem, Reason};
use model::Secret;
use telemetry::stream::Stream;

/// One setting.
pub struct Setting {
    /// Its name in the file, `section.key`; `YUMEN_SECTION__KEY` in the environment.
    pub name: &'static str,
    /// Other names in the environment.
    pub plain: &'static [&'static str],
    /// What it does, for people.
    pub about: &'static str,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// Reads a value into its place.
    apply: fn(&mut Settings, &str) -> Result<(), Refusal>,
}

impl Setting {
    /// Its name in the environment.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("YUMEN_{}", self.name.replace('.', "__").to_ascii_uppercase())
    }

    /// Whether it is a secret that protects this gateway, and not one that opens another.
    #[must_use]
    pub fn protects(&self) -> bool {
        matches!(self.name, "admin_token" | "metrics_token" | "encryption_key")
    }
}

type Apply = fn(&mut Settings, &str) -> Result<(), Refusal>;

const fn open(
    name: &'static str,
    plain: &'static [&'static str],
    about: &'static str,
    apply: Apply,
) -> Setting {
    Setting { name, plain, about, secret: false, apply }
}

const fn secret(
    name: &'static str,
    plain: &'static [&'static str],
    about: &'static str,
    apply: Apply,
) -> Setting {
    Setting { name, plain, about, secret: true, apply }
}

fn put<T>(place: &mut T, value: Result<T, Refusal>) -> Result<(), Refusal> {
    *place = value?;
    Ok(())
}

fn stream(settings: &mut Settings, stream: Stream, text: &str) -> Result<(), Refusal> {
    put(&mut settings.streams.destinations[stream as usize], value::destination(text))
}

/// Every setting.
pub static SETTINGS: &[Setting] = &[
    open("listen", &[], "public address and port", |s, v| put(&mut s.listen, value::address(v))),
    open("port", &["PORT"], "public port, on the address of `listen`", |s, v| {
        value::port(v).map(|p| s.listen.set_port(p))
    }),
    open("admin_listen", &[], "address of its own for administration, or off", |s, v| {
        put(&mut s.admin_listen, value::address_or_off(v))
    }),
    open("ops_listen", &[], "operator's address, or off", |s, v| {
        put(&mut s.ops_listen, value::address_or_off(v))
    }),
    open("data", &[], "directory for keys and databases", |s, v| put(&mut s.data, value::directory(v))),
    open("workers", &[], "data-plane workers; auto is one a core", |s, v| {
        put(&mut s.workers, value::workers(v))
    }),
    open("trusted_proxies", &[], "networks whose X-Forwarded-For is believed", |s, v| {
        put(&mut s.trusted_proxies, value::networks(v))
    }),
    open("public_hosts", &[], "names of this gateway that signatures may be made for", |s, v| {
        put(&mut s.public_hosts, value::hosts(v))
    }),
    open("tls_terminated", &[], "a proxy in front speaks TLS to callers", |s, v| {
        put(&mut s.tls_terminated, value::truth(v))
    }),
    open("clock_check", &[], "refuse to start when the clock is behind what is stored", |s, v| {
        put(&mut s.clock_check, value::truth(v))
    }),
    secret("admin_token", &["ADMIN_TOKEN"], "static administrator credential", |s, v| {
        put(&mut s.admin_token, value::admin_token(v).map(Some))
    }),
    secret("metrics_token", &["METRICS_TOKEN"], "credential for /metrics away from loopback", |s, v| {
        put(&mut s.metrics_token, value::metrics_token(v).map(Some))
    }),
    secret(
        "encryption_key",
        &["ENCRYPTION_KEY"],
        "32 bytes that stored credentials are sealed under",
        |s, v| put(&mut s.encryption_key, value::encryption_key(v).map(Some)),
    ),
    open("jwt.algorithm", &["JWT_ALGORITHM"], "EdDSA or RS256, for access tokens", |s, v| {
        put(&mut s.jwt.algorithm, value::jwt_algorithm(v))
    }),
    open(
        "jwt.private_key_file",
        &["JWT_PRIVATE_KEY_FILE", "JWT_PRIVATE_KEY_PATH"],
        "PEM file that signs access tokens, in place of keys made here",
        |s, v| put(&mut s.jwt.private_file, value::directory(v).map(Some)),
    ),
    open(
        "jwt.public_key_files",
        &["JWT_PUBLIC_KEY_FILES", "JWT_PUBLIC_KEY_PATH"],
        "PEM files of earlier keys that still verify, separated by commas",
        |s, v| {
            let files = v.split(',').map(|file| value::directory(file.trim())).collect::<Result<_, _>>();
            put(&mut s.jwt.public_files, files)
        },
    ),
    secret(
        "database.url",
        &["DATABASE_URL"],
        "sqlite:PATH of the database, whose directory is `data`",
        |s, v| database::file(v).map(|(directory, name)| (s.data, s.database) = (directory, Some(name))),
    ),
    secret("openai.api_key", &["OPENAI_API_KEY"], "API key that makes an account of OpenAI", |s, v| {
        s.openai.api_key = Some(Secret::new(v.to_owned()));
        Ok(())
    }),
    open("openai.base_url", &["OPENAI_BASE_URL"], "its base URL, with /v1", |s, v| {
        put(&mut s.openai.base_url, value::url(v).map(Some))
    }),
    secret("deepseek.api_key", &["DEEPSEEK_API_KEY"], "API key that makes an account of DeepSeek", |s, v| {
        s.deepseek.api_key = Some(Secret::new(v.to_owned()));
        Ok(())
    }),
    open("deepseek.base_url", &["DEEPSEEK_BASE_URL"], "its base URL", |s, v| {
        put(&mut s.deepseek.base_url, value::url(v).map(Some))
    }),
    open("log.level", &["LOG_LEVEL"], "trace, debug, info, warn, error or off", |s, v| {
        put(&mut s.log.level, value::log_level(v))
    }),
    open("log.format", &["LOG_FORMAT"], "text or json", |s, v| put(&mut s.log.format, value::log_format(v))),
    open("log.process", &[], "where the log of the process goes: stderr, stdout or a file", |s, v| {
        stream(s, Stream::Process, v)
    }),
    open("log.error", &[], "where warnings and errors go: stderr, stdout or a file", |s, v| {
        stream(s, Stream::Error, v)
    }),
    open("log.digest", &[], "where the lines of requests go: stderr, stdout or a file", |s, v| {
        stream(s, Stream::Digest, v)
    }),
    open("log.audit", &[], "where the lines of who did what go: stderr, stdout or a file", |s, v| {
        stream(s, Stream::Audit, v)
    }),
    open("log.configuration", &[], "where changes of configuration go: stderr, stdout or a file", |s, v| {
        stream(s, Stream::Configuration, v)
    }),
    open("log.file_bytes", &[], "how large a file of the log grows before it is rotated", |s, v| {
        put(&mut s.streams.most_bytes, value::log_bytes(v))
    }),
    open("log.files_kept", &[], "how many rotated files of the log are kept", |s, v| {
        put(&mut s.streams.kept, value::count(v, 0, 1_000).map(|n| u32::try_from(n).unwrap_or(u32::MAX)))
    }),
    open("timers.connect_seconds", &[], "opening an upstream connection", |s, v| {
        put(&mut s.timers.connect, value::seconds(v))
    }),
    open("timers.tls_seconds", &[], "TLS handshake with an upstream", |s, v| {
        put(&mut s.timers.tls, value::seconds(v))
    }),
    open("timers.first_byte_seconds", &[], "an upstream's first byte", |s, v| {
        put(&mut s.timers.first_byte, value::seconds(v))
    }),
    open("timers.idle_seconds", &[], "between two pieces of an answer", |s, v| {
        put(&mut s.timers.idle, value::seconds(v))
    }),
    open("timers.total_seconds", &[], "a whole exchange", |s, v| put(&mut s.timers.total, value::seconds(v))),
    open("timers.header_read_seconds", &[], "reading a request's header", |s, v| {
        put(&mut s.timers.header_read, value::seconds(v))
    }),
    open("timers.write_seconds", &[], "writing one piece to a slow peer", |s, v| {
        put(&mut s.timers.write, value::seconds(v))
    }),
    open("timers.drain_seconds", &[], "running requests after SIGTERM", |s, v| {
        put(&mut s.timers.drain, value::seconds(v))
    }),
    open("timers.upstream_keep_alive_seconds", &[], "unused upstream connections", |s, v| {
        put(&mut s.timers.upstream_keep_alive, value::seconds(v))
    }),
    open("sizes.body_bytes", &[], "largest request body", |s, v| {
        put(&mut s.sizes.body_bytes, value::body_bytes(v))
    }),
    open("sizes.header_bytes", &[], "largest request header", |s, v| {
        put(&mut s.sizes.header_bytes, value::header_bytes(v))
    }),
    open("sizes.header_count", &[], "most header lines; 50 more, and the refusal is a bare 431", |s, v| {
        put(&mut s.sizes.header_count, value::count(v, 10, 1000))
    }),
    open("sizes.requests", &[], "most requests in flight; further ones are refused at once", |s, v| {
        put(&mut s.sizes.requests, value::count(v, 1, 1_000_000))
    }),
    open(
        "rate_limit.rpm",
        &["RATE_LIMIT_RPM"],
        "requests a minute of keys without a limit, or unlimited",
        |s, v| put(&mut s.rate_limit.open.rpm, value::limit(v)),
    ),
    open(
        "rate_limit.tpm",
        &["RATE_LIMIT_TPM"],
        "tokens a minute of keys without a limit, or unlimited",
        |s, v| put(&mut s.rate_limit.open.tpm, value::limit(v)),
    ),
    open(
        "rate_limit.concurrent",
        &["RATE_LIMIT_CONCURRENT"],
        "requests in flight of keys without a limit, or unlimited",
        |s, v| put(&mut s.rate_limit.open.concurrent, value::limit(v)),
    ),
    open(
        "rate_limit.external_rpm",
        &["RATE_LIMIT_EXTERNAL_RPM"],
        "requests a minute on the external channel",
        |s, v| put(&mut s.rate_limit.external.rpm, value::limit(v)),
    ),
    open(
        "rate_limit.external_tpm",
        &["RATE_LIMIT_EXTERNAL_TPM"],
        "tokens a minute on the external channel",
        |s, v| put(&mut s.rate_limit.external.tpm, value::limit(v)),
    ),
    open(
        "rate_limit.external_concurrent",
        &["RATE_LIMIT_EXTERNAL_CONCURRENT"],
        "requests in flight on the external channel",
        |s, v| put(&mut s.rate_limit.external.concurrent, value::limit(v)),
    ),
    open(
        "rate_limit.internal_rpm",
        &["RATE_LIMIT_INTERNAL_RPM"],
        "requests a minute of internal keys without a limit",
        |s, v| put(&mut s.rate_limit.internal.rpm, value::limit(v)),
    ),
    open(
        "rate_limit.internal_tpm",
        &["RATE_LIMIT_INTERNAL_TPM"],
        "tokens a minute of internal keys without a limit",
        |s, v| put(&mut s.rate_limit.internal.tpm, value::limit(v)),
    ),
    open(
        "rate_limit.internal_concurrent",
        &["RATE_LIMIT_INTERNAL_CONCURRENT"],
        "requests in flight of internal keys without a limit",
        |s, v| put(&mut s.rate_limit.internal.concurrent, value::limit(v)),
    ),
    open("durability", &[], "what a request's intent survives: process, or power (a power cut)", |s, v| {
        put(&mut s.durability, value::durability(v))
    }),
    open(
        "failpoint",
        &[],
        "for tests: where the process dies, as NAME or NAME=PASSING; panic:NAME panics there",
        |s, v| put(&mut s.failpoint, value::failpoint(v).map(Some)),
    ),
];

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Reads the winning value of every setting, and leaves only those in `given`.
pub fn apply(given: &mut Vec<Given>, problems: &mut Vec<Problem>) -> Settings {
    let mut winners: BTreeMap<&'static str, Given> = BTreeMap::new();
    for value in given.drain(..) {
        match winners.get(value.name) {
            Some(held) if held.layer > value.layer => {}
            Some(held) if held.layer == value.layer && held.text.expose() != value.text.expose() => {
                problems.push(contradiction(held, &value));
            }
            _ => drop(winners.insert(value.name, value)),
        }
    }
    *given = winners.into_values().collect();
    // `listen` and `port` write to one place, as do `data` and `database.url`: the later layer goes last.
    given.sort_by_key(|value| value.layer);
    let mut settings = Settings::default();
    for value in given.iter() {
        let setting = find(value.name).expect("only names of the table are ever given");
        if let Err(refusal) = (setting.apply)(&mut settings, value.text.expose()) {
            problems.push(unusable(value, refusal));
        }
    }
    check_together(&mut settings, given, problems);
    settings
}

/// What can only be judged with all settings read.
fn check_together(settings: &mut Settings, given: &[Given], problems: &mut Vec<Problem>) {
    let of = |name: &str| given.iter().find(|value| value.name == name);
    if let (Some(listen), Some(port)) = (of("listen"), of("port"))
        && listen.layer == port.layer
        && value::address(listen.text.expose()).is_ok_and(|a| a.port() != settings.listen.port())
    {
        problems.push(contradiction(listen, port));
    }
    if let (Some(data), Some(url)) = (of("data"), of("database.url"))
        && database::file(url.text.expose())
            .is_ok_and(|(d, _)| !same_directory(&d, Path::new(data.text.expose())))
    {
        if data.layer == url.layer {
            problems.push(contradiction(data, url));
        } else if data.layer > url.layer {
            settings.database = None;
        }
    }
    if of("ops_listen").is_none() && settings.listen.port() == 0 {
        settings.ops_listen = None;
    }
    let sockets: [(&str, Option<std::net::SocketAddr>); 3] = [
        ("listen", Some(settings.listen)),
        ("admin_listen", settings.admin_listen),
        ("ops_listen", settings.ops_listen),
    ];
    for (i, (first, address)) in sockets.iter().enumerate() {
        for (second, other) in &sockets[i + 1..] {
            if address.is_some() && address == other && address.is_some_and(|a| a.port() != 0) {
                problems.push(same_socket(first, second));
            }
        }
    }
}

/// Whether two paths are written alike but for `./` and trailing slashes.
fn same_directory(a: &Path, b: &Path) -> bool {
    let plain =
        |path: &Path| path.components().filter(|part| *part != Component::CurDir).collect::<PathBuf>();
    plain(a) == plain(b)
}

fn same_socket(first: &str, second: &str) -> Problem {
    Problem::refusal(
        Reason::Contradiction,
        format!("settings {first} and {second} contradict each other"),
        "both name the same address and port",
        format!("give {second} a port of its own"),
    )
}

fn contradiction(first: &Given, second: &Given) -> Problem {
    let what = if first.name == second.name {
        format!("setting {} is given twice with different values", first.name)
    } else {
        format!("settings {} and {} contradict each other", first.name, second.name)
    };
    Problem::refusal(
        Reason::Contradiction,
        what,
        format!("{} and {} disagree", first.place, second.place),
        "keep only one of them",
    )
}

fn unusable(value: &Given, refusal: Refusal) -> Problem {
    let Refusal { cause, fix } = refusal;
    Problem::refusal(
        Reason::Setting,
        format!("setting {} cannot be used ({})", value.name, value.place),
        cause,
        fix,
    )
}
