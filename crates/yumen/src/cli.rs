//! The command line: names, flags and their help. What the commands do is in `commands`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::SETTINGS;
use crate::nouns::NounCommand;
use crate::signing::Sign;

/// Yumen, an AI gateway: says who is calling, what they may use, where it goes and what it cost.
#[derive(Parser)]
#[command(name = "yumen", version, disable_help_subcommand = true)]
#[command(after_help = "Example:\n  yumen serve --demo")]
pub struct Cli {
    /// Answer in JSON, problems too.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Run the gateway.
    #[command(
        after_help = "Examples:\n  yumen serve\n  yumen serve --demo\n  yumen serve --listen 127.0.0.1:9000 --data /var/lib/yumen"
    )]
    Serve(Serve),
    /// Look at the configuration without running anything.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// What the administration API has.
    #[command(flatten)]
    Noun(NounCommand),
    /// Sign a request, show each step of it, or check somebody's signature; offline.
    #[command(
        after_help = "Examples:\n  yumen sign --key-id agm4fyq3zxeuxpzr4mwkq2v3ca --body request.json --curl\n  yumen sign --key-id agm4fyq3zxeuxpzr4mwkq2v3ca --body request.json --explain\n  yumen sign --verify --body request.json --header 'X-API-Key: …' --header 'X-Timestamp: …' --header 'X-Nonce: …' --header 'X-Signature: …'"
    )]
    Sign(Box<Sign>),
    /// The log of who changed what.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Care for the database, whether or not a server runs.
    #[command(subcommand)]
    Db(DbCommand),
    /// Print what a shell needs to complete commands.
    #[command(after_help = "Example:\n  yumen completions bash > /etc/bash_completion.d/yumen")]
    Completions {
        /// For which shell.
        shell: Shell,
    },
    /// Print the version.
    #[command(after_help = "Example:\n  yumen version --json")]
    Version,
}

/// Flags of `serve`.
#[derive(Args, Default)]
pub struct Serve {
    /// Configuration file; without it, yumen.toml when there is one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Add a simulated provider, a ready key, and commands to copy.
    #[arg(long)]
    pub demo: bool,
    /// Print one line of JSON once listening, instead of the banner.
    #[arg(long)]
    pub ready_json: bool,
    /// Address and port to listen on; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Directory for keys and databases.
    #[arg(long, value_name = "DIRECTORY")]
    pub data: Option<String>,
    /// What this process is; this version knows only a gateway that does everything.
    #[arg(long, value_enum, default_value_t)]
    pub role: Role,
}

impl Serve {
    /// The settings given as flags.
    #[must_use]
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let given = [("listen", &self.listen), ("data", &self.data)];
        given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

/// What a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Everything in one process.
    #[default]
    All,
}

