//! The promises about money, limits and crashes, each put to the proof on the built gateway.
//!
//! Ids are those of reliability.md. Each test ends by writing down what it proved; in the nightly tier
//! (`YUMEN_NIGHTLY=1`) the same tests run more and longer rounds.

mod agents;
mod crash;
mod dependencies;
mod failover;
mod failpoints;
mod floods;
mod ground;
mod idempotency;
mod idle;
mod leaving;
mod mixed;
mod odd_input;
mod outward;
mod overload;
mod quota;
mod refresh;
mod refusals;
mod slow;
mod soak;
mod streams;
mod usage_shapes;
mod wallet;

use anyhow::Result;
use serde_json::{Value, json};
use testkit::environment::nightly;
use testkit::http::Request;
use testkit::oracle::Oracle;
use testkit::surface::Surface;

use crate::stage::{IN_FORCE, Stage};

/// The administrator's token of gateways that are started several times on the same data.
const ADMIN_TOKEN: &str = "trust-0123456789abcdef0123456789abcdef";

/// The figure of the tier that runs.
fn tier<T>(commit: T, nightly_figure: T) -> T {
    if nightly() { nightly_figure } else { commit }
}

/// Descriptors that a gateway may keep from a scenario besides idle connections to upstreams: connections to its
/// databases are opened when they are first needed, two files each.
const KEPT_DESCRIPTORS: usize = 8;
/// What its caches and lists may have grown by, in KiB.
const GROWN_KB: u64 = 48 * 1024;

/// Waits until a gateway has given back what a scenario took: descriptors, but for `idle` connections to
/// upstreams, threads and memory.
async fn at_rest(oracle: &Oracle, stage: &Stage, idle: usize) -> Result<()> {
    oracle.resources_return(&stage.gateway, idle + KEPT_DESCRIPTORS, GROWN_KB).await.map(drop)
}

/// A key that only its quotas limit.
struct Payer {
    id: String,
    key: String,
}

impl Payer {
    async fn create(stage: &Stage, name: &str, terms: &Value) -> Result<Self> {
        let mut body = json!({
            "name": name,
            "rate_limit":
                {"rpm": null, "tpm": null, "rpd": null, "tpd": null, "concurrent": null, "burst": null},
        });
        for (field, value) in terms.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        let (id, key) = stage.admin.create_key(&body).await?;
        stage.gateway.offers(&key, &[], IN_FORCE).await?;
        Ok(Self { id, key })
    }

    /// A request in this key's name.
    fn request(&self, surface: &Surface, body: &Value) -> Request {
        Request::post(surface.path, body.to_string()).bearer(&self.key)
    }

    /// The filter that lists this key's entries.
    fn filter(&self) -> String {
        format!("key_id={}", self.id)
    }
}

/// One quota, as the administration API takes it.
fn quota(unit: &str, period: &str, limit: &Value) -> Value {
    json!({"quota": [{"unit": unit, "period": period, "limit": limit}]})
}
