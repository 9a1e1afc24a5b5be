//! Secret Manager, the token exchange, the impersonation and a GKE metadata server. Sources, with `cloud.google.com` before
//! each:
//! - secrets: `secret-manager/docs/reference/rest/v1/projects.secrets.versions/access`
//! - errors: `apis/design/errors` (`google.rpc.Status`) and `secret-manager/docs/reference/rpc/google.rpc`
//! - exchange: `iam/docs/reference/sts/rest/v1/TopLevel/token`, whose errors are those of RFC 6749 and RFC 8693
//! - impersonation: `iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken`
//! - metadata: `compute/docs/access/authenticate-workloads`

use super::tls::{ReceivedRequest, TlsServer};
use crate::rig::fake::Reaction;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger::model::clock::{Clock as _, SystemClock};
use claviger::model::request_id::RequestId;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

pub const PROJECT: &str = "acme-builds";
/// Names in answers have the project's number.
const NUMBER: &str = "123456789012";
pub const PROVIDER: &str = "projects/123456789012/locations/global/workloadIdentityPools/cluster/providers/kube";
pub const ACCOUNT: &str = "claviger@acme-builds.iam.gserviceaccount.com";

/// A running stub.
pub struct Google {
    server: TlsServer,
    state: Arc<Mutex<State>>,
}

/// The stub's secrets and settings, and the requests it received.
#[derive(Default)]
pub struct State {
    secrets: BTreeMap<String, Vec<Version>>,
    /// Tokens that may read, and those that may only impersonate.
    tokens: BTreeSet<String>,
    federated: BTreeSet<String>,
    /// The ServiceAccount token that is accepted.
    pub accepted_credential: String,
    /// Whether the federated identity has no rights of its own.
    pub impersonates: bool,
    /// Every token may read: the stub does not check self-signed ones.
    pub any_token: bool,
    pub expires_in: i64,
    pub location: Option<&'static str>,
    /// Replaces the answer of the API, of the exchange, and of the impersonation.
    pub api_reaction: Option<Reaction>,
    pub exchange_reaction: Option<Reaction>,
    pub impersonation_reaction: Option<Reaction>,
    /// The number of answers with a wrong checksum.
    pub wrong_checksums: usize,
    pub reads: Vec<String>,
    pub logins: usize,
    pub last_token: String,
    pub user_agents: BTreeSet<String>,
}

struct Version {
    data: Vec<u8>,
    enabled: bool,
}

