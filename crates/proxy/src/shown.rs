//! What a caller is shown of a failure, by their channel: third parties nothing of the upstream.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;
use model::{Blame, Code, Rejection, Secret};

use crate::exchange::Exchange;
use crate::withhold::withheld_bytes;

/// Headers of an upstream's answer that a third party gets.
const UNMASKED: [&str; 3] = ["content-type", "content-length", "retry-after"];

impl Exchange {
    /// The rejection as this caller may see it.
    pub fn shown<'a>(&self, rejection: &'a Rejection) -> Cow<'a, Rejection> {
        if self.channel.rules().masks_upstream && is_about_upstream(rejection) {
            return Cow::Owned(masked(rejection));
        }
        Cow::Borrowed(rejection)
    }

    /// Whether errors of upstreams are told in the gateway's own envelope and never as they came.
    pub fn tells_errors_itself(&self) -> bool {
        self.channel.rules().native_errors
    }

    /// A piece of the answer with the model's name as it was asked for, where that is owed.
    pub fn echoed(&mut self, piece: Bytes) -> Bytes {
        match &mut self.echo {
            Some(echo) => echo.push(&piece),
            None => piece,
        }
    }

    /// A piece of the answer without the credential of the account, once the upstream has said in it what went wrong.
    /// What was generated is never looked through: the credential was not in what the model was asked.
    pub fn guarded(&self, piece: Bytes) -> Bytes {
        if self.scanner.as_ref().is_some_and(|scanner| scanner.failure().is_some()) {
            return withheld_bytes(piece, self.credential());
        }
        piece
    }

    /// The credential of the account in use.
    pub fn credential(&self) -> Option<&Secret<String>> {
        self.offer()?.upstream.account.credential.as_ref()
    }

    /// Takes out of an answer's head what this caller may not see.
    pub fn mask(&self, headers: &mut HeaderMap) {
        if !self.channel.rules().masks_upstream {
            return;
        }
        let names: Vec<_> =
            headers.keys().filter(|name| !UNMASKED.contains(&name.as_str())).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

fn is_about_upstream(rejection: &Rejection) -> bool {
    rejection.blame == Blame::Upstream
        || rejection.upstream_status.is_some()
        || matches!(rejection.code, Code::NoAvailableUpstream | Code::UnsupportedFeature | Code::NotSupported)
}

/// The same code and times, in words that name nobody.
fn masked(rejection: &Rejection) -> Rejection {
    Rejection {
        retry_after: rejection.retry_after,
        resets_at: rejection.resets_at,
        blame: rejection.blame,
        param: rejection.param.clone(),
        ..Rejection::new(rejection.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_upstream_is_left() {
        let mut rejection =
            Rejection::because(Code::InvalidRequest, "The upstream answered 400: secret").caused_by("x");
        rejection.upstream_status = Some(400);
        rejection.upstream_code = Some("theirs".into());
        rejection.retry_after = Some(7);
        assert!(is_about_upstream(&rejection));
        let shown = masked(&rejection);
        assert_eq!(shown.message, Code::InvalidRequest.info().message);
        assert_eq!((shown.upstream_status, shown.upstream_code, shown.cause), (None, None, None));
        assert_eq!((shown.code, shown.retry_after), (Code::InvalidRequest, Some(7)));
        assert!(!is_about_upstream(&Rejection::new(Code::RateLimitRpm)));
    }
}
