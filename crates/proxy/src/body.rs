//! The body of an answer to a caller: ready at once, relayed from an upstream, or from the control plane.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::control_plane::ControlBody;
use crate::relay::Relay;

/// What hyper writes to a caller.
pub enum Outgoing {
    /// All of it is here.
    Ready(Option<Bytes>),
    /// It comes from an upstream.
    Relayed(Box<Relay>),
    /// It comes from the control plane.
    Control(Box<ControlBody>),
}

/// The answer was cut off: hyper closes the connection without ending the body.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off: {0}")]
pub struct CutOff(pub String);

impl Outgoing {
    /// A body that is all here.
    pub fn ready(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Ready((!bytes.is_empty()).then_some(bytes))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match self.get_mut() {
            Self::Ready(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Relayed(relay) => relay.poll_bytes(cx).map(|next| next.map(|r| r.map(Frame::data))),
            Self::Control(body) => Pin::new(body.as_mut())
                .poll_frame(cx)
                .map(|next| next.map(|frame| frame.map_err(|error| CutOff(error.to_string())))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Ready(bytes) => bytes.is_none(),
            // The relay must be polled to its end: that is where the exchange is settled.
            Self::Relayed(_) => false,
            Self::Control(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ready(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Relayed(_) => SizeHint::default(),
            Self::Control(body) => body.size_hint(),
        }
    }
}
