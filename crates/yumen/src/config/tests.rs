//! What the configuration takes and refuses.

use std::path::PathBuf;

use telemetry::stream::Destination;

use super::{Inputs, Layer, Loaded, LogFormat};
use crate::problem::Problem;

fn environment(pairs: &[(&str, &str)]) -> Inputs {
    let environment = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Inputs { environment, ..Inputs::default() }
}

fn file(text: &str) -> Inputs {
    Inputs { file: Some((PathBuf::from("yumen.toml"), text.to_owned())), ..Inputs::default() }
}

fn accepted(inputs: &Inputs) -> Loaded {
    match inputs.load() {
        Ok(loaded) => loaded,
        Err(problems) => panic!("{}", text(&problems)),
    }
}

fn refused(inputs: &Inputs) -> Vec<Problem> {
    inputs.load().err().expect("must be refused")
}

fn text(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("{p}\n")).collect()
}

#[test]
fn starts_on_loopback_with_nothing_given() {
    let settings = accepted(&Inputs::default()).settings;
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8787");
    assert_eq!(settings.ops_listen.map(|a| a.to_string()).as_deref(), Some("127.0.0.1:8788"));
    assert_eq!(settings.data, PathBuf::from("data"));
    assert_eq!(settings.timers.first_byte.as_secs(), 300);
    assert_eq!(settings.timers.total.as_secs(), 3600);
}

#[test]
fn a_flag_wins_over_the_environment_over_dotenv_over_the_file() {
    let mut inputs = file("listen = \"127.0.0.1:1\"\n[log]\nlevel = \"error\"");
    assert_eq!(accepted(&inputs).settings.listen.port(), 1);
    inputs.dotenv = Some("YUMEN_LISTEN=127.0.0.1:2\nLOG_LEVEL=debug".into());
    assert_eq!(accepted(&inputs).settings.listen.port(), 2);
    inputs.environment = vec![("YUMEN_LISTEN".into(), "127.0.0.1:3".into())];
    assert_eq!(accepted(&inputs).settings.listen.port(), 3);
    inputs.flags = vec![("listen", "127.0.0.1:4".into())];
    let loaded = accepted(&inputs);
    assert_eq!(loaded.settings.listen.port(), 4);
    assert_eq!(loaded.settings.log.level, "debug");
    let listen = loaded.given.iter().find(|g| g.name == "listen").expect("given");
    assert_eq!((listen.layer, listen.place.as_str()), (Layer::Flag, "--listen"));
}

#[test]
fn port_keeps_the_address_of_a_lower_layer_and_yields_to_a_higher_one() {
    let mut inputs = file("listen = \"127.0.0.2:1\"");
    inputs.environment = vec![("PORT".into(), "9000".into())];
    assert_eq!(accepted(&inputs).settings.listen.to_string(), "127.0.0.2:9000");
    inputs.flags = vec![("listen", "127.0.0.1:0".into())];
    let settings = accepted(&inputs).settings;
    assert_eq!(settings.listen.to_string(), "127.0.0.1:0");
    assert_eq!(settings.ops_listen, None, "port 0 takes no fixed ops port either");
}

#[test]
fn takes_every_spelling_people_bring_along() {
    let hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    for (name, value) in [
        ("LOG_LEVEL", "WARNING"),
        ("LOG_LEVEL", "Debug"),
        ("YUMEN_LOG__FORMAT", "JSON"),
        ("YUMEN_LISTEN", "[::1]:8000"),
        ("YUMEN_LISTEN", "localhost:8000"),
        ("YUMEN_LISTEN", "8000"),
        ("YUMEN_OPS_LISTEN", "off"),
        ("YUMEN_WORKERS", "auto"),
        ("YUMEN_TLS_TERMINATED", "1"),
        ("YUMEN_TIMERS__IDLE_SECONDS", "0.25"),
        ("YUMEN_SIZES__BODY_BYTES", "32MiB"),
        ("YUMEN_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1, fd00::/8"),
        ("ENCRYPTION_KEY", hex),
        ("ENCRYPTION_KEY", "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8="),
        ("ENCRYPTION_KEY", "ABEiM0RVZneImaq7zN3u_wARIjNEVWZ3iJmqu8zd7v8"),
        ("ADMIN_TOKEN", "accepted-0123456789abcdef0123456789abcdef"),
        ("DATABASE_URL", "sqlite:data/yumen.db"),
        ("RATE_LIMIT_RPM", "120"),
        ("RATE_LIMIT_TPM", "unlimited"),
        ("RATE_LIMIT_INTERNAL_RPM", "1000"),
        ("DATABASE_URL", "sqlite:///var/lib/yumen/yumen.db?min_size=1&max_size=4"),
        ("DATABASE_URL", ""),
        ("YUMEN_PORT", "tcp://10.0.0.1:8787"),
        ("YUMEN_SERVICE_HOST", "10.0.0.1"),
        ("YUMEN_CORPUS", "/somewhere"),
        ("YUMEN_BIN", "/somewhere"),
        ("YUMEN_NIGHTLY", "1"),
        ("HOME", "/root"),
    ] {
        let inputs = environment(&[(name, value)]);
        assert!(inputs.load().is_ok(), "{name}={value}: {}", text(&refused(&inputs)));
    }
}

