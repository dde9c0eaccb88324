//! Calls over HTTP.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use egress::{Class, Egress, Origin, Pool, SystemResolver, Target, Timers};
use http::Request;

use super::read;
use crate::problem::Problem;

/// How long a command waits for a server: a backup or a rotation of many secrets takes its time.
const PATIENCE: Duration = Duration::from_mins(10);

/// A server somewhere.
pub struct Remote {
    pool: Rc<Pool>,
    target: Target,
}

impl Remote {
    /// Prepares calls to the server at `url`.
    ///
    /// # Errors
    /// It is not an address.
    pub fn open(url: &str) -> Result<Self, Problem> {
        let origin = Origin::parse(url).map_err(|error| {
            Problem::new(
                format!("{url} is not the address of a server"),
                error.to_string(),
                "write it like http://127.0.0.1:8787",
            )
        })?;
        // Who types the address of their own server may mean a private one.
        let target = Target::new(origin, Class::Backend, true);
        let pool = Pool::new(Arc::new(Egress::new(Arc::new(SystemResolver))));
        Ok(Self { pool, target })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn send(&self, request: Request<Bytes>) -> Result<(u16, Bytes), Problem> {
        let timers = Timers { first_byte: PATIENCE, idle: PATIENCE, ..Timers::standard() };
        let response = self.pool.send(&self.target, request, &timers).await.map_err(|error| {
            Problem::new(
                format!("cannot reach the server at {}", self.target.origin),
                error.to_string(),
                "check the address given with --url, and that the server runs",
            )
        })?;
        read(response).await
    }
}
