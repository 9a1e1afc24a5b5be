//! Requests for tickets and for secrets, and the response with a ticket.

use super::null::refuse_null;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Declares a request body: the common fields, and additional ones.
macro_rules! secrets_request {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub struct $name {
            /// Repository to build.
            #[serde(default, deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
            #[schema(nullable = false, min_length = 1, max_length = 256, pattern = "^[A-Za-z0-9._~@+-]+([ /][A-Za-z0-9._~@+-]+)*$")]
            pub repo: Option<String>,
            /// Branch to build.
            #[serde(default, deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
            #[schema(nullable = false, min_length = 1, max_length = 1024)]
            pub branch: Option<String>,
            /// Maximum lifetime of the ticket, for example `30s`. Policies and settings may set a shorter one.
            #[serde(default, deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
            #[schema(nullable = false, pattern = "^([0-9]{1,6}(ms|s|m|h))+$")]
            pub ttl: Option<String>,
            /// Limits the bundle to these keys.
            #[serde(default, deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
            #[schema(nullable = false)]
            pub keys: Option<Vec<String>>,
            /// If true, an empty bundle is an error (default false).
            #[serde(default, deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
            #[schema(nullable = false)]
            pub required: Option<bool>,
            $(
                $(#[$field_doc])*
                #[serde(default, deserialize_with = "refuse_null", skip_serializing_if = "Option::is_none")]
                pub $field: Option<$kind>,
            )*
        }
    };
}

secrets_request! {
    /// The body of `POST /v1/tickets`. Unknown and repeated fields, `null` and other types are refused.
    TicketRequest {}
}

secrets_request! {
    /// The body of `POST /v1/secrets`: the fields of `POST /v1/tickets`, and a format. `ttl` is checked, but has no effect.
    SecretsRequest {
        /// Format of the bundle (default `export`).
        #[schema(nullable = false, pattern = "^(export|dotenv|dotenv-expand|json|raw|tar|docker-config|npmrc|netrc)$")]
        format: String,
    }
}

impl SecretsRequest {
    /// Splits the request into the common fields and the format.
    #[must_use]
    pub fn into_parts(self) -> (TicketRequest, Option<String>) {
        let Self { repo, branch, ttl, keys, required, format } = self;
        (TicketRequest { repo, branch, ttl, keys, required }, format)
    }
}

/// The response to `POST /v1/tickets`.
// No `Debug`, because the holder of the URL can redeem the ticket. The URL is borrowed, so that there is no second copy.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketIssued<'a> {
    /// The ticket's public id.
    pub ticket_id: String,
    /// The one-time download URL.
    pub url: &'a str,
    /// Time at which the URL expires (RFC 3339, UTC).
    pub expires_at: String,
    /// Names of the keys in the bundle.
    pub keys: Vec<&'a str>,
    /// The policies that allowed it.
    pub policies: Vec<&'a str>,
    /// Number of granted secrets that do not exist.
    pub missing: usize,
    /// Lengths of the values in bytes, by key; only if the request has `Prefer: sizes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sizes: Option<BTreeMap<&'a str, usize>>,
}

/// The fields of the response that the client commands use. It has no `Debug`, because the holder of the URL can redeem the ticket.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TicketReceipt {
    /// The one-time download URL.
    pub url: String,
    /// Names of the keys in the bundle.
    pub keys: Vec<String>,
    /// Lengths of the values in bytes, by key. Empty if the server does not support `Prefer: sizes`.
    #[serde(default)]
    pub sizes: BTreeMap<String, usize>,
}
