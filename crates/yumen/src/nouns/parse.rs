//! The command line of the table of nouns.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, FromArgMatches, Subcommand};

use super::{Argument, Form, NOUNS, Noun, Verb};
use crate::cli::Reach;

/// A command over a noun, as it was typed.
pub struct NounCommand {
    pub(super) noun: &'static Noun,
    pub(super) verb: &'static Verb,
    pub(super) typed: ArgMatches,
    pub(super) reach: Reach,
}

impl Subcommand for NounCommand {
    fn augment_subcommands(command: Command) -> Command {
        command.subcommands(NOUNS.iter().map(noun))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        NOUNS.iter().any(|noun| noun.name == name)
    }
}

impl FromArgMatches for NounCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(ErrorKind::MissingSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        let noun = NOUNS.iter().find(|noun| noun.name == name).ok_or_else(missing)?;
        let (name, typed) = matches.subcommand().ok_or_else(missing)?;
        let verb = noun.verbs.iter().find(|verb| verb.name == name).ok_or_else(missing)?;
        let reach = Reach::from_arg_matches(typed)?;
        Ok(Self { noun, verb, typed: typed.clone(), reach })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn noun(noun: &'static Noun) -> Command {
    let verbs = noun.verbs.iter().map(|verb| {
        let command = Command::new(verb.name).args(verb.arguments.iter().map(argument));
        // The description of the shared flags would become the command's.
        Reach::augment_args(command)
            .about(verb.about)
            .long_about(None)
            .after_help(format!("Example:\n  yumen {}", verb.example))
    });
    Command::new(noun.name)
        .about(noun.about)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(verbs)
}

fn argument(argument: &Argument) -> Arg {
    let arg = Arg::new(argument.name).help(argument.about).required(argument.required);
    let arg = match argument.form {
        Form::List | Form::Models | Form::Quotas | Form::Fields => arg.action(ArgAction::Append),
        Form::Truth => arg.num_args(0..=1).default_missing_value("true").require_equals(true),
        // An amount or a limit may be negative, which would otherwise be taken for a flag.
        _ => arg.action(ArgAction::Set).allow_hyphen_values(true),
    };
    if argument.is_positional() {
        return arg.value_name(argument.name);
    }
    let value = match argument.form {
        Form::Whole | Form::Limit => "NUMBER",
        Form::SecretFile | Form::EncryptionKeyFile => "FILE",
        Form::Quotas => "QUOTA",
        Form::Fields => "FIELD=JSON",
        Form::Truth => "true|false",
        _ => "TEXT",
    };
    arg.long(argument.name).value_name(value)
}