#[test]
fn reads_both_forms_of_the_encryption_key_alike() {
    let hex = environment(&[(
        "ENCRYPTION_KEY",
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    )]);
    let base64 = environment(&[("ENCRYPTION_KEY", "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=")]);
    let key = |inputs: &Inputs| *accepted(inputs).settings.encryption_key.expect("given").expose();
    assert_eq!(key(&hex), key(&base64));
}

#[test]
fn finds_the_database_in_every_spelling() {
    for (url, path, name) in [
        ("sqlite:data/yumen.db", "data", "yumen.db"),
        ("sqlite:yumen.db", ".", "yumen.db"),
        ("sqlite:./quota.sqlite3", ".", "quota.sqlite3"),
        ("sqlite:../up/no-ending", "../up", "no-ending"),
        ("sqlite:/top.db", "/", "top.db"),
        ("sqlite://data/yumen.db", "data", "yumen.db"),
        ("sqlite:///srv/other.db", "/srv", "other.db"),
        ("sqlite:////srv/yumen.db", "/srv", "yumen.db"),
        ("sqlite:///./data/my own.db?min_size=1&max_size=4", "./data", "my own.db"),
        ("sqlite+aiosqlite:///srv/yumen.db", "/srv", "yumen.db"),
    ] {
        let settings = accepted(&environment(&[("DATABASE_URL", url)])).settings;
        assert_eq!(settings.data, PathBuf::from(path), "{url}");
        assert_eq!(settings.database.as_deref(), Some(name), "{url}");
    }
    assert_eq!(accepted(&Inputs::default()).settings.database, None);
}

#[test]
fn a_flag_for_the_data_wins_over_the_database_and_says_so() {
    let mut inputs = environment(&[("DATABASE_URL", "sqlite:a/b.db"), ("YUMEN_DATA", "./a/")]);
    let loaded = accepted(&inputs);
    assert_eq!((loaded.settings.data, loaded.settings.database.as_deref()), ("a".into(), Some("b.db")));
    inputs.flags = vec![("data", "a".into())];
    let loaded = accepted(&inputs);
    assert_eq!((loaded.settings.data, loaded.settings.database.as_deref()), ("a".into(), Some("b.db")));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    inputs.flags = vec![("data", "c".into())];
    let loaded = accepted(&inputs);
    assert_eq!((loaded.settings.data, loaded.settings.database), ("c".into(), None));
    assert!(loaded.warnings[0].contains("DATABASE_URL is set but not used"), "{:?}", loaded.warnings);
}

#[test]
fn each_stream_of_the_log_goes_where_it_is_sent() {
    let given = environment(&[
        ("YUMEN_LOG__DIGEST", "logs/digest.log"),
        ("YUMEN_LOG__AUDIT", "STDOUT"),
        ("YUMEN_LOG__FILE_BYTES", "1MiB"),
        ("YUMEN_LOG__FILES_KEPT", "3"),
    ]);
    let plan = accepted(&given).settings.streams;
    let expected = [
        Destination::Stderr,
        Destination::Stderr,
        Destination::File("logs/digest.log".into()),
        Destination::Stdout,
        Destination::Stderr,
    ];
    assert_eq!((plan.destinations, plan.most_bytes, plan.kept), (expected, 1 << 20, 3));
}

