//! Tokens with and without a pod at a real API server: each gets its secrets, and deny policies apply to both.

use super::{UNBOUND, setup, subject};
use crate::rig::claviger::run;
use crate::rig::http::Answer;
use crate::rig::installation::{Installation, InstallationSetup};
use crate::rig::kube::{DEFAULT_AUDIENCE, User};
use serde_json::{Value, json};

const ISSUER_JWKS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

trait RequestSecrets {
    /// Requests secrets in the response.
    fn direct(&self, token: &str, repo: &str) -> Answer;
    /// Requests a ticket.
    fn ticket(&self, token: &str, repo: &str) -> Answer;
}

impl RequestSecrets for Installation {
    fn direct(&self, token: &str, repo: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let body = json!({"repo": repo, "branch": "main", "format": "json"}).to_string();
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        self.claviger.send("POST", "/v1/secrets", &headers, body.as_bytes())
    }

    fn ticket(&self, token: &str, repo: &str) -> Answer {
        self.claviger.ask(token, &format!("repo={repo}&branch=main"))
    }
}

/// The status, and the error code of a refusal.
fn status_and_code(answer: &Answer) -> (u16, String) {
    (answer.status, if answer.status < 300 { String::new() } else { answer.code() })
}

fn policy(repo: &str, bound: &str, delivery: &[&str]) -> Value {
    json!({
        "subjects": subject(bound), "repos": [repo], "branches": ["main"],
        "secrets": [{"store": "vault", "path": "homelab/{namespace}/{repo}"}], "delivery": delivery,
    })
}

/// Repo `unbound` is for tokens without a pod, `pods` for those with one, `both` and `frozen` for both; `frozen` has a deny policy.
async fn install(setup: InstallationSetup) -> Installation {
    for repo in ["unbound", "pods", "both", "frozen"] {
        setup.bao.put(&format!("homelab/ci/{repo}"), &[("OF", repo)]).await;
    }
    setup.policy("unbound", policy("unbound", "none", &["direct", "ticket"]));
    setup.policy("pods", policy("pods", "pod", &["direct", "ticket"]));
    setup.policy("both", policy("both", "any", &["direct", "ticket"]));
    setup.policy("frozen", policy("frozen", "any", &["direct", "ticket"]));
    setup.policy(
        "freeze",
        json!({
            "effect": "deny", "repos": ["frozen"], "branches": ["**"],
            "subjects": [{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["**"]}}],
        }),
    );
    setup.start()
}

#[tokio::test]
async fn each_token_gets_what_its_audience_and_its_pod_say() {
    let rig = install(setup().await).await;
    let pod = rig.kube.pod("ci/build-bot").await;
    let unbound = async |audiences: &[&str]| rig.kube.unbound_token_for_audiences("ci/build-bot", audiences).await;
    for token in [unbound(&[UNBOUND]).await, unbound(&["claviger", UNBOUND]).await, unbound(&[UNBOUND, "vault"]).await]
    {
        for repo in ["unbound", "both"] {
            let answer = rig.direct(&token, repo);
            assert_eq!((answer.status, answer.json()), (200, json!({"OF": repo})), "{answer:?}");
            assert_eq!(status_and_code(&rig.ticket(&token, repo)), (403, "delivery_not_allowed".into()), "{repo}");
        }
        assert_eq!(status_and_code(&rig.direct(&token, "pods")), (403, "denied".into()));
        assert_eq!(status_and_code(&rig.ticket(&token, "pods")), (403, "denied".into()));
        assert_eq!(status_and_code(&rig.direct(&token, "frozen")), (403, "denied".into()));
    }
    for token in [unbound(&["claviger"]).await, unbound(&["claviger", "vault"]).await] {
        for repo in ["unbound", "both", "pods"] {
            assert_eq!(status_and_code(&rig.direct(&token, repo)), (403, "not_pod_bound".into()), "{repo}");
            assert_eq!(status_and_code(&rig.ticket(&token, repo)), (403, "not_pod_bound".into()), "{repo}");
        }
    }
    for token in [unbound(&["vault"]).await, unbound(&[DEFAULT_AUDIENCE]).await] {
        assert_eq!(status_and_code(&rig.direct(&token, "unbound")), (401, "unauthenticated".into()));
    }
    for token in
        [pod.token.clone(), pod.token_for(UNBOUND).await, pod.token_for_audiences(&["claviger", UNBOUND]).await]
    {
        for repo in ["pods", "both"] {
            assert_eq!(rig.direct(&token, repo).json(), json!({"OF": repo}));
            assert_eq!(status_and_code(&rig.ticket(&token, repo)), (201, String::new()), "{repo}");
        }
        assert_eq!(status_and_code(&rig.direct(&token, "unbound")), (403, "denied".into()));
        assert_eq!(status_and_code(&rig.ticket(&token, "frozen")), (403, "denied".into()));
    }
    let elsewhere = rig.kube.unbound_token("cd/build-bot", UNBOUND).await;
    assert_eq!(status_and_code(&rig.direct(&elsewhere, "unbound")), (403, "denied".into()), "another namespace");
}

