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

/// Maximum number of accesses (paths to read or write) that are checked in one store. The number of further ones is reported.
const MAX_ACCESSES: usize = 1000;

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

/// Checks whether the ACL lets the broker read or write the paths that the policies need. `x` stands for each wildcard.
async fn check_rights(stores: &Stores, store: &str, policies: &[Arc<Policy>]) -> Vec<DoctorCheck> {
    // Key: a path, and whether it is written (else read). Value: the names of the policies that grant this access.
    let mut granted: BTreeMap<(String, bool), Vec<&str>> = BTreeMap::new();
    for policy in policies {
        for path in policy.needed_paths().into_iter().filter(|path| *path.store == *store) {
            let names = granted.entry((GrantedPath::example(&path.parts), path.access == Access::Write)).or_default();
            if names.last() != Some(&&**policy.name()) {
                names.push(policy.name());
            }
        }
    }
    let accesses: Vec<(String, bool)> = granted.keys().take(MAX_ACCESSES).cloned().collect();
    if accesses.is_empty() {
        return Vec::new();
    }
    let Some(results) = stores.may_use(store, &accesses).await else { return Vec::new() };
    let (mut checks, mut allowed) = (Vec::new(), 0);
    for ((path, writes), result) in accesses.iter().zip(results) {
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
    if let Some(detail) = describe_allowed(allowed, accesses.len(), granted.len()) {
        let name = format!("store {store}: ACL");
        let advice = "correct the ACL or the policies, and check again";
        let summary =
            if allowed > 0 { DoctorCheck::passed(name, detail) } else { DoctorCheck::failed(name, detail, advice) };
        checks.insert(0, summary);
    }
    checks
}

/// A sentence with the number of allowed and of unchecked accesses. `None` if no access is allowed and all were checked: then
/// each access has a failed check.
fn describe_allowed(allowed: usize, checked: usize, all: usize) -> Option<String> {
    let unchecked = if all > checked { format!("; {} more were not checked", all - checked) } else { String::new() };
    (allowed > 0 || all > checked).then(|| format!("allows {allowed} of {checked} reads and writes{unchecked}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchecked_accesses_are_reported_even_if_none_is_allowed() {
        let described = |allowed, all| describe_allowed(allowed, 1000, all);
        assert_eq!(described(7, 1000).as_deref(), Some("allows 7 of 1000 reads and writes"));
        assert_eq!(described(7, 1002).as_deref(), Some("allows 7 of 1000 reads and writes; 2 more were not checked"));
        assert_eq!(described(0, 1002).as_deref(), Some("allows 0 of 1000 reads and writes; 2 more were not checked"));
        assert_eq!(described(0, 1000), None);
    }
}
