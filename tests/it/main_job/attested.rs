//! Repo and branch come from the cluster or the issuer, not from the request.

use crate::rig::claviger::{Claviger, download_path, run};
use crate::rig::http::Answer;
use crate::rig::installation::{Installation, InstallationSetup};
use crate::rig::kube::User;
use crate::rig::kube::actors::PodActor;
use crate::rig::kube::tekton::{self, Build};
use crate::rig::oidc::{TestServer, allow};
use crate::rig::tcp_relay::TcpRelay;
use serde_json::{Value, json};

/// The pods of `tekton/run-bot` get the secrets of the repo and branch in their `PipelineRun`'s params.
fn tekton_builds() -> Value {
    json!({
        "subjects": [{"kubernetes": {"namespaces": ["tekton"], "serviceAccounts": ["run-bot"]}}],
        "repos": ["**"],
        "branches": ["**"],
        "attest": {"repo": "caller.pipelineRun.params.repo", "branch": "caller.pipelineRun.params['branch']"},
        "secrets": [{"store": "vault", "path": "homelab/{repo}/{branch}"}],
    })
}

/// Two repos, and a policy that requires attestation for both.
async fn two_repos() -> InstallationSetup {
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/site/main", &[("SITE", "1")]).await;
    setup.bao.put("homelab/shop/main", &[("SHOP", "1")]).await;
    setup.policy("tekton-builds", tekton_builds());
    setup
}

/// A build of a repo's branch `main`.
async fn build_of(rig: &Installation, repo: &str) -> Build {
    let params = json!([{"name": "repo", "value": repo}, {"name": "branch", "value": "main"}]);
    rig.kube.build("tekton/run-bot", tekton::BuildSpec { params, ..tekton::BuildSpec::default() }).await
}

/// The keys that a pod gets, or status and code of the refusal.
fn outcome_of(claviger: &Claviger, pod: &PodActor, form: &str) -> String {
    keys(&claviger.ask(&pod.token, form))
}

