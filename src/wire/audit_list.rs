//! The audit log as the API shows it.

use super::caller::CallerObject;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A page of audit events, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditEventList {
    /// The events, each as the very text that was hashed, with the hash as its last member.
    #[schema(value_type = Vec<AuditEventObject>)]
    pub items: Vec<Box<RawValue>>,
    /// Continuation token of the next page; absent on the last page.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An audit event.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEventObject {
    /// `<chain>.<seq>`.
    pub id: String,
    /// RFC 3339, UTC, microseconds.
    pub time: String,
    /// The chain: one for every start of a replica.
    pub chain: String,
    /// Counts from 1 without gaps.
    pub seq: i64,
    /// The hash of the event before; of a chain's first event, the head of the chain before, or zeros.
    pub prev_hash: String,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `ok`, `denied` or `failed`.
    pub outcome: String,
    /// Why, in a closed set of words.
    #[schema(required)]
    pub reason: Option<String>,
    /// Who asked; of a redemption, who asked for the ticket.
    #[schema(required)]
    pub caller: Option<CallerObject>,
    /// The address the request came from.
    #[schema(required)]
    pub source_ip: Option<String>,
    /// The repo, where it was a valid one.
    #[schema(required)]
    pub repo: Option<String>,
    /// The branch, where it was a valid one.
    #[schema(required)]
    pub branch: Option<String>,
    /// The names of the policies that decided.
    pub policies: Vec<String>,
    /// Names of the keys in the bundle.
    pub keys: Vec<String>,
    /// The ticket's public id.
    #[schema(required)]
    pub ticket_id: Option<String>,
    /// What was read.
    pub secrets: Vec<SecretObject>,
    /// Ours.
    #[schema(required)]
    pub request_id: Option<String>,
    /// The caller's own, where it was a sane one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub client_request_id: Option<String>,
    /// The trace, where the request is traced.
    #[schema(required)]
    pub trace_id: Option<String>,
    /// `vault` for a request to the Vault-compatible API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub via: Option<String>,
    /// How long the verb took.
    pub duration_ms: u64,
    /// How many like it this event stands for, where they are summed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub count: Option<u64>,
    /// HMAC-SHA-256 under `audit.keyFile`, else SHA-256, of the event's text without this member; in hexadecimal.
    pub hash: String,
}

/// A secret in an audit event: its place and version, never its value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretObject {
    /// The store.
    pub store: String,
    /// The path.
    pub path: String,
    /// Version, if the store has versions.
    #[schema(required)]
    pub version: Option<String>,
}

/// Whether the audit log holds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditVerified {
    /// Every chain holds.
    pub ok: bool,
    /// Events looked at.
    pub events: u64,
    /// Chains that have any of them.
    pub chains: u64,
    /// The first place that does not hold: the lowest number, in the chain that was written first. Null where all hold.
    #[schema(required)]
    pub first_broken: Option<BrokenPlace>,
}

/// A place in a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokenPlace {
    /// The chain.
    pub chain: String,
    /// The number of the event there.
    pub seq: i64,
    /// `altered`, `missing`, `out_of_place`, `unlinked`, `not_as_checkpoint`, `bad_anchor` or `unknown_key`.
    pub reason: String,
}
