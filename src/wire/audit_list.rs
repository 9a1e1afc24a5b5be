//! Audit events and the result of a verification in responses of the API.

use super::caller::CallerObject;
use super::page::page;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

page! {
    /// A page of audit events, newest first.
    AuditEventList {
        /// The events, each as the text that was hashed, with the hash as its last member.
        #[schema(value_type = Vec<AuditEventObject>)]
        items: Box<RawValue>
    }
}

/// An audit event.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEventObject {
    /// `<chain>.<seq>`.
    pub id: String,
    /// RFC 3339, UTC, microseconds.
    pub time: String,
    /// The chain; every start of a replica begins one.
    pub chain: String,
    /// Position in the chain, from 1, without gaps.
    pub seq: i64,
    /// Hash of the previous event; for a chain's first event, the head of the previous chain, or zeros.
    pub prev_hash: String,
    /// Event type, for example `ticket.issued`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `ok`, `denied` or `failed`.
    pub outcome: String,
    /// Reason, from a closed set.
    #[schema(required)]
    pub reason: Option<String>,
    /// Caller; for a redemption, the caller that requested the ticket.
    #[schema(required)]
    pub caller: Option<CallerObject>,
    /// Source address of the request.
    #[schema(required)]
    pub source_ip: Option<String>,
    /// Repository, if it was valid.
    #[schema(required)]
    pub repo: Option<String>,
    /// Branch, if it was valid.
    #[schema(required)]
    pub branch: Option<String>,
    /// Names of the policies that decided.
    pub policies: Vec<String>,
    /// Names of the keys in the bundle.
    pub keys: Vec<String>,
    /// Public id of the ticket.
    #[schema(required)]
    pub ticket_id: Option<String>,
    /// Secrets that were read.
    pub secrets: Vec<SecretObject>,
    /// Claviger's id of the request.
    #[schema(required)]
    pub request_id: Option<String>,
    /// The caller's own id of the request, if it was valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub client_request_id: Option<String>,
    /// Trace id, if the request is traced.
    #[schema(required)]
    pub trace_id: Option<String>,
    /// `vault` for a request to the Vault-compatible API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub via: Option<String>,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Number of similar events that this one stands for, if they are aggregated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub count: Option<u64>,
    /// Policies in shadow mode that apply to the request; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<ShadowObject>,
    /// HMAC-SHA-256 under `audit.keyFile`, else SHA-256, of the event's text without this member; in hexadecimal.
    pub hash: String,
}

/// A policy in shadow mode that applies to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShadowObject {
    /// Name of the policy.
    pub policy: String,
    /// `allow` or `deny`.
    pub effect: String,
    /// True if the answer would have been another one with `mode: enforce`.
    pub would_change: bool,
}

/// A secret in an audit event: its location and version, never its value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SecretObject {
    /// Name of the store.
    pub store: String,
    /// Path in the store.
    pub path: String,
    /// Version, if the store has versions.
    #[schema(required)]
    pub version: Option<String>,
}

/// Result of a verification of the audit log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditVerified {
    /// True if all chains are intact.
    pub ok: bool,
    /// Number of verified events.
    pub events: u64,
    /// Number of verified chains.
    pub chains: u64,
    /// The lowest broken place of a chain; of several chains, that of the oldest event. Null if all chains are intact.
    #[schema(required)]
    pub first_broken: Option<BrokenPlace>,
}

/// A place in a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokenPlace {
    /// The chain.
    pub chain: String,
    /// Position of the event.
    pub seq: i64,
    /// `altered`, `missing`, `out_of_place`, `unlinked`, `not_as_checkpoint`, `bad_anchor` or `unknown_key`.
    pub reason: String,
}