#[test]
fn refuses_what_cannot_be_meant_and_says_what_to_write() {
    for (name, value, fragment) in [
        ("PORT", "99999", "0 to 65535"),
        ("YUMEN_LISTEN", "example.com:80", "not an address"),
        ("YUMEN_WORKERS", "-1", "0 to 1024"),
        ("YUMEN_TIMERS__IDLE_SECONDS", "0", "above 0"),
        ("YUMEN_TIMERS__IDLE_SECONDS", "5s", "without a unit"),
        ("YUMEN_TIMERS__IDLE_SECONDS", "NaN", "above 0"),
        ("YUMEN_SIZES__BODY_BYTES", "4GiB", "32MiB"),
        ("YUMEN_TRUSTED_PROXIES", "10.0.0.0/33", "10.0.0.0/8"),
        ("LOG_LEVEL", "loud", "trace, debug"),
        ("YUMEN_LOG__ERROR", "logs/", "the path of a file"),
        ("YUMEN_LOG__FILES_KEPT", "-1", "0 to 1000"),
        ("ADMIN_TOKEN", "short", "has 5 characters"),
        ("ENCRYPTION_KEY", "abcd", "is 3 bytes, not 32"),
        ("ENCRYPTION_KEY", "not base64 at all!", "openssl rand"),
        ("DATABASE_URL", "postgres://u:p@h/d", "not supported by this version"),
        ("DATABASE_URL", "postgresql+asyncpg://u:p@h/d", "not supported by this version"),
        ("POSTGRES_HOST", "db", "not supported by this version"),
        ("DATABASE_URL", "mysql://u:p@h/d", "`mysql`"),
        ("DATABASE_URL", "sqlite::memory:", "lose every key"),
        ("DATABASE_URL", "sqlite:/srv/", "sqlite:/srv/yumen.db"),
        ("DATABASE_URL", "sqlite:..", "names a directory"),
        ("DATABASE_URL", "sqlite:/srv/requests.db", "the name of another file"),
        ("DATABASE_URL", "sqlite:journal", "the name of another file"),
        ("DATABASE_URL", "sqlite:other.db?mode=ro&cache=shared", "`mode` is not an option"),
        ("RATE_LIMIT_RPM", "many", "or unlimited"),
        ("DATABASE_URL", "sqlite:yumen.db?mode=ro", "min_size and max_size"),
        ("DATABASE_URL", "sqlite:yumen.db?min_size=5&max_size=2", "at least min_size"),
        ("YUMEN_LISTN", "x", "did you mean YUMEN_LISTEN?"),
        ("YUMEN_LOG_LEVEL", "info", "did you mean YUMEN_LOG__LEVEL?"),
        ("YUMEN_OPS_LISTEN", "127.0.0.1:8787", "same address"),
    ] {
        let shown = text(&refused(&environment(&[(name, value)])));
        assert!(shown.contains(fragment), "{name}={value} gave:\n{shown}");
        assert!(shown.contains(name) || name == "YUMEN_OPS_LISTEN", "the place is named:\n{shown}");
    }
}

#[test]
fn refuses_file_settings_with_line_and_suggestion() {
    for (toml, line, fragment) in [
        ("\nlisen = \"127.0.0.1:1\"", "yumen.toml line 2", "did you mean listen?"),
        ("[log]\n\nlevl = \"info\"", "yumen.toml line 3", "did you mean log.level?"),
        ("[timer]\nidle_seconds = 1", "yumen.toml line 2", "did you mean timers.idle_seconds?"),
        ("workers = 1979-05-27", "yumen.toml line 1", "does not fit"),
        ("workers = 1\nworkers = 2", "yumen.toml line 2", "duplicate key"),
        ("listen = ", "yumen.toml line 1", "is not TOML"),
        ("[log]\nlevel = 3", "yumen.toml line 2", "not a log level"),
    ] {
        let shown = text(&refused(&file(toml)));
        assert!(shown.contains(line) && shown.contains(fragment), "{toml} gave:\n{shown}");
    }
}