#[tokio::test]
async fn without_configuration_no_audience_admits_a_token_without_a_pod() {
    let mut setup = setup().await;
    setup.config["authenticators"][0]["kubernetes"].as_object_mut().unwrap().remove("unboundAudience");
    let rig = install(setup).await;
    let token = rig.kube.unbound_token_for_audiences("ci/build-bot", &["claviger", UNBOUND]).await;
    assert_eq!(status_and_code(&rig.direct(&token, "unbound")), (403, "not_pod_bound".into()));
    let token = rig.kube.unbound_token("ci/build-bot", UNBOUND).await;
    assert_eq!(status_and_code(&rig.direct(&token, "unbound")), (401, "unauthenticated".into()));
    let pod = rig.kube.pod("ci/build-bot").await;
    assert_eq!(status_and_code(&rig.ticket(&pod.token, "pods")), (201, String::new()));
}

#[tokio::test]
async fn deny_policies_apply_to_tokens_with_and_without_a_pod() {
    let rig = install(setup().await).await;
    let (pod, unbound) = (rig.kube.pod("ci/build-bot").await, rig.kube.unbound_token("ci/build-bot", UNBOUND).await);
    for token in [&pod.token, &pod.token_for(UNBOUND).await, &unbound] {
        assert_eq!(status_and_code(&rig.direct(token, "frozen")), (403, "denied".into()));
        assert_eq!(rig.direct(token, "both").status, 200);
    }
    pod.set_phase("Succeeded").await;
    assert_eq!(
        status_and_code(&rig.direct(&pod.token_for(UNBOUND).await, "both")),
        (401, "unauthenticated".into()),
        "the pod has finished"
    );
    assert_eq!(rig.direct(&unbound, "both").status, 200);
    rig.kube.unbound_token("ci/leaving", UNBOUND).await;
    let leaving = rig.kube.unbound_token("ci/leaving", UNBOUND).await;
    rig.kube.delete_service_account("ci/leaving").await;
    crate::rig::bao::until("the end of the account's token", async || {
        status_and_code(&rig.direct(&leaving, "both")) == (401, "unauthenticated".into())
    })
    .await;
}

#[tokio::test]
async fn events_name_the_account_and_no_pod() {
    let rig = install(setup().await).await;
    let (unbound, refused) = (
        rig.kube.unbound_token("ci/build-bot", UNBOUND).await,
        rig.kube.unbound_token("ci/build-bot", "claviger").await,
    );
    assert_eq!(rig.direct(&unbound, "unbound").status, 200);
    assert_eq!(status_and_code(&rig.ticket(&unbound, "unbound")), (403, "delivery_not_allowed".into()));
    assert_eq!(status_and_code(&rig.direct(&refused, "unbound")), (403, "not_pod_bound".into()));
    let account = json!({
        "issuer": "cluster", "subject": "system:serviceaccount:ci:build-bot",
        "namespace": "ci", "serviceAccount": "build-bot", "pod": null,
    });
    crate::rig::claviger::wait_until("the count of refused tokens", || {
        rig.claviger.audit_events().iter().any(|event| event["type"] == "authn.failed")
    });
    for (kind, reason) in [
        ("secrets.read", json!(null)),
        ("ticket.denied", json!("delivery_not_allowed")),
        ("authn.failed", json!("not_pod_bound")),
    ] {
        let events = rig.claviger.audit_events();
        let event = events.iter().find(|event| event["type"] == kind).unwrap();
        assert_eq!((&event["caller"], &event["reason"]), (&account, &reason), "{event}");
    }
}

