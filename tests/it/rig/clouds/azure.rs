//! Key Vault and Entra ID. Sources, with `learn.microsoft.com` before each:
//! - secrets: `rest/api/keyvault/secrets/get-secret` (2025-07-01)
//! - errors of secrets: `azure/key-vault/general/rest-error-codes`
//! - throttling: `azure/key-vault/general/overview-throttling`
//! - logins: `entra/identity-platform/v2-oauth2-client-creds-grant-flow` and `.../reference-error-codes`

use super::tls::{ReceivedRequest, TlsServer};
use crate::rig::fake::Reaction;
use claviger::model::request_id::RequestId;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

/// The identity of the broker.
pub const TENANT: &str = "7b795fb9-09d3-42f4-a494-38864f99ba3c";
pub const CLIENT: &str = "5bf9b46a-2f6e-4c1f-8f9a-0d0a1c1c8f11";
/// The scope of the stub's tokens.
pub const SCOPE: &str = "https://vault.azure.net/.default";

/// A running stub.
pub struct Azure {
    server: TlsServer,
    state: Arc<Mutex<State>>,
}

/// The stub's secrets and settings, and the requests it received.
#[derive(Default)]
pub struct State {
    /// By name in lower case: names in Key Vault are case-insensitive.
    secrets: BTreeMap<String, StoredSecret>,
    tokens: BTreeSet<String>,
    /// The ServiceAccount token or the client secret that is accepted.
    pub accepted_credential: String,
    /// The lifetime of tokens in seconds.
    pub expires_in: i64,
    /// Replaces the answer of the vault, and that of the authority.
    pub vault_reaction: Option<Reaction>,
    pub authority_reaction: Option<Reaction>,
    pub reads: Vec<String>,
    pub logins: usize,
    /// The user agents of the requests.
    pub user_agents: BTreeSet<String>,
}

struct StoredSecret {
    name: String,
    value: String,
    version: String,
    attributes: Value,
    content_type: Option<&'static str>,
}

