//! Errors as `application/problem+json` (RFC 9457), and the closed list of their machine words.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error body.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: [`Problem::code`] is the machine's word.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same sentence for every problem of a code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong here, without secrets, tokens, tickets or a store's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The stable machine word.
    pub code: String,
    /// When the ticket was redeemed, on `ticket_redeemed`.
    #[serde(rename = "redeemedAt", skip_serializing_if = "Option::is_none")]
    pub redeemed_at: Option<String>,
    /// Everything that is wrong with a document, on `invalid_policy` and on a policy that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemError>,
}

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemError {
    /// Where: a JSON pointer (RFC 6901) into the body; empty for the whole of it.
    pub pointer: String,
    /// What, in a sentence that repeats no value.
    pub detail: String,
}

/// Declares the codes with their word, status and title.
macro_rules! codes {
    ($($variant:ident => $word:literal $status:literal $title:literal),+ $(,)?) => {
        /// A machine word for what went wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $title] $variant),+ }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// The sentence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

codes! {
    InvalidRequest => "invalid_request" 400 "The request is not as the API wants it.",
    Unauthenticated => "unauthenticated" 401 "No valid bearer token was shown.",
    Denied => "denied" 403 "This is not allowed.",
    AttestationFailed => "attestation_failed" 403 "What is asked is not what is attested.",
    NotPodBound => "not_pod_bound" 403 "The token is not bound to a pod.",
    DeliveryNotAllowed => "delivery_not_allowed" 403 "The policies allow no common way of delivery.",
    PrefetchRefused => "prefetch_refused" 403 "A one-time download is not prefetched.",
    TicketMisuse => "ticket_misuse" 403 "The ticket was used in the wrong place and is burned.",
    NotFound => "not_found" 404 "There is nothing here.",
    TicketUnknown => "ticket_unknown" 404 "There is no such ticket.",
    SecretNotFound => "secret_not_found" 404 "A required secret does not exist.",
    MethodNotAllowed => "method_not_allowed" 405 "This method does nothing here.",
    RequestTimeout => "request_timeout" 408 "The body came too slowly.",
    AlreadyExists => "already_exists" 409 "There is one of that name.",
    ReadOnly => "read_only" 409 "It is kept in a file and cannot be changed here.",
    TicketRedeemed => "ticket_redeemed" 410 "The ticket was redeemed before.",
    TicketExpired => "ticket_expired" 410 "The ticket has expired.",
    TicketRevoked => "ticket_revoked" 410 "The ticket was revoked.",
    LengthRequired => "length_required" 411 "Send a Content-Length and no Transfer-Encoding.",
    PreconditionFailed => "precondition_failed" 412 "What is there is not what was expected.",
    PayloadTooLarge => "payload_too_large" 413 "The body is too large.",
    UnsupportedMediaType => "unsupported_media_type" 415 "This content type is not read here.",
    InvalidRepo => "invalid_repo" 422 "The repo is not a repository name.",
    InvalidBranch => "invalid_branch" 422 "The branch is not a branch name.",
    InvalidPolicy => "invalid_policy" 422 "The policy is not valid.",
    Unrenderable => "unrenderable" 422 "The format cannot carry a key of this bundle.",
    RateLimited => "rate_limited" 429 "Too many requests.",
    Internal => "internal" 500 "Something went wrong on our side.",
    StoreMisconfigured => "store_misconfigured" 502 "The path leads to no secret engine.",
    StoreForbidden => "store_forbidden" 502 "The store forbids the broker to read a secret.",
    KeyAbsent => "key_absent" 502 "A required key is not in its secret.",
    TokenReviewUnavailable => "token_review_unavailable" 503 "The API server cannot be asked about the token.",
    StoreUnavailable => "store_unavailable" 503 "A store gives no usable answer.",
    AuditUnavailable => "audit_unavailable" 503 "The audit log cannot be written.",
    DatabaseUnavailable => "database_unavailable" 503 "The database cannot be reached.",
    Draining => "draining" 503 "The broker is about to stop.",
    Timeout => "timeout" 503 "The request took too long.",
    HttpVersionNotSupported => "http_version_not_supported" 505 "Only HTTP/1.1 is spoken here.",
}

impl Code {
    /// Seconds after which the same request is worth another try.
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Self::RateLimited
            | Self::TokenReviewUnavailable
            | Self::StoreUnavailable
            | Self::AuditUnavailable
            | Self::DatabaseUnavailable
            | Self::Timeout => Some(1),
            Self::Draining => Some(2),
            _ => None,
        }
    }

    /// The body for this code.
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