#[tokio::test]
async fn policies_that_attest_by_pod_do_not_match_and_explanations_say_why() {
    let setup = setup().await;
    let mut attesting = policy("attested", "any", &["direct"]);
    attesting["attest"] = json!({"repo": r#"caller.pod.labels["repo"]"#});
    setup.bao.put("homelab/ci/attested", &[("OF", "attested")]).await;
    setup.policy("attesting", attesting);
    setup.kube.grant_cluster_role("ci", "auditor", &[json!({"resources": ["decisions"], "verbs": ["create"]})]).await;
    let rig = install(setup).await;
    let labelled = rig.kube.pod_with("ci/build-bot", json!({"labels": {"repo": "attested"}})).await;
    assert_eq!(rig.direct(&labelled.token, "attested").json(), json!({"OF": "attested"}));
    let unbound = rig.kube.unbound_token("ci/build-bot", UNBOUND).await;
    assert_eq!(status_and_code(&rig.direct(&unbound, "attested")), (403, "attestation_failed".into()));

    let administers = |token: &str, body: &Value| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        rig.claviger.send("POST", "/v1/decisions", &headers, body.to_string().as_bytes())
    };
    let auditor = rig.kube.unbound_token("ci/auditor", "claviger").await;
    let caller = json!({"namespace": "ci", "serviceAccount": "build-bot", "bound": "none"});
    for who in [json!({"token": unbound}), json!({"caller": caller})] {
        let ask = |repo: &str| {
            let mut body = who.clone();
            (body["repo"], body["branch"]) = (json!(repo), json!("main"));
            administers(&auditor, &body).json()
        };
        assert_eq!((&ask("unbound")["allowed"], &ask("frozen")["reason"]), (&json!(true), &json!("denied_by_policy")));
        let pods = ask("pods");
        let verdicts = pods["policies"].as_array().unwrap();
        let verdict = verdicts.iter().find(|policy| policy["name"] == "pods").unwrap();
        assert_eq!(verdict["failedAt"], "subjects");
        assert!(verdict["detail"].as_str().unwrap().contains("bound to no pod"), "{verdict}");
    }
    // A token for callers without a pod never administers, whatever the permissions of its account.
    let auditor = rig.kube.unbound_token("ci/auditor", UNBOUND).await;
    let answer = administers(&auditor, &json!({"caller": caller, "repo": "unbound", "branch": "main"}));
    assert_eq!(status_and_code(&answer), (403, "denied".into()));
}

#[tokio::test]
async fn dynamic_credentials_are_shared_or_refused() {
    let setup = setup().await;
    setup.bao.enable_database().await;
    setup.bao.database_role("app", "1h", "2h").await;
    let acl = r#"path "database/creds/*" { capabilities = ["read"] }
        path "homelab/data/*" { capabilities = ["read"] }
        path "sys/leases/*" { capabilities = ["update"] }"#;
    setup.bao.policy("claviger", acl).await;
    for mode in ["perPod", "shared"] {
        let mut spec = policy(mode, "any", &["direct"]);
        spec["secrets"] = json!([{"store": "vault", "path": "database/creds/app", "lease": mode}]);
        setup.policy(&mode.to_lowercase(), spec);
    }
    let rig = setup.start();
    let token = async || rig.kube.unbound_token("ci/build-bot", UNBOUND).await;
    assert_eq!(status_and_code(&rig.direct(&token().await, "perPod")), (403, "not_pod_bound".into()));
    let (first, second) = (rig.direct(&token().await, "shared"), rig.direct(&token().await, "shared"));
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.json(), second.json(), "one credential is shared by all refreshes");
    let pod = rig.kube.pod("ci/build-bot").await;
    let of_pod = rig.direct(&pod.token, "perPod");
    assert!(of_pod.status == 200 && of_pod.json() != first.json(), "{of_pod:?}");
}

#[tokio::test]
async fn an_oidc_entry_of_a_clusters_issuer_is_refused() {
    let setup = setup().await;
    let mut config = setup.config.clone();
    config["database"] = json!({"url": "sqlite://claviger.db"});
    config["server"] = json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0"});
    std::fs::write(setup.folder.path().join("jwks.json"), ISSUER_JWKS).unwrap();
    let on = |issuer: Option<&str>, oidc: &str, arguments: &[&str]| {
        let mut config = config.clone();
        config["authenticators"][0]["kubernetes"]["issuer"] = json!(issuer);
        let entry = json!({"name": "own", "oidc": {"issuer": oidc, "audience": UNBOUND, "jwksFile": "jwks.json"}});
        config["authenticators"].as_array_mut().unwrap().push(entry);
        let file = setup.folder.path().join("claviger.yaml");
        std::fs::write(&file, config.to_string()).unwrap();
        run(&[arguments, &["--config", file.to_str().unwrap()]].concat())
    };
    let told = "authenticators[1].oidc.issuer: is the issuer of a cluster that has a kubernetes entry";
    for command in [&["check"][..], &["check", "--online"], &["serve"]] {
        let (code, _, stderr) = on(Some(DEFAULT_AUDIENCE), DEFAULT_AUDIENCE, command);
        assert!(code == Some(2) && stderr.contains(told), "{command:?} {code:?} {stderr}");
    }
    // If it is not configured, it is read from the API server, where permitted.
    let admin = setup.kube.plane.kubeconfig(User::Admin);
    let online = |user: &std::path::Path, oidc: &str| {
        let mut config = config.clone();
        config["authenticators"][0]["kubernetes"]["kubeconfig"] = json!(user);
        let entry = json!({"name": "own", "oidc": {"issuer": oidc, "audience": UNBOUND, "jwksFile": "jwks.json"}});
        config["authenticators"].as_array_mut().unwrap().push(entry);
        let file = setup.folder.path().join("online.yaml");
        std::fs::write(&file, config.to_string()).unwrap();
        run(&["check", "--online", "--config", file.to_str().unwrap()])
    };
    let (code, stdout, _) = online(&admin, DEFAULT_AUDIENCE);
    assert!(code == Some(1) && stdout.contains(told), "{code:?} {stdout}");
    let (_, stdout, _) = online(&admin, "https://elsewhere.example");
    assert!(!stdout.contains("is the issuer of a cluster"), "{stdout}");
}
