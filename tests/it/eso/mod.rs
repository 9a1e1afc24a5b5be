//! Callers without a pod, and External Secrets Operator itself in front of Claviger.

mod deletion;
mod documented;
mod failures;
mod outage;
mod pushed;
mod speed;
mod tokens;

use crate::rig::installation::Plan;
use serde_json::{Value, json};

/// The audience that admits tokens without a pod.
const UNBOUND: &str = "claviger-eso";

/// An installation that admits tokens without a pod and keeps nothing for long.
async fn plan() -> Plan {
    let mut plan = Plan::new().await;
    plan.config["authenticators"][0]["kubernetes"]["unboundAudience"] = json!(UNBOUND);
    plan.cache(json!({"ttl": "0s", "negativeTtl": "0s", "serveStaleFor": "0s"}));
    plan
}

/// A subject of the namespace `ci`.
fn subject(bound: &str) -> Value {
    json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"], "bound": bound}}])
}
