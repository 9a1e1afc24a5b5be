//! Two clusters at one broker: a real one, and one with a hostile API server.

use crate::rig::claviger::{Claviger, write_policies};
use crate::rig::http::Answer;
use crate::rig::kube::actors::Kube;
use crate::rig::kube::hostile::HostileApiServer;
use crate::rig::kube::{DEFAULT_AUDIENCE, User};
use crate::rig::oidc::TokenIssuer;
use serde_json::{Value, json};

const DEV: &str = "https://dev.invalid";

/// A broker of both clusters, and the clusters.
struct TwoClusters {
    kube: Kube,
    dev: HostileApiServer,
    claviger: Claviger,
}

impl TwoClusters {
    /// `user` is the answer of the hostile API server to reviews; `administrators` is that section of the
    /// configuration.
    async fn start(user: Value, administrators: Value) -> Self {
        let (kube, dev) = (Kube::start().await, HostileApiServer::authenticating_as(user).await);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secrets.yaml"), r#"{"homelab/site/main": {"TOKEN": "s3cret"}}"#).unwrap();
        let spec = json!({
            "subjects": [{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}],
            "repos": ["site"], "branches": ["main"], "condition": "caller.issuer == 'prod'",
            "secrets": [{"store": "local", "path": "homelab/{repo}/{branch}"}],
            "ticket": {"bindTo": "identity"}, "delivery": ["ticket", "direct"],
        });
        write_policies(&folder.path().join("policies"), &[("site", spec)]);
        let kubernetes = |kubeconfig, issuer| json!({"kubeconfig": kubeconfig, "issuer": issuer, "cacheTtl": "0s"});
        let config = json!({
            "authenticators": [
                {"name": "dev", "kubernetes": kubernetes(dev.kubeconfig(folder.path()), DEV)},
                {"name": "prod", "kubernetes": kubernetes(kube.plane.kubeconfig(User::Broker), DEFAULT_AUDIENCE)},
            ],
            "administrators": administrators,
            "stores": [{"name": "local", "file": {"path": "secrets.yaml"}}],
            "policies": {"directory": "policies"},
        });
        let claviger = Claviger::serve_in(folder, config);
        Self { kube, dev, claviger }
    }

    fn ask(&self, token: &str) -> Answer {
        self.claviger.ask(token, "repo=site&branch=main")
    }

    fn send(&self, token: &str, method: &str, target: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        self.claviger.send(method, target, &headers, body.as_bytes())
    }

    fn reviews(&self) -> u64 {
        self.claviger.count("claviger_token_review_duration_seconds_count")
    }
}

/// An unsigned token that claims this issuer.
fn token_claiming(issuer: &str) -> String {
    TokenIssuer::new().token(&json!({"iss": issuer}))
}

fn pod() -> Value {
    json!({"username": "system:serviceaccount:ci:build-bot", "extra": {
        "authentication.kubernetes.io/pod-name": ["build-1"], "authentication.kubernetes.io/pod-uid": ["u"]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_sent_to_the_api_server_of_another_cluster() {
    let clusters = TwoClusters::start(pod(), json!({"subjectAccessReview": ["prod"]})).await;
    let pod = clusters.kube.pod("ci/build-bot").await;
    let ticket = clusters.ask(&pod.token);
    assert_eq!(ticket.status, 201, "{ticket:?}");
    let path = crate::rig::claviger::download_path(&ticket);
    // Each of these requests contains a token of an unverified issuer.
    assert_eq!(clusters.send(&pod.token, "GET", &path, "").status, 200);
    assert_eq!(clusters.send(&pod.token, "POST", "/v1/secrets", r#"{"repo":"site","branch":"main"}"#).status, 200);
    assert_eq!(clusters.send(&pod.token, "GET", "/v1/policies", "").status, 403, "no administrator");
    clusters
        .kube
        .grant_cluster_role("ci", "explainer", &[json!({"resources": ["decisions"], "verbs": ["create"]})])
        .await;
    let admin = clusters.kube.unbound_token("ci/explainer", "claviger").await;
    let question = json!({"token": pod.token, "repo": "site", "branch": "main"}).to_string();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let explained = loop {
        let explained = clusters.send(&admin, "POST", "/v1/decisions", &question);
        // Roles take a moment to reach the API server's authoriser.
        if explained.status == 200 || std::time::Instant::now() > deadline {
            break explained;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!((explained.status, &explained.json()["allowed"]), (200, &json!(true)), "{explained:?}");
    assert_eq!(clusters.dev.take_requests(), Vec::<String>::new());

    // Tokens of other issuers are sent to neither cluster.
    let before = clusters.reviews();
    for other in ["https://other.invalid", "", "https://kubernetes.default.svc/", "https://dev.invalid."] {
        let answer = clusters.ask(&token_claiming(other));
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthenticated"), "{other:?}");
    }
    assert_eq!(clusters.ask(&TokenIssuer::new().token(&json!({"iss": null}))).status, 401);
    assert_eq!((clusters.reviews(), clusters.dev.take_requests()), (before, Vec::new()));

    // Its own tokens are sent to it, and its answer never makes a caller a pod of the other cluster.
    let own = token_claiming(DEV);
    assert_eq!((clusters.ask(&own).status, clusters.ask(&own).code().as_str()), (403, "denied"));
    let asked = clusters.dev.take_requests();
    assert!(asked.iter().any(|asked| asked.contains("tokenreviews") && asked.contains(&own)), "{asked:?}");
    assert!(!asked.iter().any(|asked| asked.contains(&pod.token)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_administrators_only_if_their_cluster_is_listed() {
    let alice = json!({"username": "alice", "groups": ["system:masters"]});
    let policy = json!({"name": "mine", "spec": {
        "subjects": [{"kubernetes": {"namespaces": ["**"], "serviceAccounts": ["**"]}}], "repos": ["**"], "branches": ["**"],
        "secrets": [{"store": "local", "path": "homelab/{repo}/{branch}"}]}})
    .to_string();
    for (listed, status) in
        [(json!(["prod"]), 403), (json!([]), 403), (json!(false), 403), (json!(["prod", "dev"]), 201)]
    {
        let clusters = TwoClusters::start(alice.clone(), json!({"subjectAccessReview": listed})).await;
        let answer = clusters.send(&token_claiming(DEV), "POST", "/v1/policies", &policy);
        assert_eq!(answer.status, status, "{listed}: {answer:?}");
        let reviewed = clusters.dev.take_requests().iter().any(|asked| asked.contains("subjectaccessreviews"));
        assert_eq!(reviewed, status == 201, "{listed}");
    }
}
