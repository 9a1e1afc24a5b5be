//! Checks stores: whether they are in service, whether they accept the broker's credentials, what their ACLs allow, and their
//! clocks.

use super::clocks;
use crate::model::clock::{Clock as _, SystemClock};
use crate::policy::{Access, GrantedPath, Policy};
use crate::stores::{OnlineError, ReadError, Stores};
use crate::wire::doctor::DoctorCheck;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Maximum number of paths that are checked in one store. The number of further paths is reported.
const MAX_PATHS: usize = 1000;

pub async fn check(stores: &Stores, policies: &[Arc<Policy>]) -> Vec<DoctorCheck> {
    let mut checks = Vec::new();
    for (store, result) in stores.check_online().await {
        let name = format!("store {store}: login");
        match result {
            Ok(()) => checks.push(DoctorCheck::passed(name, "it serves, and accepts the credentials")),
            Err(fault) => {
                checks.push(DoctorCheck::failed(name, fault.to_string(), advice(fault)));
                continue;
            }
        }
        if let Some(reading) = stores.server_time_of(&store).await {
            let store_time = Timestamp::from_second(reading.seconds).unwrap_or_default();
            let offset = store_time.duration_since(SystemClock.now());
            // The time is in whole seconds.
            let uncertainty = reading.round_trip.saturating_add(std::time::Duration::from_secs(1));
            checks.push(clocks::check(format!("store {store}: clock"), offset, uncertainty));
        }
        checks.extend(check_rights(stores, &store, policies).await);
    }
    checks
}

/// Checks whether the ACL lets the broker read or write the paths that the policies grant. `x` stands for each placeholder.
async fn check_rights(stores: &Stores, store: &str, policies: &[Arc<Policy>]) -> Vec<DoctorCheck> {
    // The names of the policies that grant a path, by path and whether it is written.
    let mut granted: BTreeMap<(String, bool), Vec<&str>> = BTreeMap::new();
    for policy in policies {
        for path in policy.paths().into_iter().filter(|path| *path.store == *store) {
            let names = granted.entry((GrantedPath::example(&path.parts), path.access == Access::Write)).or_default();
            if names.last() != Some(&&**policy.name()) {
                names.push(policy.name());
            }
        }
    }
    let paths: Vec<(String, bool)> = granted.keys().take(MAX_PATHS).cloned().collect();
    if paths.is_empty() {
        return Vec::new();
    }
    let Some(results) = stores.may_use(store, &paths).await else { return Vec::new() };
    let (mut checks, mut allowed) = (Vec::new(), 0);
    for ((path, writes), result) in paths.iter().zip(results) {
        let verb = if *writes { "write" } else { "read" };
        let policies = granted.get(&(path.clone(), *writes)).map(|names| names.join(", ")).unwrap_or_default();
        let name = format!("store {store}: {verb} {path}");
        let acl_advice =
            format!("give the role of the broker the ACL that `claviger vault-policy --store {store}` prints");
        match result {
            Ok(true) => allowed += 1,
            Ok(false) => {
                checks.push(DoctorCheck::failed(
                    name,
                    format!("the ACL does not allow it (policy {policies})"),
                    acl_advice,
                ));
            }
            Err(ReadError::Forbidden) => {
                let detail = format!(
                    "the ACL gives no right on the mount, or does not allow sys/capabilities-self (policy {policies})"
                );
                checks.push(DoctorCheck::failed(name, detail, acl_advice));
            }
            Err(ReadError::Misconfigured) => {
                let advice = "mount a secrets engine there, or correct the path of the policy";
                checks.push(DoctorCheck::failed(
                    name,
                    format!("the store has no such mount (policy {policies})"),
                    advice,
                ));
            }
            Err(error) => {
                checks.push(DoctorCheck::failed(name, error.to_string(), "try again, and see the log of the store"));
            }
        }
    }
    if allowed > 0 {
        checks.insert(
            0,
            DoctorCheck::passed(format!("store {store}: ACL"), describe_allowed(allowed, paths.len(), granted.len())),
        );
    }
    checks
}

/// The result of the checks for people: how many of the checked paths are allowed, and how many paths were not checked.
fn describe_allowed(allowed: usize, checked: usize, all: usize) -> String {
    let unchecked = if all > checked { format!("; {} more were not checked", all - checked) } else { String::new() };
    format!("allows {allowed} of {checked} paths{unchecked}")
}

const fn advice(fault: OnlineError) -> &'static str {
    match fault {
        OnlineError::Unconnected(_) => "correct the address, caFile or proxyUrl, or open the network to the store",
        OnlineError::TimedOut => "see whether the network lets the broker reach the store",
        OnlineError::Unavailable => "see the log of the store, and whether the address is that of a store",
        OnlineError::Uninitialised => "initialise the store",
        OnlineError::Sealed => "unseal the store",
        OnlineError::Refused => "correct the role, the token file or the credentials of the store's auth section",
        OnlineError::Misconfigured => "correct auth.mount, auth.role or namespace",
    }
}
