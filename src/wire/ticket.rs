//! The request for a ticket or for secrets, and the answer.

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Declares a request body: the fields that all have, and those of one.
macro_rules! asks_for_secrets {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub struct $name {
            /// Repository to build.
            #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
            #[schema(nullable = false, min_length = 1, max_length = 256, pattern = "^[A-Za-z0-9._~@+-]+([ /][A-Za-z0-9._~@+-]+)*$")]
            pub repo: Option<String>,
            /// Branch to build.
            #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
            #[schema(nullable = false, min_length = 1, max_length = 1024)]
            pub branch: Option<String>,
            /// Shorter lifetime of the ticket, for example `30s`.
            #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
            #[schema(nullable = false, pattern = "^([0-9]{1,6}(ms|s|m|h))+$")]
            pub ttl: Option<String>,
            /// Limits the bundle to these keys.
            #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
            #[schema(nullable = false)]
            pub keys: Option<Vec<String>>,
            /// If true, an empty bundle is an error (default false).
            #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
            #[schema(nullable = false)]
            pub required: Option<bool>,
            $(
                $(#[$field_doc])*
                #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
                pub $field: Option<$kind>,
            )*
        }
    };
}

asks_for_secrets! {
    /// The body of `POST /v1/tickets`. Unknown and repeated fields, `null` and other types are refused.
    TicketRequest {}
}

asks_for_secrets! {
    /// The body of `POST /v1/secrets`: that of `POST /v1/tickets` and a format. There is no ticket whose life `ttl` could
    /// shorten, but it is checked all the same.
    SecretsRequest {
        /// Format of the bundle (default `export`).
        #[schema(nullable = false, pattern = "^(export|dotenv|dotenv-expand|json|raw|tar|docker-config|npmrc|netrc)$")]
        format: String,
    }
}

impl SecretsRequest {
    /// The common fields, and the format.
    #[must_use]
    pub fn into_parts(self) -> (TicketRequest, Option<String>) {
        let Self { repo, branch, ttl, keys, required, format } = self;
        (TicketRequest { repo, branch, ttl, keys, required }, format)
    }
}

/// Refuses an explicit `null`, which is not the same as an absent field.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The answer to `POST /v1/tickets`. It carries a ticket: no `Debug`, and no copy that outlives the answer.
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

/// The fields of the answer that our own client reads. It carries a ticket: no `Debug`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TicketReceipt {
    /// The one-time download URL.
    pub url: String,
    /// Names of the keys in the bundle.
    pub keys: Vec<String>,
    /// Lengths of the values; an older server reports none.
    #[serde(default)]
    pub sizes: BTreeMap<String, usize>,
}