fn keys(answer: &Answer) -> String {
    if answer.status != 201 {
        return format!("{} {}", answer.status, answer.code());
    }
    let answer = answer.json();
    answer["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_build_gets_the_secrets_of_its_run_without_naming_repo_or_branch() {
    let rig = two_repos().await.start();
    let (site, shop) = (build_of(&rig, "site").await, build_of(&rig, "shop").await);
    for form in ["", "repo=site", "branch=main", "repo=site&branch=main"] {
        assert_eq!(outcome_of(&rig.claviger, &site.pod, form), "SITE", "{form}");
    }
    assert_eq!(outcome_of(&rig.claviger, &shop.pod, ""), "SHOP");
    for form in ["repo=shop", "repo=shop&branch=main", "branch=dev", "repo=site&branch=dev", "repo=Site", "branch=Main"]
    {
        assert_eq!(outcome_of(&rig.claviger, &site.pod, form), "403 attestation_failed", "{form}");
    }
    let events = rig.claviger.audit_events();
    for event in &events[..4] {
        assert_eq!([&event["type"], &event["repo"], &event["branch"]], ["ticket.issued", "site", "main"]);
    }
}

#[tokio::test]
async fn refusals_name_the_policies_in_the_log_only() {
    let rig = two_repos().await.start();
    let build = build_of(&rig, "site").await;
    let answer = rig.claviger.ask(&build.pod.token, "repo=shop&branch=main");
    assert_eq!(keys(&answer), "403 attestation_failed");
    let text = answer.text();
    for word in ["tekton-builds", "site", "shop", "main", "pipelineRun", "homelab", &build.pipeline_run.name] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    let event = rig.claviger.audit_events().pop().unwrap();
    assert_eq!(
        [&event["type"], &event["outcome"], &event["reason"]],
        ["ticket.denied", "denied", "attestation_failed"]
    );
    assert_eq!(
        [&event["policies"], &event["repo"], &event["keys"]],
        [&json!(["tekton-builds"]), &json!("shop"), &json!([])]
    );
}

#[tokio::test]
async fn a_pod_with_forged_labels_gets_nothing() {
    let rig = two_repos().await.start();
    let victim = build_of(&rig, "site").await;
    let labels =
        json!({"tekton.dev/pipelineRun": victim.pipeline_run.name, "tekton.dev/taskRun": victim.task_run.name});
    for claims in [
        json!({"labels": labels}),
        json!({"labels": labels, "ownerReferences": [victim.task_run.owner_reference()]}),
        json!({"labels": labels, "ownerReferences": [victim.pipeline_run.owner_reference()]}),
    ] {
        let thief = rig.kube.pod_with("tekton/run-bot", claims.clone()).await;
        let answer = outcome_of(&rig.claviger, &thief, "repo=site&branch=main");
        assert_eq!(answer, "403 attestation_failed", "{claims}");
        assert_eq!(outcome_of(&rig.claviger, &thief, ""), "400 invalid_request", "{claims}");
    }
    assert_eq!(outcome_of(&rig.claviger, &victim.pod, ""), "SITE");
    // A genuine run that has ended.
    let late = build_of(&rig, "site").await;
    late.pipeline_run.set_status(json!({"completionTime": "2026-01-01T00:00:00Z"})).await;
    assert_eq!(outcome_of(&rig.claviger, &late.pod, "repo=site&branch=main"), "403 attestation_failed");
}

/// Two attested repos and a policy without attestation, with an API server that can be disconnected.
async fn behind_a_relay() -> (InstallationSetup, TcpRelay) {
    let mut setup = two_repos().await;
    setup.policy(
        "plain",
        json!({
            "subjects": [{"kubernetes": {"namespaces": ["tekton"], "serviceAccounts": ["plain-bot"]}}],
            "repos": ["**"], "branches": ["**"], "secrets": [{"store": "vault", "path": "homelab/site/main"}],
        }),
    );
    let relay = TcpRelay::to(setup.kube.plane.port());
    setup.config["authenticators"][0]["kubernetes"] = json!({
        "kubeconfig": setup.kube.plane.kubeconfig_for_port(User::Broker, relay.port), "cacheTtl": "60s",
    });
    (setup, relay)
}

#[tokio::test]
async fn attestation_fails_while_the_api_server_is_away() {
    let (setup, relay) = behind_a_relay().await;
    let rig = setup.start();
    let (build, plain) = (build_of(&rig, "site").await, rig.kube.pod("tekton/plain-bot").await);
    // This caches both tokens, and no other lookup is made.
    for pod in [&build.pod, &plain] {
        assert_eq!(outcome_of(&rig.claviger, pod, "repo=..&branch=main"), "422 invalid_repo");
    }
    relay.disconnect();
    for form in ["", "repo=site&branch=main", "repo=shop&branch=main"] {
        let answer = rig.claviger.ask(&build.pod.token, form);
        assert_eq!(keys(&answer), "503 token_review_unavailable", "{form}");
        assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    }
    let event = rig.claviger.audit_events().pop().unwrap();
    assert_eq!([&event["outcome"], &event["reason"]], ["failed", "token_review_unavailable"]);
    assert_eq!(
        outcome_of(&rig.claviger, &plain, "repo=site&branch=main"),
        "SITE",
        "a policy without attestation grants"
    );

    relay.reconnect();
    assert_eq!(outcome_of(&rig.claviger, &build.pod, ""), "SITE", "errors are not cached");
}

#[tokio::test]
async fn a_condition_separates_namespaces() {
    let setup = two_repos().await;
    setup.policy(
        "by-namespace",
        json!({
            "subjects": [{"kubernetes": {"namespaces": ["team-*"], "serviceAccounts": ["**"]}}],
            "repos": ["**"], "branches": ["**"],
            "condition": "caller.namespace == 'team-' + request.repo && request.branch == 'main'",
            "secrets": [{"store": "vault", "path": "homelab/{repo}/main"}],
        }),
    );
    let rig = setup.start();
    let (site, shop) = (rig.kube.pod("team-site/bot").await, rig.kube.pod("team-shop/bot").await);
    for (pod, own, other, key) in [(&site, "site", "shop", "SITE"), (&shop, "shop", "site", "SHOP")] {
        assert_eq!(outcome_of(&rig.claviger, pod, &format!("repo={own}&branch=main")), key);
        assert_eq!(outcome_of(&rig.claviger, pod, &format!("repo={other}&branch=main")), "403 denied");
        assert_eq!(outcome_of(&rig.claviger, pod, &format!("repo={own}&branch=dev")), "403 denied");
    }
}

#[tokio::test]
async fn a_deny_policy_that_cannot_be_evaluated_denies() {
    let setup = two_repos().await;
    let everybody = json!([{"kubernetes": {"namespaces": ["tekton"], "serviceAccounts": ["deny-bot"]}}]);
    setup.policy(
        "all",
        json!({
            "subjects": everybody, "repos": ["**"], "branches": ["**"],
            "secrets": [{"store": "vault", "path": "homelab/{repo}/{branch}"}],
        }),
    );
    setup.policy(
        "no-shop",
        json!({
            "effect": "deny", "subjects": everybody, "repos": ["shop"], "branches": ["**"],
            "attest": {"repo": "caller.pod.labels['repo']"},
        }),
    );
    setup.policy(
        "no-strangers",
        json!({
            "effect": "deny", "subjects": everybody, "repos": ["site"], "branches": ["**"],
            "condition": "caller.pod.labels.trusted != 'yes'",
        }),
    );
    let rig = setup.start();
    let pod = async |labels: Value| rig.kube.pod_with("tekton/deny-bot", json!({"labels": labels})).await;
    let (nameless, trusted, mistrusted) =
        (pod(json!({})).await, pod(json!({"trusted": "yes"})).await, pod(json!({"trusted": "no"})).await);
    let site = "repo=site&branch=main";
    assert_eq!(outcome_of(&rig.claviger, &nameless, "repo=shop&branch=main"), "403 denied", "its attestation fails");
    assert_eq!(outcome_of(&rig.claviger, &nameless, site), "403 denied", "its condition fails");
    assert_eq!(outcome_of(&rig.claviger, &mistrusted, site), "403 denied");
    assert_eq!(outcome_of(&rig.claviger, &trusted, site), "SITE");
    let reasons = rig.claviger.audit_events();
    let by = |event: &Value| (event["reason"].clone(), event["policies"].clone());
    assert_eq!(by(&reasons[0]), (json!("denied_by_policy"), json!(["no-shop"])));
    assert_eq!(by(&reasons[1]), (json!("denied_by_policy"), json!(["no-strangers"])));
}

/// A token like GitHub's, for a push to `main` of `acme/site`.
fn github(changes: &Value) -> Value {
    let mut claims = json!({
        "repository": "acme/site", "repository_id": "815", "repository_owner_id": "4711", "event_name": "push",
        "ref": "refs/heads/main", "ref_type": "branch", "sub": "repo:acme/site:ref:refs/heads/main",
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}

#[test]
fn an_issuers_claims_say_what_is_built_and_a_forks_do_not_help_it() {
    let policy = allow(
        &["homelab/{repo}/{branch}"],
        &json!({
            "subjects": [{"oidc": {"issuer": "ci", "claims": {"repository_owner_id": "4711", "ref_type": "branch"}}}],
            "repos": ["acme/*"], "branches": ["main"],
            "attest": {
                "repo": "caller.claims.repository",
                "branch": "caller.claims.ref.startsWith('refs/heads/') ? caller.claims.ref.substring(11) : ''",
            },
            "condition": "caller.claims.event_name == 'push'",
        }),
    );
    let secrets = json!({"homelab/acme~site/main": {"SITE": "1"}, "homelab/acme~shop/main": {"SHOP": "1"}});
    let test_server = TestServer::start(&secrets, &[("github-push", policy)], &json!({}), &[]);
    let ask = |changes: &Value, form: &str| keys(&test_server.ask(&test_server.issuer.token(&github(changes)), form));
    let asserted = "repo=acme/site&branch=main";
    for form in ["", "repo=acme/site", asserted] {
        assert_eq!(ask(&json!({}), form), "SITE", "{form}");
    }
    assert_eq!(ask(&json!({"repository": "acme/shop"}), ""), "SHOP");
    let fork = json!({"repository": "mallory/site", "repository_id": "816", "repository_owner_id": "666"});
    for (changes, form, answer) in [
        (fork.clone(), "", "400 invalid_request"),
        (fork, asserted, "403 denied"),
        (json!({"repository": "acme/shop"}), asserted, "403 attestation_failed"),
        (json!({"repository": ["acme/site"]}), asserted, "403 attestation_failed"),
        (json!({"repository": null}), asserted, "403 attestation_failed"),
        (json!({"event_name": "pull_request"}), asserted, "403 denied"),
        (json!({"ref": "refs/heads/dev"}), asserted, "403 attestation_failed"),
        (json!({"ref": "refs/pull/1/merge"}), asserted, "403 attestation_failed"),
        (json!({"ref_type": "tag"}), asserted, "403 denied"),
    ] {
        assert_eq!(ask(&changes, form), answer, "{changes} {form}");
    }
}

#[tokio::test]
async fn a_build_that_tekton_has_not_recorded_yet_must_retry() {
    let rig = two_repos().await.start();
    let params = json!([{"name": "repo", "value": "site"}, {"name": "branch", "value": "main"}]);
    let late = async |task_run_status: Value, pipeline_run_status: Value| {
        let setup = tekton::BuildSpec {
            params: params.clone(),
            task_run_status,
            pipeline_run_status,
            ..tekton::BuildSpec::default()
        };
        rig.kube.build("tekton/run-bot", setup).await
    };
    for (task_run_status, pipeline_run_status) in
        [(json!({"podName": null}), json!({})), (json!({}), json!({"childReferences": null}))]
    {
        let build = late(task_run_status, pipeline_run_status).await;
        for form in ["repo=site&branch=main", "", "repo=shop&branch=main"] {
            let answer = rig.claviger.ask(&build.pod.token, form);
            assert_eq!(keys(&answer), "503 attestation_pending", "{form}");
            assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
        }
        let event = rig.claviger.audit_events().pop().unwrap();
        assert_eq!([&event["type"], &event["reason"]], ["ticket.failed", "attestation_pending"]);
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, &build.pod.token).unwrap();
        let (server, token) = (format!("http://{}", rig.claviger.api), token.display().to_string());
        let fetch = std::thread::spawn(move || {
            let asked = ["--repo", "site", "--branch", "main", "--timeout", "20s"];
            run(&[&["fetch", "--server", &server, "--token-file", &token][..], &asked].concat())
        });
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        build.task_run.set_status(json!({"podName": build.pod.name})).await;
        build.pipeline_run.set_status(build.task_run.as_child()).await;
        let (code, stdout, stderr) = fetch.join().unwrap();
        assert_eq!((code, stdout.starts_with("export SITE='1'\n")), (Some(0), true), "{stderr}");
    }
    let other = late(json!({"podName": "other"}), json!({})).await;
    assert_eq!(outcome_of(&rig.claviger, &other.pod, "repo=site&branch=main"), "403 attestation_failed");
    assert_eq!(outcome_of(&rig.claviger, &other.pod, ""), "400 invalid_request");
}

#[tokio::test]
async fn a_pod_that_replaced_another_gets_nothing_of_its_run() {
    let rig = two_repos().await.start();
    let mut build = build_of(&rig, "site").await;
    let started = json!({"startedAt": build.pod.creation_time().await});
    build.task_run.set_status(json!({"steps": [{"running": started}]})).await;
    assert_eq!(outcome_of(&rig.claviger, &build.pod, ""), "SITE");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let thief = build.pod.replace_with(json!({"ownerReferences": [build.task_run.owner_reference()]})).await;
    assert_eq!(outcome_of(&rig.claviger, &thief, "repo=site&branch=main"), "403 attestation_failed");
    assert_eq!(outcome_of(&rig.claviger, &thief, ""), "400 invalid_request");
}

#[tokio::test]
async fn a_task_run_of_no_pipeline_run_has_its_own_params() {
    let setup = two_repos().await;
    setup.policy(
        "task-runs",
        json!({
            "subjects": [{"kubernetes": {"namespaces": ["tasks"], "serviceAccounts": ["run-bot"]}}],
            "repos": ["**"],
            "branches": ["**"],
            "attest": {"repo": "caller.taskRun.params.repo", "branch": "caller.taskRun.params['branch']"},
            "condition": "caller.taskRun.labels.team == 'web' && caller.taskRun.name != ''",
            "secrets": [{"store": "vault", "path": "homelab/{repo}/{branch}"}],
        }),
    );
    let rig = setup.start();
    // The namespace exists once a pod does.
    let stranger = rig.kube.pod("tasks/run-bot").await;
    assert_eq!(outcome_of(&rig.claviger, &stranger, "repo=site&branch=main"), "403 attestation_failed");
    let spec = json!({"params": [{"name": "repo", "value": "site"}]});
    let run = rig.kube.run("TaskRun", "v1", "tasks", json!({"labels": {"team": "web"}}), spec).await;
    let pod = rig.kube.pod_with("tasks/run-bot", json!({"ownerReferences": [run.owner_reference()]})).await;
    assert_eq!(outcome_of(&rig.claviger, &pod, ""), "503 attestation_pending");
    let declared = json!([{"name": "branch", "default": "main"}]);
    run.set_status(json!({"podName": pod.name, "taskSpec": {"params": declared}})).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for (form, expected) in [("", "SITE"), ("repo=site", "SITE"), ("repo=shop", "403 attestation_failed")] {
        assert_eq!(outcome_of(&rig.claviger, &pod, form), expected, "{form}");
    }
    let thief = rig.kube.pod_with("tasks/run-bot", json!({"ownerReferences": [run.owner_reference()]})).await;
    assert_eq!(outcome_of(&rig.claviger, &thief, "repo=site&branch=main"), "403 attestation_failed");
}

#[tokio::test]
async fn a_pod_redeems_from_any_of_its_addresses_and_from_no_other() {
    let mut setup = two_repos().await;
    setup.config["server"] =
        json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "trustedProxies": ["127.0.0.1/32"]});
    let rig = setup.start();
    let from = |address: &str, method: &str, target: &str, pod: Option<&PodActor>| {
        let bearer = pod.map(|pod| format!("Bearer {}", pod.token)).unwrap_or_default();
        let mut headers = vec![("X-Forwarded-For", address), ("Content-Type", "application/x-www-form-urlencoded")];
        if pod.is_some() {
            headers.push(("Authorization", &bearer));
        }
        rig.claviger.send(method, target, &headers, b"")
    };
    let addresses = json!({"phase": "Running", "podIP": "10.1.2.3", "podIPs": [{"ip": "10.1.2.3"}, {"ip": "fd00::3"}]});
    for (asked, came, status) in [
        ("fd00::3", "10.1.2.3", 200),
        ("10.1.2.3", "fd00::3", 200),
        ("10.1.2.3", "10.1.2.3", 200),
        ("10.1.2.3", "::ffff:10.1.2.3", 200),
        ("192.0.2.1", "fd00:0::3", 200),
        ("fd00::3", "10.1.2.4", 403),
        ("fd00::3", "fd00::4", 403),
    ] {
        let build = build_of(&rig, "site").await;
        build.pod.set_status(addresses.clone()).await;
        let path = download_path(&from(asked, "POST", "/v1/tickets", Some(&build.pod)));
        let answer = from(came, "GET", &path, None);
        assert_eq!(answer.status, status, "{asked} {came}");
        if status == 403 {
            assert_eq!(answer.code(), "ticket_misuse");
        }
    }
    // The addresses of a pod that has ended may belong to another pod.
    let build = build_of(&rig, "site").await;
    build.pod.set_status(addresses).await;
    let path = download_path(&from("fd00::3", "POST", "/v1/tickets", Some(&build.pod)));
    build.pod.set_phase("Succeeded").await;
    tokio::time::sleep(std::time::Duration::from_millis(5100)).await;
    assert_eq!(from("10.1.2.3", "GET", &path, None).code(), "ticket_misuse");
}

