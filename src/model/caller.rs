//! The authenticated workload.

use std::sync::Arc;

/// Who asks: what an authenticator vouches for, and nothing the caller merely says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The configured name of the authenticator that vouches for the caller.
    pub issuer: Arc<str>,
    /// `system:serviceaccount:NAMESPACE:NAME`, or the token's `sub`.
    pub subject: String,
    /// The groups the API server puts the caller in; empty for OIDC callers.
    pub groups: Vec<String>,
    /// Namespace, ServiceAccount and pod; OIDC callers have none.
    pub workload: Option<Workload>,
    /// The verified claims of an OIDC token; empty for Kubernetes callers.
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

/// The pod a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`: two pods may bear one name, one after the other, but never one uid.
    pub uid: String,
}

/// What makes two requests come from one and the same caller: the pod, or for OIDC callers issuer, subject and `jti`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The pod with this uid in the cluster of this authenticator.
    Pod {
        /// [`Caller::issuer`].
        issuer: Arc<str>,
        /// [`Pod::uid`].
        uid: String,
    },
    /// The bearer of one OIDC token.
    Token {
        /// [`Caller::issuer`].
        issuer: Arc<str>,
        /// [`Caller::subject`].
        subject: String,
        /// The token's `jti`, where it has one.
        jti: Option<String>,
    },
}

impl Caller {
    /// Whose requests are counted together: the pod's, or for OIDC callers those of one issuer and subject. Whoever can have
    /// tokens made for a subject can have any number of them, each with a `jti` of its own.
    #[must_use]
    pub fn account(&self) -> Identity {
        match self.identity() {
            Identity::Token { issuer, subject, .. } => Identity::Token { issuer, subject, jti: None },
            pod @ Identity::Pod { .. } => pod,
        }
    }

    /// The identity under which the caller is recognised later.
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
