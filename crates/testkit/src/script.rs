//! What an upstream does with a request, step by step.

use std::time::Duration;

use bytes::Bytes;

/// One thing that an upstream does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends bytes in one write.
    Send(Bytes),
    /// Lets time pass.
    Wait(Duration),
    /// Sends bytes one at a time.
    Drip {
        /// What.
        bytes: Bytes,
        /// The pause after each byte.
        every: Duration,
    },
    /// Sends the same bytes until the caller leaves.
    Repeat {
        /// What.
        bytes: Bytes,
        /// The pause after each time.
        every: Duration,
    },
    /// Does nothing until the caller leaves.
    Hold,
    /// Waits until the test opens the gate beyond this number.
    Gate(u64),
    /// Closes the connection in good order.
    Close,
    /// Resets the connection.
    Reset,
}

/// The steps of one answer. A script without [`Step::Close`] or [`Step::Reset`] leaves the connection
/// open for the next request.
#[derive(Clone, Debug, Default)]
pub struct Script(Vec<Step>);

impl Script {
    /// A script without steps.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends bytes.
    #[must_use]
    pub fn send(self, bytes: impl Into<Bytes>) -> Self {
        self.then(Step::Send(bytes.into()))
    }

    /// Sends bytes as one chunk of a chunked body.
    #[must_use]
    pub fn chunk(self, bytes: impl AsRef<[u8]>) -> Self {
        self.send(chunk(bytes.as_ref()))
    }

    /// Ends a chunked body.
    #[must_use]
    pub fn last_chunk(self) -> Self {
        self.send(&b"0\r\n\r\n"[..])
    }

    /// Lets milliseconds pass.
    #[must_use]
    pub fn wait_ms(self, ms: u64) -> Self {
        self.then(Step::Wait(Duration::from_millis(ms)))
    }

    /// Waits until the test opens the gate beyond `number`.
    #[must_use]
    pub fn gate(self, number: u64) -> Self {
        self.then(Step::Gate(number))
    }

    /// Does nothing until the caller leaves.
    #[must_use]
    pub fn hold(self) -> Self {
        self.then(Step::Hold)
    }

    /// Closes the connection in good order.
    #[must_use]
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Resets the connection. What was sent is given time to arrive, because a reset overtakes it.
    #[must_use]
    pub fn reset(self) -> Self {
        self.wait_ms(50).then(Step::Reset)
    }

    /// Any other step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// The steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

/// Bytes framed as one chunk.
#[must_use]
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    framed
}