#[tokio::test]
async fn a_key_that_is_proven_elsewhere_while_the_api_server_is_away_is_recorded() {
    let (mut setup, relay) = behind_a_relay().await;
    setup.config["server"] =
        json!({"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0", "trustedProxies": ["127.0.0.1/32"]});
    let rig = setup.start();
    // The namespace exists once a build does.
    let _build = build_of(&rig, "site").await;
    let pod = rig.kube.pod("tekton/plain-bot").await;
    let bearer = format!("Bearer {}", pod.token);
    let headers = [
        ("X-Forwarded-For", "10.1.2.3"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Authorization", bearer.as_str()),
    ];
    let path = download_path(&rig.claviger.send("POST", "/v1/tickets", &headers, b"repo=site&branch=main"));
    relay.disconnect();
    let from = |address: &str| rig.claviger.send("GET", &path, &[("X-Forwarded-For", address)], b"");
    assert_eq!(keys(&from("10.1.2.4")), "503 token_review_unavailable");
    let event = rig.claviger.audit_events().pop().unwrap();
    assert_eq!(
        [&event["type"], &event["outcome"], &event["reason"], &event["sourceIp"]],
        ["ticket.failed", "failed", "token_review_unavailable", "10.1.2.4"]
    );
    assert_eq!((&event["repo"], event["ticketId"].is_string()), (&json!("site"), true));
    // This does not consume or revoke the ticket.
    assert_eq!(from("10.1.2.3").status, 200);
}