/// What to do with the configuration.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Check file, .env and environment, and show what is set and where.
    #[command(after_help = settings_help())]
    Check {
        /// Configuration file; without it, yumen.toml when there is one.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// What to do with the audit log.
#[derive(Subcommand)]
pub enum AuditCommand {
    /// Say whether the log is as it was written; works beside a running server.
    #[command(after_help = "Example:\n  yumen audit verify --data /var/lib/yumen")]
    Verify {
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
}

/// Where a command finds the data.
#[derive(Args, Clone, Default)]
pub struct Place {
    /// Configuration file; without it, yumen.toml when there is one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data directory; without it, as `serve` would take it.
    #[arg(long, value_name = "DIRECTORY")]
    pub data: Option<String>,
}

/// By which way a command administers: the data directory, whether or not a server runs on it, or an address.
#[derive(Args, Clone, Default)]
pub struct Reach {
    /// Where the data is.
    #[command(flatten)]
    pub place: Place,
    /// The address of a server to ask instead, with ADMIN_TOKEN or as the flags below say.
    #[arg(long, value_name = "URL", env = "YUMEN_URL")]
    pub url: Option<String>,
    /// A file with an access token or ADMIN_TOKEN; - is standard input.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Do it as this person, who signs in, and with their rights.
    #[arg(long = "as", value_name = "EMAIL")]
    pub sign_in_as: Option<String>,
    /// A file with their password; - is standard input.
    #[arg(long, value_name = "FILE", requires = "sign_in_as")]
    pub password_file: Option<PathBuf>,
    /// A code of their authenticator app, or a recovery code, if they have a second factor.
    #[arg(long, value_name = "CODE", requires = "sign_in_as")]
    pub totp_code: Option<String>,
}

/// What to do with the database.
#[derive(Subcommand)]
pub enum DbCommand {
    /// Look whether the database is whole, and how large it is by what.
    #[command(after_help = "Example:\n  yumen db check --json")]
    Check {
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
    /// Copy database and journal as they stand, also while a server runs.
    #[command(after_help = "Example:\n  yumen db backup /var/backups/yumen-monday")]
    Backup {
        /// A new directory, or a new file ending in .db for the main database alone; without it, one named by
        /// the time below data/backups.
        target: Option<PathBuf>,
        /// Put the keys into the backup too; then whoever has it can read every credential.
        #[arg(long)]
        with_keys: bool,
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
    /// Put a backup in place of the data, which is moved aside; no server may run.
    #[command(after_help = "Example:\n  yumen db restore /var/backups/yumen-monday")]
    Restore {
        /// What `db backup` made.
        backup: PathBuf,
        /// Where the data is to be.
        #[command(flatten)]
        place: Place,
    },
    /// Give the room of deleted rows back to the disk.
    #[command(after_help = "Example:\n  yumen db vacuum")]
    Vacuum {
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
    /// Bring the schema up to this version without starting; `serve` does so by itself.
    #[command(after_help = "Example:\n  yumen db migrate")]
    Migrate {
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
    /// Write the tables as JSON lines or CSV, without secrets.
    #[command(after_help = "Example:\n  yumen db export --into export --format csv --table usage_daily")]
    Export {
        /// A directory for a file a table.
        #[arg(long, value_name = "DIRECTORY")]
        into: PathBuf,
        /// The form of the files.
        #[arg(long, value_enum, default_value_t)]
        format: ExportFormat,
        /// Only this table; give it again for more.
        #[arg(long = "table", value_name = "TABLE")]
        tables: Vec<String>,
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
    /// Get what can be read of a damaged database file into a new one.
    #[command(after_help = "Example:\n  yumen db salvage data/yumen.db --into salvaged.db")]
    Salvage {
        /// The damaged file, which is left as it is.
        file: PathBuf,
        /// The new file; without it, FILE.salvaged.
        #[arg(long, value_name = "FILE")]
        into: Option<PathBuf>,
        /// Which database it was, when its name does not begin with `requests`.
        #[arg(long)]
        requests: bool,
    },
}

/// The form of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// Comma-separated values with a heading.
    Csv,
}

/// A shell that completes commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// Every setting with its names, below the help of `config check`.
fn settings_help() -> String {
    let mut help = "Example:\n  yumen config check --config yumen.toml\n\nSettings, in the file and in the environment:\n".to_owned();
    for setting in SETTINGS {
        let plain = setting.plain.iter().map(|name| format!(", {name}")).collect::<String>();
        help += &format!("  {}: {} ({}{plain})\n", setting.name, setting.about, setting.variable());
    }
    help
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            if !command.has_subcommands() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.starts_with("Example"), "{}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        Cli::command().debug_assert();
        check(&Cli::command());
    }

    #[test]
    fn serve_gives_its_flags_as_settings() {
        let cli =
            Cli::try_parse_from(["yumen", "serve", "--demo", "--listen", "127.0.0.1:0", "--data", "d"]).ok();
        let Some(Command::Serve(serve)) = cli.map(|cli| cli.command) else { panic!("serve is a command") };
        assert_eq!(serve.settings(), [("listen", "127.0.0.1:0".to_owned()), ("data", "d".to_owned())]);
        assert!(serve.demo && !serve.ready_json && serve.role == Role::All);
    }

    #[test]
    fn bad_usage_exits_with_two() {
        for arguments in [
            &["yumen"][..],
            &["yumen", "serve", "--role", "gateway"],
            &["yumen", "sing"],
            // Whose password it is has to be said; `user create` takes the new user's by --password-from.
            &["yumen", "key", "list", "--password-file", "pw"],
            &["yumen", "key", "list", "--totp-code", "123456"],
        ] {
            let error = Cli::try_parse_from(arguments).err().expect("bad usage");
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
    }
}
