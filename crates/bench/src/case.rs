//! THE list of cases: what is asked of each target, and for how long.

use std::time::Duration;

use crate::payload::Behaviour;

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The name on the command line and in the report.
    pub name: &'static str,
    /// What happens.
    pub kind: Kind,
}

/// What happens in a case.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Process start to the first whole answer.
    Start,
    /// Streams that are opened and then stay silent, and the memory they take.
    Hold {
        /// How many.
        streams: usize,
    },
    /// Callers that send their next request as soon as they have their answer.
    Closed {
        /// How many.
        connections: usize,
        /// What the upstream does.
        behaviour: Behaviour,
        /// About how long the request body is, in bytes.
        size: usize,
        /// How long is measured.
        window: Duration,
    },
    /// The closed loop again, with every request signed (hmac-v1) with a nonce of its own; gateway only.
    Signed {
        /// How many callers.
        connections: usize,
        /// About how long the request body is, in bytes.
        size: usize,
        /// How long is measured.
        window: Duration,
    },
    /// Requests at a fixed rate, whatever the answers do.
    Open {
        /// Requests a second.
        rate: u32,
        /// How long is measured.
        window: Duration,
    },
    /// The closed loop of small requests again, with every intent on the disk before its upstream is called.
    Durable {
        /// How many callers.
        connections: usize,
        /// How long is measured.
        window: Duration,
    },
    /// How evenly few connections load the workers.
    Balance {
        /// How many connections.
        connections: usize,
    },
    /// Memory with the keys loaded and nothing to do, and again after the other cases.
    Memory,
}

const SMALL: usize = 1_200;

/// Every case, in the order in which they run: memory is measured before load has touched it.
pub const CASES: &[Case] = &[
    Case { name: "start", kind: Kind::Start },
    Case { name: "hold2000", kind: Kind::Hold { streams: 2_000 } },
    closed("c1k", 64, Behaviour::Unary, SMALL, 4),
    Case { name: "power", kind: Kind::Durable { connections: 64, window: Duration::from_secs(4) } },
    closed("l60", 64, Behaviour::Late, SMALL, 5),
    closed("c100k", 16, Behaviour::Unary, 100_000, 4),
    Case {
        name: "c100k-signed",
        kind: Kind::Signed { connections: 16, size: 100_000, window: Duration::from_secs(4) },
    },
    closed("sse-paced", 40, Behaviour::Paced, SMALL, 6),
    closed("sse-burst", 8, Behaviour::Burst, SMALL, 4),
    closed("translated-paced", 40, Behaviour::MessagesPaced, SMALL, 6),
    closed("translated-burst", 8, Behaviour::MessagesBurst, SMALL, 4),
    Case { name: "open200", kind: Kind::Open { rate: 200, window: Duration::from_secs(8) } },
    Case { name: "balance-c2", kind: Kind::Balance { connections: 2 } },
    Case { name: "balance-c8", kind: Kind::Balance { connections: 8 } },
    Case { name: "memory", kind: Kind::Memory },
];

const fn closed(
    name: &'static str,
    connections: usize,
    behaviour: Behaviour,
    size: usize,
    seconds: u64,
) -> Case {
    let window = Duration::from_secs(seconds);
    Case { name, kind: Kind::Closed { connections, behaviour, size, window } }
}

/// The cases whose names contain one of the words, or all.
#[must_use]
pub fn chosen(words: &[String]) -> Vec<Case> {
    let wanted =
        |case: &&Case| words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str()));
    CASES.iter().filter(wanted).copied().collect()
}
