//! How a group's requests are served, as bodies change it.

use model::resource::terms::{EchoModel, Serving};

use crate::answer::{Answer, Refusal};

/// What of it is given.
#[derive(Default)]
pub struct ServingChange {
    /// Whose name for the model answers carry.
    pub echo_model: Option<EchoModel>,
    /// Whether a request that may have been worked on goes on to another account.
    pub retry_executed: Option<bool>,
    /// How often a request goes on to another account.
    pub max_switches: Option<u8>,
}

impl ServingChange {
    /// Changes `serving` where something is given.
    ///
    /// # Errors
    /// `INVALID_REQUEST` at `max_switches` when it is too many.
    pub fn apply(self, serving: &mut Serving) -> Answer<()> {
        let max_switches = self.max_switches.unwrap_or(serving.max_switches);
        if max_switches > Serving::MOST_SWITCHES {
            let message = format!("`max_switches` must be 0 to {}.", Serving::MOST_SWITCHES);
            return Err(Refusal::invalid("max_switches", message));
        }
        *serving = Serving {
            echo_model: self.echo_model.unwrap_or(serving.echo_model),
            retry_executed: self.retry_executed.unwrap_or(serving.retry_executed),
            max_switches,
        };
        Ok(())
    }
}
