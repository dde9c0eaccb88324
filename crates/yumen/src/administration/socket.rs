//! Calls over the socket in the data directory of a running server.

use std::path::Path;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;

use super::read;
use crate::problem::Problem;
use crate::wiring::local_socket;

/// A connection to the server.
pub struct Socket(Mutex<SendRequest<Full<Bytes>>>);

impl Socket {
    /// Connects; `None` when no server listens there.
    pub async fn open(data: &Path) -> Option<Self> {
        let stream = egress::connect_local(&local_socket::folder(data), local_socket::NAME).await.ok()?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(Self(Mutex::new(sender)))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The server ended.
    pub async fn send(&self, mut request: Request<Bytes>) -> Result<(u16, Bytes), Problem> {
        request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("localhost"));
        let mut sender = self.0.lock().await;
        let gone = |error: hyper::Error| {
            Problem::new(
                "the running server did not answer",
                error.to_string(),
                "see its log, then try again",
            )
        };
        sender.ready().await.map_err(gone)?;
        read(sender.send_request(request.map(Full::new)).await.map_err(gone)?).await
    }
}
