//! Panics as events of the log: one line each, and without the values that a message may quote.
//!
//! A panic ends the task that it comes from, not the process. Its message may hold anything the code had at hand, a
//! caller's text among it, so only its beginning is logged, up to where values begin.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

/// From now on panics are logged.
pub fn log_from_now_on() {
    std::panic::set_hook(Box::new(log));
}

fn log(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    let said = panic.payload_as_str().map(beginning).unwrap_or_default();
    tracing::error!(thread, said, "panicked at {location}");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::debug!(%backtrace, "the panic's backtrace");
    }
}

/// What a message says before it names a value: up to the first quotation mark or the first colon with a space. That
/// keeps the reasons of `expect` and what the standard library says of its own accord.
fn beginning(message: &str) -> &str {
    let quoted = message.find(['`', '\'', '"', '\n']);
    let end = [quoted, message.find(": ")].into_iter().flatten().min();
    &message[..end.unwrap_or(message.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_where_a_value_may_begin() {
        for (message, kept) in [
            ("the lock cannot be poisoned", "the lock cannot be poisoned"),
            ("it was checked: Invalid(\"sk-secret\")", "it was checked"),
            ("called `Result::unwrap()` on an `Err` value: \"sk-secret\"", "called "),
            (
                "byte index 1 is not a char boundary; it is inside 'é' of `sk-é`",
                "byte index 1 is not a char boundary; it is inside ",
            ),
            ("index out of bounds: the len is 3 but the index is 5", "index out of bounds"),
            ("assertion failed\nsk-secret", "assertion failed"),
            ("", ""),
        ] {
            assert_eq!(beginning(message), kept);
        }
    }
}
