//! An audit event as it is written, hashed and read. Typed fields only: there is no place for a secret.

use serde::Serialize;

/// The hashed part of an event: everything but `hash`, which [`with_hash`] puts at the end.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent<'a> {
    /// `<chain>.<seq>`.
    pub id: &'a str,
    /// RFC 3339, UTC, microseconds.
    pub time: &'a str,
    /// The chain: one for every start of a replica.
    pub chain: &'a str,
    /// Counts from 1 without gaps.
    pub seq: i64,
    /// The hash of the event before; of a chain's first event, the head of the chain before, or zeros.
    pub prev_hash: &'a str,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// `ok`, `denied` or `failed`.
    pub outcome: &'a str,
    /// Why, in a closed set of words.
    pub reason: Option<&'a str>,
    /// Who asked; of a redemption, who asked for the ticket.
    pub caller: Option<CallerView<'a>>,
    /// The address the request came from.
    pub source_ip: Option<String>,
    /// The repo, where it was a valid one.
    pub repo: Option<&'a str>,
    /// The branch, where it was a valid one.
    pub branch: Option<&'a str>,
    /// The names of the policies that decided.
    pub policies: &'a [String],
    /// Names of the keys in the bundle.
    pub keys: &'a [String],
    /// The ticket's public id.
    pub ticket_id: Option<String>,
    /// What was read.
    pub secrets: Vec<SecretView<'a>>,
    /// Ours.
    pub request_id: Option<&'a str>,
    /// The caller's own, where it was a sane one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<&'a str>,
    /// The trace, where the request is traced.
    pub trace_id: Option<&'a str>,
    /// `vault` for a request to the Vault-compatible API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<&'a str>,
    /// How long the verb took.
    pub duration_ms: u64,
    /// How many like it this event stands for, where they are summed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// The caller in an event.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerView<'a> {
    /// The authenticator.
    pub issuer: &'a str,
    /// The subject.
    pub subject: &'a str,
    /// The namespace; null for OIDC callers.
    pub namespace: Option<&'a str>,
    /// The ServiceAccount; null for OIDC callers.
    pub service_account: Option<&'a str>,
    /// The pod; null for OIDC callers.
    pub pod: Option<PodView<'a>>,
}

/// The pod in an event.
#[derive(Debug, Clone, Serialize)]
pub struct PodView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// A secret in an audit event: its place and version, never its value.
#[derive(Debug, Clone, Serialize)]
pub struct SecretView<'a> {
    /// The store.
    pub store: &'a str,
    /// The path.
    pub path: &'a str,
    /// Version, if the store has versions.
    pub version: Option<&'a str>,
}

/// The whole event: the hashed text with `hash` as its last member.
#[must_use]
pub fn with_hash(hashed_text: &str, hash: &str) -> String {
    let open = hashed_text.strip_suffix('}').unwrap_or(hashed_text);
    format!("{open},\"hash\":\"{hash}\"}}")
}
