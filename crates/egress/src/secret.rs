//! A credential that only its own origin can read.
//!
//! Holds and compares; it knows nothing of accounts, headers or connections.

use model::Secret;

use crate::origin::Origin;

/// A secret bound to the origin it was registered for: no configuration mistake and no redirect
/// can make it travel anywhere else.
#[derive(Clone)]
pub struct BoundSecret {
    origin: Origin,
    secret: Secret<String>,
}

impl BoundSecret {
    /// Binds `secret` to `origin`, for good.
    #[must_use]
    pub fn bind(origin: Origin, secret: Secret<String>) -> Self {
        Self { origin, secret }
    }

    /// The secret when `origin` is the one it was bound to, else `None`.
    #[must_use]
    pub fn for_origin(&self, origin: &Origin) -> Option<&str> {
        (self.origin == *origin).then(|| self.secret.expose().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwraps_only_for_its_own_origin() {
        let own = Origin::parse("https://api.example/v1").unwrap();
        let bound = BoundSecret::bind(own, Secret::new("key".to_owned()));
        for (url, readable) in [
            ("https://api.example", true),
            ("https://API.example.:443/v2", true),
            ("http://api.example:443", false),
            ("https://api.example:8443", false),
            ("https://api.example.evil", false),
            ("https://evil.example", false),
            ("demo://demo", false),
        ] {
            let origin = Origin::parse(url).unwrap();
            assert_eq!(bound.for_origin(&origin), readable.then_some("key"), "{url}");
        }
    }
}
