//! T63: every reason for which the gateway refuses to start is brought about, and each time it says the reason, the
//! cause and a fix, and ends with exit code 1. A reason without a row does not compile; a setting that takes any
//! text must be listed.

mod ground;
mod limits;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use testkit::gateway::{Gateway, Options};
use testkit::trust::Proof;
use yumen::config::SETTINGS;
use yumen::problem::Reason;

use ground::Ground;

const PROOF: Proof = Proof::new(
    "T63",
    "P10",
    "Each reason for refusing to start, default and guessable secrets among them, is brought about: the process ends \
     with exit code 1, names it and says what to do",
);

/// Settings that are a text of their own, so that no text is a wrong one.
const ANY_TEXT: [&str; 5] =
    ["data", "jwt.private_key_file", "jwt.public_key_files", "openai.api_key", "deepseek.api_key"];

/// One start that must be refused.
struct Start {
    what: String,
    options: Options,
    /// What must be said.
    words: Vec<String>,
    /// What must not.
    secret: Option<String>,
}

impl Start {
    fn new(what: &str, options: Options, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { what: what.to_owned(), options, words, secret: None }
    }

    /// With one variable, which must be named; a value of some length is taken for a secret.
    fn variable(name: &str, value: &str) -> Self {
        let start = Self::new(&format!("{name}={value}"), Options::default().env(name, value), &[name]);
        Self { secret: (value.len() > 4).then(|| value.to_owned()), ..start }
    }
}

async fn refused(reason: Reason, start: Start) -> Result<()> {
    let (status, said) = Gateway::refusal(start.options.argument("--json")).await?;
    ensure!(status.code() == Some(1), "{status}: {said}");
    ensure!(!said.contains("panicked") && !said.contains("\"event\":\"ready\""), "{said}");
    let json = said.lines().find(|line| line.starts_with("{\"ok\":false")).context(said.clone())?;
    let json: Value = serde_json::from_str(json)?;
    let problems = json["problems"].as_array().context("no problems")?;
    let found = problems.iter().find(|problem| problem["reason"] == reason.name());
    let problem = found.with_context(|| format!("not {}: {said}", reason.name()))?;
    for part in ["what", "cause", "fix"] {
        ensure!(problem[part].as_str().is_some_and(|text| text.len() > 5), "no {part}: {said}");
    }
    for word in &start.words {
        ensure!(said.contains(word.as_str()), "{word} is not named: {said}");
    }
    if let Some(secret) = &start.secret {
        ensure!(!said.contains(secret.as_str()), "a secret is shown: {said}");
    }
    Ok(())
}

/// Secrets that are default, empty, short, malformed or easily guessed.
fn bad_secrets() -> Vec<Start> {
    let (short, repeated) = ("0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdef");
    let password = "a-password-of-the-database";
    let mut database =
        Start::variable("DATABASE_URL", &format!("postgres://yumen:{password}@127.0.0.1/yumen"));
    database.secret = Some(password.to_owned());
    let (zeros, ones) = ("0".repeat(64), "f".repeat(64));
    let same = "a".repeat(40);
    let all = [
        ("ADMIN_TOKEN", ""),
        ("ADMIN_TOKEN", "short-1"),
        ("ADMIN_TOKEN", short),
        ("ADMIN_TOKEN", repeated),
        ("ADMIN_TOKEN", &same),
        ("ADMIN_TOKEN", "change-me-to-32-or-more-random-characters"),
        ("ADMIN_TOKEN", "your-admin-token-of-at-least-32-characters"),
        ("ADMIN_TOKEN", "a token with spaces, of more than 32 characters"),
        ("METRICS_TOKEN", ""),
        ("METRICS_TOKEN", "too-few"),
        ("METRICS_TOKEN", "changemechangeme"),
        ("ENCRYPTION_KEY", ""),
        ("ENCRYPTION_KEY", "tooshort"),
        ("ENCRYPTION_KEY", "00112233445566778899aabbccddeeff"),
        ("ENCRYPTION_KEY", &zeros),
        ("ENCRYPTION_KEY", &ones),
        ("YUMEN_ENCRYPTION_KEY", "not hexadecimal and not base64 either!"),
    ]
    .map(|(name, value)| Start::variable(name, value));
    all.into_iter().chain([database]).collect()
}

/// Each setting with a value that it cannot have.
fn bad_settings() -> Vec<Start> {
    let settings = SETTINGS.iter().filter(|setting| !ANY_TEXT.contains(&setting.name));
    // The kit gives the address to listen on as a flag, which would win over a variable.
    let listen = Options::default().argument("--listen").argument("\u{1}?");
    let rest = settings.filter(|setting| setting.name != "listen");
    let mut starts: Vec<Start> = rest.map(|setting| Start::variable(&setting.variable(), "\u{1}?")).collect();
    starts.push(Start::new("--listen", listen, &["listen"]));
    starts
}

/// Two sockets, three data directories, one name twice: what contradicts itself.
fn contradictions() -> Vec<Start> {
    let twice = Options::default()
        .env("ADMIN_TOKEN", "one-0123456789-abcdefghijklmnop-qrst")
        .env("YUMEN_ADMIN_TOKEN", "two-0123456789-abcdefghijklmnop-qrst");
    let sockets = Options::default()
        .env("YUMEN_ADMIN_LISTEN", "127.0.0.1:18799")
        .env("YUMEN_OPS_LISTEN", "127.0.0.1:18799");
    vec![
        Start::new("a secret given twice", twice, &["twice"]),
        Start::new("one address for two", sockets, &["admin_listen", "ops_listen"]),
    ]
}