impl Azure {
    /// Starts one that accepts this token for a login.
    pub async fn start(accepted_credential: &str) -> Self {
        let state =
            State { accepted_credential: accepted_credential.to_owned(), expires_in: 86399, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let server = TlsServer::start(move |request| shared.lock().unwrap().answer(request)).await;
        Self { server, state }
    }

    /// The address of both the vault and the authority.
    pub fn address(&self) -> &str {
        &self.server.address
    }

    pub fn ca_file(&self) -> PathBuf {
        self.server.ca_file()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Writes a secret or a new version of it. Returns the version.
    pub fn put(&self, name: &str, value: &str) -> String {
        let version = RequestId::random().as_str().to_owned();
        let attributes = json!({"enabled": true, "created": 1_493_938_410, "updated": 1_493_938_410,
            "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90});
        let secret = StoredSecret {
            name: name.to_owned(),
            value: value.to_owned(),
            version: version.clone(),
            attributes,
            content_type: None,
        };
        self.state().secrets.insert(name.to_ascii_lowercase(), secret);
        version
    }

    /// Changes an attribute of a secret.
    pub fn set(&self, name: &str, attribute: &str, value: Value) {
        self.state().secrets.get_mut(name).unwrap().attributes[attribute] = value;
    }

    /// Turns a secret into that of a certificate (`azure/key-vault/certificates/about-certificates`).
    pub fn set_content_type(&self, name: &str, content_type: &'static str) {
        self.state().secrets.get_mut(name).unwrap().content_type = Some(content_type);
    }

    /// The numbers of reads and logins.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.reads.len(), state.logins)
    }

    /// Ends all tokens.
    pub fn revoke_tokens(&self) {
        self.state().tokens.clear();
    }
}

impl State {
    fn answer(&mut self, request: &ReceivedRequest) -> Reaction {
        self.user_agents.extend(request.headers.get("user-agent").cloned());
        if request.method == "POST" {
            self.logins += 1;
            return self.authority_reaction.clone().unwrap_or_else(|| self.log_in(request));
        }
        let name =
            request.target.strip_prefix("/secrets/").and_then(|rest| rest.strip_suffix("/?api-version=2025-07-01"));
        let Some(name) = name else { panic!("unexpected request: {}", request.target) };
        let token = request.token().expect("no secret is read without a token").to_owned();
        if name != "claviger-online-check" {
            self.reads.push(name.to_owned());
        }
        self.vault_reaction.clone().unwrap_or_else(|| self.read(name, &token))
    }

    fn log_in(&mut self, request: &ReceivedRequest) -> Reaction {
        assert_eq!(request.target, format!("/{TENANT}/oauth2/v2.0/token"));
        let field = |name: &str| request.field(name).unwrap_or_default();
        assert_eq!(field("grant_type"), "client_credentials");
        assert_eq!((field("client_id"), field("scope")), (CLIENT.to_owned(), SCOPE.to_owned()));
        let credential = if field("client_secret").is_empty() {
            assert_eq!(field("client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            field("client_assertion")
        } else {
            field("client_secret")
        };
        if credential != self.accepted_credential {
            return refused_login();
        }
        let token = format!("eyJ.{}", RequestId::random());
        self.tokens.insert(token.clone());
        let body = json!({"token_type": "Bearer", "expires_in": self.expires_in, "ext_expires_in": self.expires_in,
            "access_token": token});
        answer("200 OK", "", &body)
    }

    fn read(&self, name: &str, token: &str) -> Reaction {
        if !self.tokens.contains(token) {
            return unauthorized();
        }
        let Some(secret) = self.secrets.get(&name.to_ascii_lowercase()) else { return not_found(name) };
        if secret.attributes["enabled"] == json!(false) {
            return disabled();
        }
        let id = format!("https://acme.vault.azure.net/secrets/{}/{}", secret.name, secret.version);
        let mut body = json!({"value": secret.value, "id": id, "attributes": secret.attributes, "tags": {}});
        if let Some(content_type) = secret.content_type {
            body["contentType"] = json!(content_type);
            body["managed"] = json!(true);
        }
        answer("200 OK", "", &body)
    }
}

/// An answer in JSON.
pub fn answer(status: &str, headers: &str, body: &Value) -> Reaction {
    Reaction::Answer(
        status.into(),
        format!("Content-Type: application/json; charset=utf-8\r\n{headers}"),
        body.to_string(),
    )
}

/// An error of the vault, with an optional inner code.
pub fn error(status: &str, headers: &str, code: &str, inner: Option<&str>) -> Reaction {
    let mut body = json!({"error": {"code": code, "message": "canary-answer"}});
    if let Some(inner) = inner {
        body["error"]["innererror"] = json!({"code": inner});
    }
    answer(status, headers, &body)
}

/// `rest-error-codes`, HTTP 404; of soft-deleted secrets too.
pub fn not_found(name: &str) -> Reaction {
    let message = format!(
        "A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret \
        you may be able to recover it using the correct recovery command."
    );
    answer("404 Not Found", "", &json!({"error": {"code": "SecretNotFound", "message": message}}))
}

/// `rest-error-codes`, HTTP 403: no role assignment gives the right.
pub fn forbidden() -> Reaction {
    error("403 Forbidden", "", "Forbidden", Some("ForbiddenByRbac"))
}

/// `rest-error-codes`, HTTP 403: "Operation get is not allowed on a disabled secret."
pub fn disabled() -> Reaction {
    error("403 Forbidden", "", "Forbidden", Some("SecretDisabled"))
}

/// `azure/key-vault/general/authentication-requests-and-responses`, HTTP 401, here with a challenge for another scope.
pub fn unauthorized() -> Reaction {
    let challenge = "WWW-Authenticate: Bearer authorization=\"https://login.evil.example/x\", resource=\"https://evil.example\"\r\n";
    error("401 Unauthorized", challenge, "Unauthorized", None)
}

/// `overview-throttling`, HTTP 429.
pub fn throttled(retry_after: u64) -> Reaction {
    error("429 Too Many Requests", &format!("Retry-After: {retry_after}\r\n"), "Throttled", None)
}

/// `reference-error-codes`, AADSTS70021: no federated credential matches the token.
pub fn refused_login() -> Reaction {
    let told = "AADSTS70021: No matching federated identity record found for presented assertion. canary-answer";
    let body = json!({"error": "invalid_client", "error_description": told, "error_codes": [70021],
        "timestamp": "2026-11-29 12:00:00Z", "trace_id": "t", "correlation_id": "c"});
    answer("401 Unauthorized", "", &body)
}
