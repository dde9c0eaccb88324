//! `config check`: reads the configuration as `serve` would, and says what is set and where.

use serde_json::json;

use super::load;
use crate::cli::ConfigCommand;
use crate::config::{Given, Loaded, SETTINGS};
use crate::problem::Problem;
use crate::startup;

/// Runs the command.
///
/// # Errors
/// What is wrong with the configuration.
pub fn run(command: &ConfigCommand, as_json: bool) -> Result<String, Vec<Problem>> {
    let ConfigCommand::Check { config } = command;
    let loaded = load(config.as_deref(), Vec::new())?;
    startup::check_exposure(&loaded.settings).map_err(|problem| vec![problem])?;
    Ok(if as_json { in_json(&loaded) } else { in_words(&loaded) })
}

fn in_words(loaded: &Loaded) -> String {
    let mut lines = vec!["The configuration can be used.".to_owned()];
    lines.extend(
        loaded.given.iter().map(|given| format!("  {} = {} ({})", given.name, shown(given), given.place)),
    );
    lines.extend(loaded.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}

fn in_json(loaded: &Loaded) -> String {
    let settings: Vec<_> = loaded
        .given
        .iter()
        .map(|given| json!({"name": given.name, "value": shown(given), "place": given.place}))
        .collect();
    json!({"ok": true, "settings": settings, "warnings": loaded.warnings}).to_string()
}

/// The value, unless it is a secret.
fn shown(given: &Given) -> &str {
    let is_secret = SETTINGS.iter().any(|setting| setting.name == given.name && setting.secret);
    if is_secret { "(secret)" } else { given.text.expose() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    #[test]
    fn shows_what_is_set_but_no_secret() {
        let variables = [
            ("ADMIN_TOKEN", "planted-0123456789abcdef0123456789abcdef"),
            ("METRICS_TOKEN", "planted-0123456789abcdef"),
            ("ENCRYPTION_KEY", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
            ("PORT", "9000"),
        ];
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let inputs = Inputs { environment, ..Inputs::default() };
        let Ok(loaded) = inputs.load() else { panic!("the variables are good") };
        for shown in [in_words(&loaded), in_json(&loaded)] {
            assert!(
                shown.contains("9000") && shown.contains("environment variable ENCRYPTION_KEY"),
                "{shown}"
            );
            assert!(!shown.contains("planted") && !shown.contains("00112233"), "{shown}");
        }
    }
}
