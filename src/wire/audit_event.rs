//! The JSON form of an audit event, which is hashed and stored. No field can hold a secret value. `audit_text` writes
//! the JSON; the tests compare it with what `serde` writes.

use std::net::IpAddr;
use std::sync::Arc;

/// An event without `hash`. Its JSON text is hashed, and [`append_hash`] appends the hash.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct AuditEvent<'a> {
    /// `<chain>.<seq>`.
    pub id: &'a str,
    /// RFC 3339, UTC, microseconds.
    pub time: &'a str,
    /// The chain; every start of a replica begins one.
    pub chain: &'a str,
    /// Position in the chain, from 1, without gaps.
    pub seq: i64,
    /// Hash of the previous event; for a chain's first event, the head of the previous chain, or zeros.
    pub prev_hash: &'a str,
    /// Event type, for example `ticket.issued`.
    #[cfg_attr(test, serde(rename = "type"))]
    pub kind: &'a str,
    /// `ok`, `denied` or `failed`.
    pub outcome: &'a str,
    /// Reason, from a closed set.
    pub reason: Option<&'a str>,
    /// Caller; for a redemption, the caller that requested the ticket.
    pub caller: Option<CallerView<'a>>,
    /// Source address of the request.
    pub source_ip: Option<IpAddr>,
    /// Repository, if it was valid.
    pub repo: Option<&'a str>,
    /// Branch, if it was valid.
    pub branch: Option<&'a str>,
    /// Names of the policies that decided.
    pub policies: &'a [Arc<str>],
    /// Names of the keys in the bundle.
    pub keys: &'a [String],
    /// Public id of the ticket.
    pub ticket_id: Option<&'a str>,
    /// Secrets that were read.
    pub secrets: Vec<SecretView<'a>>,
    /// Claviger's id of the request.
    pub request_id: Option<&'a str>,
    /// The caller's own id of the request, if it was valid.
    #[cfg_attr(test, serde(skip_serializing_if = "Option::is_none"))]
    pub client_request_id: Option<&'a str>,
    /// Trace id, if the request is traced.
    pub trace_id: Option<&'a str>,
    /// `vault` for a request to the Vault-compatible API.
    #[cfg_attr(test, serde(skip_serializing_if = "Option::is_none"))]
    pub via: Option<&'a str>,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Number of similar events that this one stands for, if they are aggregated.
    #[cfg_attr(test, serde(skip_serializing_if = "Option::is_none"))]
    pub count: Option<u64>,
    /// What policies in shadow mode would have changed. Left out if there are none, as in events that were written before shadow
    /// mode existed.
    #[cfg_attr(test, serde(skip_serializing_if = "Vec::is_empty"))]
    pub shadow: Vec<ShadowView<'a>>,
}

/// A policy in shadow mode that applies to the request.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct ShadowView<'a> {
    /// Name of the policy.
    pub policy: &'a str,
    /// `allow` or `deny`.
    pub effect: &'a str,
    /// True if the answer would have been another one with `mode: enforce`.
    pub would_change: bool,
}

/// The caller in an event.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct CallerView<'a> {
    /// Configured name of the authenticator.
    pub issuer: &'a str,
    /// `system:serviceaccount:NAMESPACE:NAME`, or the token's `sub`.
    pub subject: &'a str,
    /// The namespace; null for OIDC callers.
    pub namespace: Option<&'a str>,
    /// The ServiceAccount; null for OIDC callers.
    pub service_account: Option<&'a str>,
    /// The pod; null for OIDC callers.
    pub pod: Option<PodView<'a>>,
}

/// The pod in an event.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct PodView<'a> {
    /// Name of the pod.
    pub name: &'a str,
    /// Uid of the pod.
    pub uid: &'a str,
}

/// A secret in an audit event: its location and version, never its value.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct SecretView<'a> {
    /// Name of the store.
    pub store: &'a str,
    /// Path in the store.
    pub path: &'a str,
    /// Version, if the store has versions.
    pub version: Option<&'a str>,
}

/// Returns the complete event: the hashed text with `hash` as its last member.
#[must_use]
pub fn append_hash(hashed_text: &str, hash: &str) -> String {
    let members = hashed_text.strip_suffix('}').unwrap_or(hashed_text);
    format!("{members},\"hash\":\"{hash}\"}}")
}
