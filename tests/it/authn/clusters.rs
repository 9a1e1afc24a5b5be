//! Two clusters at one broker: a real one, and one with a hostile API server.

use crate::rig::claviger::{Claviger, write_policies};
use crate::rig::http::Answer;
use crate::rig::kube::actors::Kube;
use crate::rig::kube::hostile::Hostile;
use crate::rig::kube::{DEFAULT_AUDIENCE, User};
use crate::rig::oidc::Issuer;
use serde_json::{Value, json};

const DEV: &str = "https://dev.invalid";

/// A broker of both clusters, and what a test needs of them.
struct Both {
    kube: Kube,
    dev: Hostile,
    claviger: Claviger,
}

impl Both {
    /// `user` is the answer of the hostile API server to reviews; `administrators` is that section of the
    /// configuration.
    async fn start(user: Value, administrators: Value) -> Self {
        let (kube, dev) = (Kube::start().await, Hostile::vouching_for(user).await);
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

    fn with(&self, token: &str, method: &str, target: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        self.claviger.send(method, target, &headers, body.as_bytes())
    }

    fn reviews(&self) -> u64 {
        self.claviger.count("claviger_token_review_duration_seconds_count")
    }
}

/// A token that says it is of this issuer.
fn claiming(issuer: &str) -> String {
    Issuer::new().token(&json!({"iss": issuer}))
}

fn pod() -> Value {
    json!({"username": "system:serviceaccount:ci:build-bot", "extra": {
        "authentication.kubernetes.io/pod-name": ["build-1"], "authentication.kubernetes.io/pod-uid": ["u"]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_of_one_cluster_is_shown_no_token_of_another() {
    let both = Both::start(pod(), json!({"subjectAccessReview": ["prod"]})).await;
    let pod = both.kube.pod("ci/build-bot").await;
    let ticket = both.ask(&pod.token);
    assert_eq!(ticket.status, 201, "{ticket:?}");
    let path = crate::rig::claviger::download_path(&ticket);
    // The token stands in each of these requests, and it may be anyone's.
    assert_eq!(both.with(&pod.token, "GET", &path, "").status, 200);
    assert_eq!(both.with(&pod.token, "POST", "/v1/secrets", r#"{"repo":"site","branch":"main"}"#).status, 200);
    assert_eq!(both.with(&pod.token, "GET", "/v1/policies", "").status, 403, "no administrator");
    both.kube.allows("ci", "explainer", &[json!({"resources": ["decisions"], "verbs": ["create"]})]).await;
    let admin = both.kube.unbound_token("ci/explainer", "claviger").await;
    let question = json!({"token": pod.token, "repo": "site", "branch": "main"}).to_string();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let explained = loop {
        let explained = both.with(&admin, "POST", "/v1/decisions", &question);
        // Roles take a moment to reach the API server's authoriser.
        if explained.status == 200 || std::time::Instant::now() > deadline {
            break explained;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!((explained.status, &explained.json()["allowed"]), (200, &json!(true)), "{explained:?}");
    assert_eq!(both.dev.asked(), Vec::<String>::new());

    // Tokens of other issuers are sent to neither cluster.
    let before = both.reviews();
    for other in ["https://other.invalid", "", "https://kubernetes.default.svc/", "https://dev.invalid."] {
        let answer = both.ask(&claiming(other));
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthenticated"), "{other:?}");
    }
    assert_eq!(both.ask(&Issuer::new().token(&json!({"iss": null}))).status, 401);
    assert_eq!((both.reviews(), both.dev.asked()), (before, Vec::new()));

    // Its own tokens are sent to it, and its answer makes nobody a pod of the other cluster.
    let own = claiming(DEV);
    assert_eq!((both.ask(&own).status, both.ask(&own).code().as_str()), (403, "denied"));
    let asked = both.dev.asked();
    assert!(asked.iter().any(|asked| asked.contains("tokenreviews") && asked.contains(&own)), "{asked:?}");
    assert!(!asked.iter().any(|asked| asked.contains(&pod.token)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_users_of_a_cluster_administer_only_where_it_is_listed() {
    let alice = json!({"username": "alice", "groups": ["system:masters"]});
    let policy = json!({"name": "mine", "spec": {
        "subjects": [{"kubernetes": {"namespaces": ["**"], "serviceAccounts": ["**"]}}], "repos": ["**"], "branches": ["**"],
        "secrets": [{"store": "local", "path": "homelab/{repo}/{branch}"}]}})
    .to_string();
    for (listed, status) in
        [(json!(["prod"]), 403), (json!([]), 403), (json!(false), 403), (json!(["prod", "dev"]), 201)]
    {
        let both = Both::start(alice.clone(), json!({"subjectAccessReview": listed})).await;
        let answer = both.with(&claiming(DEV), "POST", "/v1/policies", &policy);
        assert_eq!(answer.status, status, "{listed}: {answer:?}");
        let reviewed = both.dev.asked().iter().any(|asked| asked.contains("subjectaccessreviews"));
        assert_eq!(reviewed, status == 201, "{listed}");
    }
}
