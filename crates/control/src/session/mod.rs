//! Who is signed in: passwords, access tokens, refresh tokens, and the throttle before them.
//!
//! Nothing here knows a route; the endpoints are in `api/auth`.

pub mod administrator;
pub mod holder;
pub mod jwt_keys;
pub(crate) mod key_files;
pub mod password;
pub mod throttle;
pub mod totp;

pub use holder::Holder;
pub use jwt_keys::{Claims, JwtAlgorithm, JwtKeys, JwtKeysError, KeySource, TokenFault};
pub use password::{PasswordFault, Passwords};
pub use throttle::LoginThrottle;

/// How long an access token lasts, in seconds (access.md §3: 15 minutes).
pub const ACCESS_TOKEN_SECONDS: u64 = 15 * 60;
/// How long a refresh token can be used, in milliseconds (access.md §3: 30 days).
pub const REFRESH_TOKEN_MS: u64 = 30 * 24 * 3_600 * 1_000;
