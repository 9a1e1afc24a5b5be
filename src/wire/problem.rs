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

/// Declares the codes, each with its text, status and title.
macro_rules! codes {
    ($($variant:ident => $word:literal $status:literal $title:literal),+ $(,)?) => {
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
        }
    };
}

codes! {
    InvalidRequest => "invalid_request" 400 "The request is malformed.",
    Unauthenticated => "unauthenticated" 401 "The bearer token is missing or not valid.",
    Denied => "denied" 403 "The request is not allowed.",
    AttestationFailed => "attestation_failed" 403 "The requested repo or branch differs from the attested one.",
    NotPodBound => "not_pod_bound" 403 "The token is not bound to a pod.",
    TicketLimit => "ticket_limit" 403 "The caller has as many tickets as a policy allows.",
    DeliveryNotAllowed => "delivery_not_allowed" 403 "The policies do not allow this way of delivery.",
    PrefetchRefused => "prefetch_refused" 403 "Prefetching a one-time download is refused.",
    TicketMisuse => "ticket_misuse" 403 "The ticket was used from a place that its binding excludes, and is revoked.",
    NotFound => "not_found" 404 "The resource does not exist.",
    TicketUnknown => "ticket_unknown" 404 "The ticket does not exist.",
    SecretNotFound => "secret_not_found" 404 "A required secret does not exist.",
    MethodNotAllowed => "method_not_allowed" 405 "The method is not supported for this resource.",
    RequestTimeout => "request_timeout" 408 "The request body was not received in time.",
    AlreadyExists => "already_exists" 409 "A resource with this name already exists.",
    ReadOnly => "read_only" 409 "The policy comes from a file or a cluster and is read-only here.",
    TicketRedeemed => "ticket_redeemed" 410 "The ticket is already redeemed.",
    TicketExpired => "ticket_expired" 410 "The ticket has expired.",
    TicketRevoked => "ticket_revoked" 410 "The ticket is revoked.",
    LengthRequired => "length_required" 411 "Content-Length is required; Transfer-Encoding is not supported.",
    PreconditionFailed => "precondition_failed" 412 "The precondition does not hold for the current revision.",
    PayloadTooLarge => "payload_too_large" 413 "The body is too large.",
    UnsupportedMediaType => "unsupported_media_type" 415 "The content type is not supported.",
    InvalidRepo => "invalid_repo" 422 "The repository name is invalid.",
    InvalidBranch => "invalid_branch" 422 "The branch name is invalid.",
    InvalidPolicy => "invalid_policy" 422 "The policy is invalid.",
    Unrenderable => "unrenderable" 422 "The format cannot carry a key of this bundle.",
    RateLimited => "rate_limited" 429 "Too many requests.",
    Internal => "internal" 500 "An internal error occurred.",
    StoreMisconfigured => "store_misconfigured" 502 "The path does not lead to a readable secret engine of the store.",
    StoreForbidden => "store_forbidden" 502 "The store denies the broker access to a secret.",
    KeyAbsent => "key_absent" 502 "A required key is missing from its secret.",
    TokenReviewUnavailable => "token_review_unavailable" 503 "The token review is unavailable.",
    AttestationPending => "attestation_pending" 503 "Tekton has not yet recorded the run of the pod.",
    StoreUnavailable => "store_unavailable" 503 "A store is unavailable.",
    AuditUnavailable => "audit_unavailable" 503 "The audit log is unavailable.",
    DatabaseUnavailable => "database_unavailable" 503 "The database is unavailable.",
    ClocksDiffer => "clocks_differ" 503 "The clock of the broker differs from the clock of its database.",
    PoliciesUnavailable => "policies_unavailable" 503 "The policies of a cluster have not been read yet.",
    Draining => "draining" 503 "The broker is shutting down.",
    Timeout => "timeout" 503 "The request exceeded its time limit.",
    HttpVersionNotSupported => "http_version_not_supported" 505 "Only HTTP/1.1 is supported.",
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

    /// A body with this code.
    #[must_use]
    pub fn problem(self, detail: Option<String>) -> Problem {
        Problem {
            kind: "about:blank".into(),
            title: self.title().into(),
            status: self.status(),
            detail,
            code: self.as_str().into(),
            redeemed_at: None,
            errors: Vec::new(),
        }
    }
}