impl Google {
    /// Starts one that accepts this token for an exchange.
    pub async fn start(accepted_credential: &str) -> Self {
        let state = State { accepted_credential: accepted_credential.to_owned(), expires_in: 3599, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let server = TlsServer::start(move |request| shared.lock().unwrap().answer(request)).await;
        Self { server, state }
    }

    /// The address of all servers.
    pub fn address(&self) -> &str {
        &self.server.address
    }

    pub fn ca_file(&self) -> PathBuf {
        self.server.ca_file()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Adds a version, and creates the secret if there is none. Returns the version.
    pub fn put(&self, name: &str, data: &[u8]) -> String {
        let mut state = self.state();
        let versions = state.secrets.entry(name.to_owned()).or_default();
        versions.push(Version { data: data.to_owned(), enabled: true });
        versions.len().to_string()
    }

    /// Disables the newest version; earlier ones stay enabled.
    pub fn disable_newest(&self, name: &str) {
        self.state().secrets.get_mut(name).unwrap().last_mut().unwrap().enabled = false;
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
        if request.target == "/v1/token" {
            self.logins += 1;
            return self.exchange_reaction.clone().unwrap_or_else(|| self.exchange(request));
        }
        if request.target == format!("/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken") {
            return self.impersonation_reaction.clone().unwrap_or_else(|| self.impersonate(request));
        }
        self.user_agents.extend(request.headers.get("user-agent").cloned());
        let location = self.location.map_or_else(String::new, |location| format!("/locations/{location}"));
        let secrets = format!("/v1/projects/{PROJECT}{location}/secrets/");
        let name = request.target.strip_prefix(&secrets).and_then(|rest| rest.strip_suffix("/versions/latest:access"));
        let Some(name) = name else { panic!("unexpected request: {}", request.target) };
        if name != "claviger-online-check" {
            self.reads.push(name.to_owned());
        }
        request.token().expect("a token").clone_into(&mut self.last_token);
        self.api_reaction.clone().unwrap_or_else(|| self.access(name))
    }

    fn exchange(&mut self, request: &ReceivedRequest) -> Reaction {
        let field = |name: &str| request.field(name).unwrap_or_default();
        assert_eq!(field("grant_type"), "urn:ietf:params:oauth:grant-type:token-exchange");
        assert_eq!(field("subject_token_type"), "urn:ietf:params:oauth:token-type:jwt");
        assert_eq!(field("scope"), "https://www.googleapis.com/auth/cloud-platform");
        if field("audience") != format!("//iam.googleapis.com/{PROVIDER}") {
            return refused_exchange("invalid_target");
        }
        if field("subject_token") != self.accepted_credential {
            return refused_exchange("invalid_grant");
        }
        let token = format!("ya29.d.{}", RequestId::random());
        if self.impersonates { &mut self.federated } else { &mut self.tokens }.insert(token.clone());
        answer(
            "200 OK",
            &json!({"access_token": token, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer", "expires_in": self.expires_in}),
        )
    }

    fn impersonate(&mut self, request: &ReceivedRequest) -> Reaction {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let scope = ["https://www.googleapis.com/auth/cloud-platform"];
        assert_eq!(body, json!({"scope": scope, "lifetime": "3600s"}));
        if !request.token().is_some_and(|token| self.federated.contains(token)) {
            return error("403 Forbidden", "PERMISSION_DENIED");
        }
        let token = format!("ya29.c.{}", RequestId::random());
        self.tokens.insert(token.clone());
        let end = SystemClock.now() + jiff::SignedDuration::from_secs(self.expires_in);
        answer("200 OK", &json!({"accessToken": token, "expireTime": format!("{end:.0}")}))
    }

    fn access(&mut self, name: &str) -> Reaction {
        if !self.any_token && !self.tokens.contains(&self.last_token) {
            return error("401 Unauthorized", "UNAUTHENTICATED");
        }
        let Some(versions) = self.secrets.get(name) else { return error("404 Not Found", "NOT_FOUND") };
        let newest = versions.last().unwrap();
        if !newest.enabled {
            // `latest` is the newest version, whatever its state.
            return error("400 Bad Request", "FAILED_PRECONDITION");
        }
        let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&newest.data);
        let wrong = self.wrong_checksums > 0;
        self.wrong_checksums = self.wrong_checksums.saturating_sub(1);
        let location = self.location.map_or_else(String::new, |location| format!("/locations/{location}"));
        let name = format!("projects/{NUMBER}{location}/secrets/{name}/versions/{}", versions.len());
        let payload = json!({"data": STANDARD.encode(&newest.data), "dataCrc32c": (u64::from(sum) + u64::from(wrong)).to_string()});
        answer("200 OK", &json!({"name": name, "payload": payload}))
    }
}

/// An answer in JSON.
pub fn answer(status: &str, body: &Value) -> Reaction {
    Reaction::Answer(status.into(), "Content-Type: application/json; charset=UTF-8\r\n".into(), body.to_string())
}

/// `apis/design/errors`.
pub fn error(status: &str, code: &str) -> Reaction {
    let number: u16 = status[..3].parse().unwrap();
    answer(status, &json!({"error": {"code": number, "message": "canary-answer", "status": code}}))
}

/// `apis/design/errors`, `ErrorInfo`: the API is not enabled in the project.
pub fn api_disabled() -> Reaction {
    let detail = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com", "metadata": {"service": "secretmanager.googleapis.com"}});
    let error = json!({"code": 403, "message": "canary-answer", "status": "PERMISSION_DENIED", "details": [detail]});
    answer("403 Forbidden", &json!({"error": error}))
}

/// RFC 6749, section 5.2.
pub fn refused_exchange(code: &str) -> Reaction {
    answer("400 Bad Request", &json!({"error": code, "error_description": "canary-answer"}))
}
