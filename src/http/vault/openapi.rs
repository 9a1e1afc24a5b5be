//! The operations of the Vault-compatible API in the `OpenAPI` document, under their own tag.

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
        login::log_in,
        read::read_bundle,
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

/// The statuses and descriptions of all errors.
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
    ("503", "A store, the database or another dependency is unavailable"),
    ("505", "Only HTTP/1.1 is supported"),
];

/// Adds the operations to the document of the native API.
pub fn add(document: &mut Document) {
    let mut vault_document = Api::openapi();
    for item in vault_document.paths.paths.values_mut() {
        complete_item(item);
    }
    document.merge(vault_document);
    let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Vault-Token")));
    document.components.get_or_insert_default().security_schemes.insert(SCHEME.into(), scheme.into());
}

/// Makes the operation IDs of a path unique, and adds security schemes and errors.
fn complete_item(item: &mut PathItem) {
    for (method, operation) in
        [("", &mut item.get), ("", &mut item.post), ("ByPut", &mut item.put), ("ByHead", &mut item.head)]
    {
        let Some(operation) = operation else { continue };
        operation.operation_id = operation.operation_id.take().map(|id| id + method);
        // Vault's clients send `X-Vault-Token`; a bearer token is accepted, too.
        let scheme = |name: &str| SecurityRequirement::new::<_, [&str; 0], &str>(name, []);
        operation.security.get_or_insert_with(|| vec![scheme(SCHEME), scheme("bearer")]);
        add_errors(operation);
    }
}

fn add_errors(operation: &mut Operation) {
    for (status, description) in ERRORS {
        let errors = Content::new(Some(Ref::from_schema_name("VaultErrors")));
        let response = ResponseBuilder::new().description(description).content("application/json", errors).build();
        operation.responses.responses.insert(status.into(), response.into());
    }
}
