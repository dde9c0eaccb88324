//! Refuses a request whose body has not been read, without losing the refusal.
//!
//! A socket that is closed with unread data resets the connection, and the caller never sees why. So
//! what is still coming is read and thrown away, up to 1 MiB or 2 s (access contract, §7).

use std::time::Duration;

use http::request::Parts;
use http::{Request, Response, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use model::Rejection;

use crate::answer;
use crate::body::Outgoing;
use crate::exchange::Exchange;

const LINGER_BYTES: usize = 1 << 20;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Refuses a request as it came, its body unread.
pub(crate) fn refuse(
    exchange: Exchange,
    rejection: &Rejection,
    request: Request<Incoming>,
) -> Response<Outgoing> {
    let (head, body) = request.into_parts();
    drain(&head, Some(body));
    answer::refuse(exchange, rejection)
}

/// Reads and discards what is still coming of a body, beside the answer.
pub(crate) fn drain(head: &Parts, unread: Option<Incoming>) {
    let Some(body) = unread else { return };
    // A caller that waits for `100 Continue` has sent nothing yet, and now will not.
    if body.is_end_stream() || head.headers.contains_key(header::EXPECT) {
        return;
    }
    tokio::task::spawn_local(discard(body));
}

async fn discard(mut body: Incoming) {
    let reading = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, bytes::Bytes::len);
            if seen > LINGER_BYTES {
                break;
            }
        }
    };
    // Either way the rest is dropped, and hyper closes the connection.
    let _ = tokio::time::timeout(LINGER_TIME, reading).await;
}
