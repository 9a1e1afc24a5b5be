//! Error bodies (`application/problem+json`, RFC 9457), and the closed list of error codes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of an error response.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` identifies the error.
    #[serde(rename = "type")]
    pub kind: String,
    /// Summary; the same for all problems with this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Cause in this case; never a secret, a token, a ticket or the error text of a store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Stable error code.
    pub code: String,
    /// Time of the redemption, with `ticket_redeemed`.
    #[serde(rename = "redeemedAt", skip_serializing_if = "Option::is_none")]
    pub redeemed_at: Option<String>,
    /// All faults of the document, with `invalid_policy` and for a policy that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemError>,
}

/// One fault of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemError {
    /// JSON pointer (RFC 6901) into the body; empty for the whole body.
    pub pointer: String,
    /// Description of the fault, without the value.
    pub detail: String,
}

/// Declares the codes, each with its text, status, title and default detail.
macro_rules! codes {
    ($($variant:ident => $word:literal $status:literal $title:literal $detail:literal),+ $(,)?) => {
        closed_enum! {
            /// A stable error code.
            pub enum Code { $(#[doc = $title] $variant => $word),+ }
        }

        impl Code {
            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// The title.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// The detail of a problem whose cause is not described more closely.
            #[must_use]
            pub const fn default_detail(self) -> &'static str {
                match self { $(Self::$variant => $detail),+ }
            }
        }
    };
}

codes! {
    InvalidRequest => "invalid_request" 400 "The request is malformed."
        "The body, the query or a header does not have the documented form.",
    Unauthenticated => "unauthenticated" 401 "The bearer token is missing or not valid."
        "Send a valid token as Authorization: Bearer. The audit log counts the reasons by source address.",
    Denied => "denied" 403 "The request is not allowed."
        "The policies or the permissions of this caller do not allow it. The audit log has the reason under the ID of this request.",
    AttestationFailed => "attestation_failed" 403 "The requested repo or branch differs from the attested one."
        "The values differ from those that the cluster attests for this caller, or nothing is attested.",
    NotPodBound => "not_pod_bound" 403 "The token is not bound to a pod."
        "Use a projected ServiceAccount token of a pod, which Kubernetes binds to it.",
    TicketLimit => "ticket_limit" 403 "The caller has as many tickets as a policy allows."
        "ticket.maxPerCaller of a matching policy is the limit.",
    DeliveryNotAllowed => "delivery_not_allowed" 403 "The policies do not allow this way of delivery."
        "delivery of the matching policies lists the allowed ways. A token without a pod gets no ticket.",
    PrefetchRefused => "prefetch_refused" 403 "Prefetching a one-time download is refused."
        "The ticket is not consumed. Open the URL without a preview or a prefetch.",
    TicketMisuse => "ticket_misuse" 403 "The ticket was used from a place that its binding excludes, and is revoked."
        "Request another ticket, and redeem it as the caller and from the place of its issue.",
    NotFound => "not_found" 404 "The resource does not exist."
        "There is no such path or object.",
    TicketUnknown => "ticket_unknown" 404 "The ticket does not exist."
        "The URL is incomplete or altered, or this broker does not keep the ticket any more.",
    SecretNotFound => "secret_not_found" 404 "A required secret does not exist."
        "The request, a policy or the format needs a secret or key that does not exist.",
    MethodNotAllowed => "method_not_allowed" 405 "The method is not supported for this resource."
        "The header Allow lists the supported methods.",
    RequestTimeout => "request_timeout" 408 "The request body was not received in time."
        "Send the whole body within the time limit.",
    AlreadyExists => "already_exists" 409 "A resource with this name already exists."
        "Choose another name, or replace the resource with If-Match.",
    ReadOnly => "read_only" 409 "The policy comes from a file or a cluster and is read-only here."
        "Change it where it comes from.",
    TicketRedeemed => "ticket_redeemed" 410 "The ticket is already redeemed."
        "A ticket is redeemed once. Request another one.",
    TicketExpired => "ticket_expired" 410 "The ticket has expired."
        "Request another ticket, and redeem it before it expires.",
    TicketRevoked => "ticket_revoked" 410 "The ticket is revoked."
        "Request another ticket.",
    LengthRequired => "length_required" 411 "Content-Length is required; Transfer-Encoding is not supported."
        "Send the body with its length.",
    PreconditionFailed => "precondition_failed" 412 "The precondition does not hold for the current revision."
        "Read the resource again: it exists, is missing or has another revision, against the precondition.",
    PayloadTooLarge => "payload_too_large" 413 "The body is too large."
        "Send a smaller body.",
    UnsupportedMediaType => "unsupported_media_type" 415 "The content type is not supported."
        "The description of the operation lists the content types.",
    InvalidRepo => "invalid_repo" 422 "The repository name is invalid."
        "The rules for names of repositories are those of Git hosts.",
    InvalidBranch => "invalid_branch" 422 "The branch name is invalid."
        "The rules for names of branches are those of Git.",
    InvalidPolicy => "invalid_policy" 422 "The policy is invalid."
        "errors lists all faults.",
    Unrenderable => "unrenderable" 422 "The format cannot carry a key of this bundle."
        "Request another format, or only the keys that it can carry.",
    RateLimited => "rate_limited" 429 "Too many requests."
        "Retry later. A caller with too many unredeemed tickets must redeem them or let them expire.",
    Internal => "internal" 500 "An internal error occurred."
        "The log of the broker has the cause.",
    StoreMisconfigured => "store_misconfigured" 502 "The path does not lead to a readable secret engine of the store."
        "The log of the broker has the cause.",
    StoreForbidden => "store_forbidden" 502 "The store denies the broker access to a secret."
        "The login of the broker needs the permission to use this path at the store.",
    KeyAbsent => "key_absent" 502 "A required key is missing from its secret."
        "A policy names a key that the secret does not have, or whose value is null.",
    TokenReviewUnavailable => "token_review_unavailable" 503 "The token review is unavailable."
        "The API server or the issuer did not give the needed answer. Retry.",
    AttestationPending => "attestation_pending" 503 "Tekton has not yet recorded the run of the pod."
        "Retry after the seconds in Retry-After.",
    StoreUnavailable => "store_unavailable" 503 "A store is unavailable."
        "The store did not respond in time or responded with an error. Retry.",
    AuditUnavailable => "audit_unavailable" 503 "The audit log is unavailable."
        "Nothing is handed over without an audit event. Retry.",
    DatabaseUnavailable => "database_unavailable" 503 "The database is unavailable."
        "Retry after the seconds in Retry-After.",
    ClocksDiffer => "clocks_differ" 503 "The clock of the broker differs from the clock of its database."
        "Nothing is issued while the clocks differ. Correct the clock.",
    PoliciesUnavailable => "policies_unavailable" 503 "The policies of a cluster have not been read yet."
        "Nothing is decided before all policies are known. Retry.",
    Draining => "draining" 503 "The broker is shutting down."
        "Retry: another replica, or the next process, will answer.",
    Timeout => "timeout" 503 "The request exceeded its time limit."
        "Retry, with fewer secrets if this persists.",
    HttpVersionNotSupported => "http_version_not_supported" 505 "Only HTTP/1.1 is supported."
        "Send the request in that version.",
}

impl Code {
    /// `Retry-After` in seconds, if a retry may succeed.
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Self::RateLimited
            | Self::TokenReviewUnavailable
            | Self::AttestationPending
            | Self::StoreUnavailable
            | Self::AuditUnavailable
            | Self::DatabaseUnavailable
            | Self::ClocksDiffer
            | Self::PoliciesUnavailable
            | Self::Timeout => Some(1),
            Self::Draining => Some(2),
            _ => None,
        }
    }

    /// A body with this code. Without `detail` it has [`Self::default_detail`].
    #[must_use]
    pub fn problem(self, detail: Option<String>) -> Problem {
        Problem {
            kind: "about:blank".into(),
            title: self.title().into(),
            status: self.status(),
            detail: Some(detail.unwrap_or_else(|| self.default_detail().into())),
            code: self.as_str().into(),
            redeemed_at: None,
            errors: Vec::new(),
        }
    }
}
