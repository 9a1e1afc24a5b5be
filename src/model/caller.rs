//! The authenticated identity of a client.

use std::sync::Arc;

/// The authenticated identity of a client. All fields are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The configured name of the authenticator.
    pub issuer: Arc<str>,
    /// The Kubernetes username, for a ServiceAccount `system:serviceaccount:NAMESPACE:NAME`. For OIDC callers the token's `sub`.
    pub subject: String,
    /// The groups from the TokenReview. Empty for OIDC callers.
    pub groups: Vec<String>,
    /// Namespace, ServiceAccount and pod. `None` for callers without a pod.
    pub workload: Option<Workload>,
    /// The ServiceAccount of a token that is not bound to a pod. `None` if `workload` is set, and for OIDC callers.
    pub unbound_account: Option<ServiceAccount>,
    /// The verified claims of an OIDC token. Empty for Kubernetes callers.
    pub claims: serde_json::Map<String, serde_json::Value>,
}

/// A pod in a cluster, running under a ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The pod's namespace.
    pub namespace: String,
    /// The name of the pod's ServiceAccount.
    pub service_account: String,
    /// The pod the token is bound to.
    pub pod: Pod,
}

/// A ServiceAccount of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// The pod a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`. A later pod can have the same name, but not the same uid.
    pub uid: String,
}

/// Identifies a caller across requests: by its pod; OIDC callers by issuer, subject and `jti`; a ServiceAccount without a pod by
/// issuer and subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The pod with this uid in the cluster of this authenticator.
    Pod {
        /// [`Caller::issuer`].
        issuer: Arc<str>,
        /// [`Pod::uid`].
        uid: String,
    },
    /// The bearer of one OIDC token, or a ServiceAccount without a pod.
    Token {
        /// [`Caller::issuer`].
        issuer: Arc<str>,
        /// [`Caller::subject`].
        subject: String,
        /// The token's `jti`, if it has one.
        jti: Option<String>,
    },
}

impl Caller {
    /// The caller that an audit event names. `account` is the namespace and name of its ServiceAccount. Groups and claims are
    /// empty, because events do not contain them.
    #[must_use]
    pub fn from_event(issuer: &str, subject: &str, account: Option<(String, String)>, pod: Option<Pod>) -> Self {
        let (workload, unbound_account) = match (account, pod) {
            (Some((namespace, service_account)), Some(pod)) => {
                (Some(Workload { namespace, service_account, pod }), None)
            }
            (Some((namespace, name)), None) => (None, Some(ServiceAccount { namespace, name })),
            (None, _) => (None, None),
        };
        let (issuer, subject) = (issuer.into(), subject.to_owned());
        Self { issuer, subject, groups: Vec::new(), workload, unbound_account, claims: serde_json::Map::new() }
    }

    /// Namespace and name of the ServiceAccount, with or without a pod. `None` for OIDC callers, and for Kubernetes
    /// users that are not admitted for builds.
    #[must_use]
    pub fn service_account(&self) -> Option<(&str, &str)> {
        match (&self.workload, &self.unbound_account) {
            (Some(workload), _) => Some((&workload.namespace, &workload.service_account)),
            (None, Some(account)) => Some((&account.namespace, &account.name)),
            (None, None) => None,
        }
    }

    /// The identity to which rate limits and the size limit of tickets in memory apply: [`Self::identity`] without `jti`, because a
    /// client can obtain any number of tokens for a subject, each with another `jti`.
    #[must_use]
    pub fn quota_identity(&self) -> Identity {
        match self.identity() {
            Identity::Token { issuer, subject, .. } => Identity::Token { issuer, subject, jti: None },
            pod @ Identity::Pod { .. } => pod,
        }
    }

    /// The identity by which later requests of this caller are recognised.
    #[must_use]
    pub fn identity(&self) -> Identity {
        match &self.workload {
            Some(workload) => Identity::Pod { issuer: self.issuer.clone(), uid: workload.pod.uid.clone() },
            None => Identity::Token {
                issuer: self.issuer.clone(),
                subject: self.subject.clone(),
                jti: self.claims.get("jti").and_then(|jti| jti.as_str()).map(str::to_owned),
            },
        }
    }
}
