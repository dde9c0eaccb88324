//! The steps of a call, in their order, by the names under which a status stream reports them.

use serde::Serialize;

/// One step.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    /// Its name.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    /// Whether a status stream has an event for it.
    pub reported: bool,
}

/// Every step that a call goes through; `request` reads the same.
const STEPS: [Step; 12] = [
    step("receive", "the head is read and checked against its limits", false),
    step("authenticate", "the credential is found and checked for this channel", false),
    step("capacity", "room is made beside all other requests, before the body is read", false),
    step("read", "the body is read and looked at", true),
    step("model", "the model is found among those that the caller may use", true),
    step("limits", "limits of all levels are checked and taken from, in one step", true),
    step("idempotency", "a request that is repeated waits for the answer of the first", false),
    step("hold", "what it may use is held of quotas and wallets", true),
    step("route", "an account is chosen, or waited for", true),
    step("call", "the account is called; after a refusal the next one is", true),
    step("relay", "the answer is relayed as it comes", true),
    step("settle", "what was used is settled and recorded", true),
];

const fn step(name: &'static str, about: &'static str, reported: bool) -> Step {
    Step { name, about, reported }
}

/// The steps as the internal channel lists them.
#[derive(Serialize)]
pub(crate) struct Registry {
    object: &'static str,
    data: &'static [Step],
}

/// Every step, in order.
pub(crate) fn registry() -> Registry {
    Registry { object: "list", data: &STEPS }
}