/// Addresses that would let administration out in clear.
fn exposures() -> Vec<Start> {
    let listening = |address: &str| Options::default().argument("--listen").argument(address);
    let beside = listening("127.0.0.1:0").env("YUMEN_ADMIN_LISTEN", "0.0.0.0:18797");
    vec![
        Start::new("every address", listening("0.0.0.0:0"), &["TLS", "YUMEN_TLS_TERMINATED"]),
        Start::new("every address of IPv6", listening("[::]:0"), &["TLS"]),
        Start::new("an address of its own", beside, &["TLS"]),
    ]
}

/// The starts that must be refused for a reason; a new reason is not compiled without.
async fn starts(reason: Reason, ground: &mut Ground) -> Result<Vec<Start>> {
    Ok(match reason {
        Reason::ConfigurationFile => ground.without_configuration()?,
        Reason::NotToml => vec![ground.configuration("listen = [", &["yumen.toml"])?],
        Reason::DotEnv => vec![ground.dot_env("no assignment\n")?],
        Reason::UnknownSetting => vec![
            Start::variable("YUMEN_NO_SUCH_SETTING", "1"),
            ground.configuration("[timers]\nconect_seconds = 1\n", &["conect_seconds"])?,
        ],
        Reason::Setting => [bad_secrets(), bad_settings()].concat_starts(),
        Reason::Contradiction => contradictions(),
        Reason::AdministrationExposed => exposures(),
        Reason::OperatorsExposed => {
            vec![Start::new(
                "operators",
                Options::default().env("YUMEN_OPS_LISTEN", "0.0.0.0:18798"),
                &["operators"],
            )]
        }
        Reason::LogFile => {
            let nowhere = Options::default().env("YUMEN_LOG__AUDIT", "/dev/null/audit.log");
            vec![Start::new("a file of the log", nowhere, &["/dev/null/audit.log"])]
        }
        Reason::DataDirectory => vec![ground.file_in_the_way()?],
        Reason::DataInUse => vec![ground.second_process()],
        Reason::AddressInUse => vec![ground.address_in_use().await?],
        Reason::AddressNotHere => {
            let there = Options::default().argument("--listen").argument("192.0.2.1:8787");
            vec![Start::new("elsewhere", there.env("YUMEN_TLS_TERMINATED", "1"), &["192.0.2.1"])]
        }
        Reason::KeyFile => ground.key_files()?,
        Reason::WrongKey => ground.wrong_keys()?,
        Reason::WrongPepper => vec![ground.wrong_pepper()?],
        Reason::NewerSchema => vec![ground.newer_schema().await?],
        Reason::DamagedDatabase => vec![ground.damaged()?],
        Reason::OtherDatabase => ground.other_database().await?,
        Reason::AlteredCredential => vec![ground.altered_credential().await?],
        Reason::Database => vec![ground.without_table().await?],
        Reason::JournalUnreadable => vec![ground.journal_in_the_way()?],
        Reason::Nonces => vec![ground.nonces_in_the_way()?],
        Reason::StoredResponses => vec![ground.stored_responses_in_the_way()?],
        Reason::SigningKeys => ground.signing_keys()?,
        Reason::FirstAdministrator => vec![ground.no_administrator().await?],
        Reason::Clock => ground.wrong_clocks().await?,
        Reason::AddressNotAllowed => vec![limits::port_not_allowed()?],
        Reason::Address => {
            let scopeless = Options::default().argument("--listen").argument("[fe80::1]:8787");
            vec![Start::new("no link", scopeless.env("YUMEN_TLS_TERMINATED", "1"), &["fe80::1"])]
        }
        Reason::Threads => vec![limits::no_thread()],
        Reason::JournalUnwritable => vec![ground.closed_journal()?],
    })
}

trait ConcatStarts {
    fn concat_starts(self) -> Vec<Start>;
}

impl ConcatStarts for [Vec<Start>; 2] {
    fn concat_starts(self) -> Vec<Start> {
        self.into_iter().flatten().collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_start_that_must_be_refused_is_refused_with_its_reason() -> Result<()> {
    let mut ground = Ground::prepare().await?;
    let (mut refusals, mut missing) = (0, Vec::new());
    for reason in Reason::ALL {
        let starts = starts(*reason, &mut ground).await?;
        ensure!(!starts.is_empty(), "{} is not brought about", reason.name());
        for start in starts {
            let what = format!("{}: {}", reason.name(), start.what);
            match refused(*reason, start).await {
                Ok(()) => refusals += 1,
                Err(error) => missing.push(format!("{what}: {error:#}")),
            }
        }
    }
    if !missing.is_empty() {
        bail!("{} starts were not refused as they must be:\n{}", missing.len(), missing.join("\n"));
    }
    PROOF.held(&format!(
        "{refusals} of {refusals} starts refused with reason, cause, fix and exit code 1, for each of {} reasons",
        Reason::ALL.len()
    ))
}
