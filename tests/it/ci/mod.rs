//! Jobs of CI services with an id token: GitHub Actions, with a simulated runner, and GitLab CI.

mod action;
mod documented;
mod github;
mod github_refused;
mod gitlab;
mod runner;

use crate::rig::claviger::Claviger;
use crate::rig::oidc::TokenIssuer;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const GITLAB: &str = "https://gitlab.example";

/// A value with secret lines, and with lines so short that masking them would hide half of a log.
const LINES: &str = "{\n  \"private_key\": \"s3cret-line\"\n}\n1\ntrue-s3cret\n";
/// A value that contains workflow commands.
const COMMANDS: &str = "100%0As3cret\r\n::set-env name=X::s3cret-y";

/// A Claviger with the policies of `examples/ci`, and the issuers that it trusts.
pub struct Service {
    pub claviger: Claviger,
    pub issuer: Arc<TokenIssuer>,
}

/// The folder of the documented policies.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci")
}

impl Service {
    pub fn new() -> Self {
        Self::with(&json!({}), &json!({}))
    }

    /// `more` adds keys for `acme/site` on `main` in GitHub; `policy` changes the policy that reads them.
    pub fn with(more: &Value, policy: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let issuer = TokenIssuer::new();
        fs::write(at("jwks.json"), issuer.jwks().to_string()).unwrap();
        let mut site = json!({"NPM_TOKEN": "npm-s3cret", "CONFIG": LINES, "COMMANDS": COMMANDS, "PIN": "123", "EMPTY": "",
            "GITHUB_TOKEN": "it's \"$(id)\" `s3cret-z`\n"});
        site.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let secrets = json!({
            "homelab/github/99/main": site,
            "homelab/github-production/99": {"DEPLOY_TOKEN": "deploy-s3cret"},
            "homelab/publish": {"PUBLISH_TOKEN": "publish-s3cret"},
            "homelab/gitlab/7/main": {"NPM_TOKEN": "gitlab-s3cret"},
        });
        fs::write(at("secrets.yaml"), secrets.to_string()).unwrap();
        fs::create_dir(at("policies")).unwrap();
        for entry in fs::read_dir(examples()).unwrap() {
            let file = entry.unwrap().path();
            fs::copy(&file, at("policies").join(file.file_name().unwrap())).unwrap();
        }
        if let Some(keys) = policy.get("keys") {
            let file = at("policies/github-push.yaml");
            let text = fs::read_to_string(&file).unwrap();
            let changed = text.replace("{branch}\"}", &format!("{{branch}}\", keys: {keys}}}"));
            assert_ne!(text, changed);
            fs::write(file, changed).unwrap();
        }
        let oidc = |name: &str, issuer: &str| {
            json!({"name": name, "oidc": {"issuer": issuer, "audience": "claviger", "jwksFile": at("jwks.json"),
                "algorithms": ["ES256"]}})
        };
        let config = json!({
            "authenticators": [oidc("github", GITHUB), oidc("gitlab", GITLAB)],
            "stores": [{"name": "vault", "file": {"path": at("secrets.yaml")}}],
            "policies": {"directory": at("policies")},
        });
        Self { claviger: Claviger::serve_in(folder, config), issuer: Arc::new(issuer) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.claviger.api)
    }
}

/// The claims of GitHub's id token for a push to `main` of `acme/site`, with these changes.
pub fn github_claims(changes: &Value) -> Value {
    with(
        json!({"iss": GITHUB, "sub": "repo:acme/site:ref:refs/heads/main", "role": null, "repository": "acme/site",
            "repository_id": "99", "repository_owner": "acme", "repository_owner_id": "4711", "event_name": "push",
            "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true", "runner_environment": "github-hosted",
            "workflow_ref": "acme/site/.github/workflows/build.yml@refs/heads/main",
            "job_workflow_ref": "acme/site/.github/workflows/build.yml@refs/heads/main"}),
        changes,
    )
}

/// The claims of GitLab's id token for a job on the protected branch `main`, with these changes.
pub fn gitlab_claims(changes: &Value) -> Value {
    with(
        json!({"iss": GITLAB, "sub": "project_path:acme/site:ref_type:branch:ref:main", "role": null, "namespace_id": "42",
            "project_id": "7", "job_project_id": "7", "project_path": "acme/site", "ref": "main", "ref_type": "branch",
            "ref_protected": "true", "pipeline_source": "push"}),
        changes,
    )
}

fn with(mut claims: Value, changes: &Value) -> Value {
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}
