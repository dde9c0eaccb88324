//! `yumen completions SHELL`: one word list for each command, from the command line itself.

use clap::{Command, CommandFactory as _};

use crate::cli::{Cli, Shell};

/// The script for a shell.
#[must_use]
pub fn script(shell: Shell) -> String {
    let mut words = Vec::new();
    collect(&Cli::command(), String::new(), &mut words);
    match shell {
        Shell::Bash => bash(&words),
        Shell::Zsh => {
            format!("#compdef yumen\nautoload -U +X bashcompinit && bashcompinit\n{}", bash(&words))
        }
        Shell::Fish => fish(&words),
    }
}

/// What may follow a command: its path, and each word with what it is for.
struct Words {
    path: String,
    follow: Vec<(String, String)>,
}

fn collect(command: &Command, path: String, words: &mut Vec<Words>) {
    let about = |text: Option<&clap::builder::StyledStr>| {
        let text = text.map(ToString::to_string).unwrap_or_default();
        text.lines().next().unwrap_or_default().replace(['\'', '"', '\\'], "")
    };
    let commands = command.get_subcommands();
    let commands = commands.map(|command| (command.get_name().to_owned(), about(command.get_about())));
    let flags = command
        .get_arguments()
        .filter_map(|argument| Some((format!("--{}", argument.get_long()?), about(argument.get_help()))));
    words.push(Words { path: path.clone(), follow: commands.chain(flags).collect() });
    for command in command.get_subcommands() {
        let path = format!("{path} {}", command.get_name());
        collect(command, path.trim_start().to_owned(), words);
    }
}

fn bash(words: &[Words]) -> String {
    let cases = words.iter().map(|words| {
        let follow: Vec<&str> = words.follow.iter().map(|(word, _)| word.as_str()).collect();
        format!("        '{}') words='{}' ;;\n", words.path, follow.join(" "))
    });
    format!(
        "_yumen() {{\n    local word path='' words=''\n    \
         for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n        \
         case \"$word\" in -*) ;; *) path=\"${{path:+$path }}$word\" ;; esac\n    done\n    \
         case \"$path\" in\n{}        *) COMPREPLY=(); return ;;\n    esac\n    \
         COMPREPLY=($(compgen -W \"$words\" -- \"${{COMP_WORDS[COMP_CWORD]}}\"))\n}}\ncomplete -o default -F _yumen yumen",
        cases.collect::<String>()
    )
}

fn fish(words: &[Words]) -> String {
    let mut lines = vec!["complete -c yumen -f".to_owned()];
    for Words { path, follow } in words {
        let depth = path.split_whitespace().count();
        let seen = path.split_whitespace().map(|word| format!("; and __fish_seen_subcommand_from {word}"));
        let condition = match depth {
            0 => "__fish_use_subcommand".to_owned(),
            _ => seen.collect::<String>().trim_start_matches("; and ").to_owned(),
        };
        for (word, about) in follow {
            let word = match word.strip_prefix("--") {
                Some(flag) => format!("-l {flag}"),
                None => format!("-a {word}"),
            };
            lines.push(format!("complete -c yumen -n '{condition}' {word} -d '{about}'"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_told_of_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for word in ["serve", "key", "create", "rotate", "demo", "completions"] {
                assert!(script.contains(word), "{shell:?} {word}");
            }
        }
    }
}
