//! The Vault-compatible API in the contract, under its own tag.

use super::{login, read, system, token};
use crate::wire::vault::{VaultErrors, VaultMount, VaultNoData, VaultSecret, VaultToken};
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, ResponseBuilder};

const SCHEME: &str = "vaultToken";

#[derive(OpenApi)]
#[openapi(
    tags((
        name = "vault",
        description = "For Vault's clients: a read-only part of Vault's API. Errors are `{\"errors\":[...]}`. Paths show the default of `vaultApi.mount`"
    )),
    paths(
        login::answer,
        read::answer,
        token::look_up,
        token::revoke,
        token::renew,
        system::mount,
        system::health,
        system::seal_status
    ),
    components(schemas(VaultErrors, VaultMount, VaultNoData, VaultSecret, VaultToken)),
    security(("vaultToken" = []))
)]
struct Api;

/// Every error that any of the operations may have.
const ERRORS: [(&str, &str); 12] = [
    ("400", "A plain sentence"),
    ("403", "The token is missing or not valid, or the request is not allowed"),
    ("404", "Nothing is there; no text"),
    ("405", "The method is not supported for this path"),
    ("408", "The request body was not received in time"),
    ("411", "Content-Length is required"),
    ("413", "The body is too large"),
    ("429", "Too many requests"),
    ("500", "An internal error occurred"),
    ("502", "A store is misconfigured, denies access, or lacks a required key"),
    ("503", "Part of what is needed is unavailable"),
    ("505", "Only HTTP/1.1 is supported"),
];

/// Adds the operations to the contract of the native API.
pub fn add(document: &mut Document) {
    let mut ours = Api::openapi();
    for item in ours.paths.paths.values_mut() {
        of_item(item);
    }
    document.merge(ours);
    let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Vault-Token")));
    document.components.get_or_insert_default().security_schemes.insert(SCHEME.into(), scheme.into());
}

fn of_item(item: &mut PathItem) {
    for (method, operation) in
        [("", &mut item.get), ("", &mut item.post), ("ByPut", &mut item.put), ("ByHead", &mut item.head)]
    {
        let Some(operation) = operation else { continue };
        operation.operation_id = operation.operation_id.take().map(|id| id + method);
        // Vault's clients send the first; the native API's is accepted too.
        let scheme = |name: &str| SecurityRequirement::new::<_, [&str; 0], &str>(name, []);
        operation.security.get_or_insert_with(|| vec![scheme(SCHEME), scheme("bearer")]);
        add_errors(operation);
    }
}

fn add_errors(operation: &mut Operation) {
    for (status, told) in ERRORS {
        let errors = Content::new(Some(Ref::from_schema_name("VaultErrors")));
        let response = ResponseBuilder::new().description(told).content("application/json", errors).build();
        operation.responses.responses.insert(status.into(), response.into());
    }
}