#[test]
fn takes_every_type_of_file_value() {
    let settings = accepted(&file(
        "workers = 2\ntls_terminated = true\ntrusted_proxies = [\"10.0.0.0/8\", \"192.0.2.0/24\"]\n\
         [timers]\nidle_seconds = 1.5\n[sizes]\nbody_bytes = 1_048_576\n[log]\nformat = \"json\"",
    ))
    .settings;
    assert_eq!(settings.workers.map(std::num::NonZeroUsize::get), Some(2));
    assert!(settings.tls_terminated);
    assert_eq!(settings.trusted_proxies.len(), 2);
    assert_eq!(settings.timers.idle.as_millis(), 1500);
    assert_eq!(settings.sizes.body_bytes, 1 << 20);
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn refuses_two_names_of_one_setting_that_disagree() {
    for pairs in [
        [("DATABASE_URL", "sqlite:a/yumen.db"), ("YUMEN_DATABASE__URL", "sqlite:b/yumen.db")],
        [("PORT", "1"), ("YUMEN_LISTEN", "127.0.0.1:2")],
        [("YUMEN_DATA", "a"), ("DATABASE_URL", "sqlite:b/yumen.db")],
    ] {
        let shown = text(&refused(&environment(&pairs)));
        assert!(
            shown.contains(pairs[0].0) && shown.contains(pairs[1].0) && shown.contains("disagree"),
            "{shown}"
        );
    }
    assert!(environment(&[("PORT", "2"), ("YUMEN_LISTEN", "127.0.0.1:2")]).load().is_ok());
}

#[test]
fn reads_dotenv_with_quotes_comments_and_export() {
    let dotenv = "# a comment\n\nexport PORT=9001 # why\nLOG_LEVEL=\"info\"\nADMIN_TOKEN='abc#def0123456789abcdef0123456789'\n";
    let inputs = Inputs { dotenv: Some(dotenv.into()), ..Inputs::default() };
    let settings = accepted(&inputs).settings;
    assert_eq!(settings.listen.port(), 9001);
    assert_eq!(settings.admin_token.expect("given").expose(), "abc#def0123456789abcdef0123456789");
    let broken = Inputs { dotenv: Some("PORT=1\nLOG_LEVEL=\"info".into()), ..Inputs::default() };
    assert!(text(&refused(&broken)).contains(".env line 2"));
}

#[test]
fn warns_once_of_what_has_no_effect() {
    let mut inputs = environment(&[("REDIS_URL", "redis://u:planted-secret@h")]);
    inputs.dotenv = Some("REDIS_URL=redis://other".into());
    let warnings = accepted(&inputs).warnings;
    assert_eq!(warnings.iter().filter(|w| w.contains("REDIS_URL")).count(), 1, "{warnings:?}");
    assert!(!warnings.concat().contains("planted"));
}

#[test]
fn no_problem_repeats_a_secret() {
    let planted = "planted-secret-value with a space";
    for name in ["ADMIN_TOKEN", "METRICS_TOKEN", "ENCRYPTION_KEY"] {
        let shown = text(&refused(&environment(&[(name, planted)])));
        assert!(!shown.contains("planted"), "{shown}");
    }
    for url in ["postgres://u:planted@h/d", "planted://u:p@h", "sqlite:x?password=1&planted=2"] {
        let shown = text(&refused(&environment(&[("DATABASE_URL", url)])));
        assert!(!shown.contains("u:p"), "{shown}");
    }
}

#[test]
fn every_setting_has_a_name_of_its_own() {
    let mut names: Vec<String> = super::SETTINGS.iter().map(super::Setting::variable).collect();
    names.extend(super::SETTINGS.iter().flat_map(|s| s.plain.iter().map(|p| (*p).to_owned())));
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn every_channel_has_limits_of_its_own() {
    let settings = accepted(&Inputs::default()).settings;
    assert_eq!(settings.rate_limit, proxy::settings::DefaultLimits::standard());
    let given = environment(&[
        ("RATE_LIMIT_RPM", "1"),
        ("RATE_LIMIT_EXTERNAL_RPM", "2"),
        ("RATE_LIMIT_EXTERNAL_CONCURRENT", "3"),
        ("RATE_LIMIT_INTERNAL_TPM", "unlimited"),
    ]);
    let limits = accepted(&given).settings.rate_limit;
    assert_eq!((limits.open.rpm, limits.external.rpm, limits.internal.rpm), (Some(1), Some(2), Some(600)));
    assert_eq!((limits.external.concurrent, limits.internal.tpm), (Some(3), None));
}
