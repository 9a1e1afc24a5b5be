//! Callers without a pod, and External Secrets Operator itself in front of Claviger.

mod deletion;
mod documented;
mod failures;
mod outage;
mod push_secret;
mod speed;
mod tokens;

use crate::rig::installation::InstallationSetup;
use serde_json::{Value, json};

/// The audience that admits tokens without a pod.
const UNBOUND: &str = "claviger-eso";

/// An installation that admits tokens without a pod, with short cache lifetimes.
async fn setup() -> InstallationSetup {
    let mut setup = InstallationSetup::new().await;
    setup.config["authenticators"][0]["kubernetes"]["unboundAudience"] = json!(UNBOUND);
    setup.cache(json!({"ttl": "0s", "negativeTtl": "0s", "serveStaleFor": "0s"}));
    setup
}

/// A subject of the namespace `ci`.
fn subject(bound: &str) -> Value {
    json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"], "bound": bound}}])
}
