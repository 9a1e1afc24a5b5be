//! The ServiceAccount of an authenticated token, and the pod that the token is bound to. Pure.

use crate::cluster::object_name::is_object_name;
use crate::cluster::token_review::User;
use crate::model::caller::{Pod, ServiceAccount, Workload};

const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// The workload that a token belongs to: its ServiceAccount and the pod that it is bound to. `None` for users that are not
/// `ServiceAccounts`, and for tokens that are not bound to exactly one pod.
pub fn workload(user: &User) -> Option<Workload> {
    let ServiceAccount { namespace, name: service_account } = service_account(&user.username)?;
    let (name, uid) = (single_value(user, POD_NAME)?, single_value(user, POD_UID)?);
    if !is_object_name(name) || uid.is_empty() {
        return None;
    }
    Some(Workload { namespace, service_account, pod: Pod { name: name.to_owned(), uid: uid.to_owned() } })
}

/// The ServiceAccount of a username. `None` for users that are not `ServiceAccounts`.
pub fn service_account(username: &str) -> Option<ServiceAccount> {
    let (namespace, name) = username.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    if !is_object_name(namespace) || !is_object_name(name) {
        return None;
    }
    Some(ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() })
}

/// Whether the review of the token names a pod, completely or only by its name or UID.
pub fn names_a_pod(user: &User) -> bool {
    user.extra.contains_key(POD_NAME) || user.extra.contains_key(POD_UID)
}

fn single_value<'a>(user: &'a User, key: &str) -> Option<&'a str> {
    match user.extra.get(key).map(Vec::as_slice) {
        Some([value]) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn user(username: &str, extra: &[(&str, &[&str])]) -> User {
        let extra: BTreeMap<_, _> = extra
            .iter()
            .map(|(key, values)| ((*key).to_owned(), values.iter().map(|value| (*value).to_owned()).collect()))
            .collect();
        User { username: username.into(), extra, ..User::default() }
    }

    fn expected() -> Workload {
        Workload {
            namespace: "ci".into(),
            service_account: "build-bot".into(),
            pod: Pod { name: "build-1".into(), uid: "1-2-3".into() },
        }
    }

    const BOUND: [(&str, &[&str]); 2] = [(POD_NAME, &["build-1"]), (POD_UID, &["1-2-3"])];

    #[test]
    fn a_service_account_with_one_pod_is_a_workload() {
        let with_node = [&BOUND[..], &[("authentication.kubernetes.io/node-name", &["n"])]].concat();
        assert_eq!(workload(&user("system:serviceaccount:ci:build-bot", &BOUND)), Some(expected()));
        assert_eq!(workload(&user("system:serviceaccount:ci:build-bot", &with_node)), Some(expected()));
    }

    #[test]
    fn a_service_account_has_a_namespace_and_a_name() {
        let expected = ServiceAccount { namespace: "ci".into(), name: "build-bot".into() };
        assert_eq!(service_account("system:serviceaccount:ci:build-bot"), Some(expected));
    }

    #[test]
    fn other_users_and_incomplete_pods_are_refused() {
        for name in [
            "",
            "admin",
            "system:serviceaccount:",
            "system:serviceaccount:ci",
            "system:serviceaccount:ci:",
            "system:serviceaccount::build-bot",
            "system:serviceaccount:ci:build-bot:more",
            "system:serviceaccounts:ci:build-bot",
            "x:system:serviceaccount:ci:build-bot",
            "System:serviceaccount:ci:build-bot",
            "system:serviceaccount:ci:build/bot",
            "system:serviceaccount:../x:build-bot",
        ] {
            assert_eq!(workload(&user(name, &BOUND)), None, "{name:?}");
            assert_eq!(service_account(name), None, "{name:?}");
        }
        let incomplete: [&[(&str, &[&str])]; 8] = [
            &[],
            &[(POD_NAME, &["build-1"])],
            &[(POD_UID, &["1-2-3"])],
            &[(POD_NAME, &["build-1"]), (POD_UID, &[])],
            &[(POD_NAME, &["build-1", "build-2"]), (POD_UID, &["1-2-3"])],
            &[(POD_NAME, &["build-1"]), (POD_UID, &["1-2-3", "4-5-6"])],
            &[(POD_NAME, &["build-1"]), (POD_UID, &[""])],
            &[(POD_NAME, &["../secrets/x"]), (POD_UID, &["1-2-3"])],
        ];
        for extra in incomplete {
            assert_eq!(workload(&user("system:serviceaccount:ci:build-bot", extra)), None, "{extra:?}");
        }
    }
}
