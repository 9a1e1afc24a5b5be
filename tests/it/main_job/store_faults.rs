//! Missing, forbidden and failed reads are different: only a missing secret gives an empty bundle.

use crate::rig::installation::InstallationSetup;
use serde_json::{Value, json};

/// One policy for each repo, with one secret.
fn policies(setup: &InstallationSetup, secrets: &[(&str, Value)]) {
    for (repo, secret) in secrets {
        let mut secret = secret.clone();
        secret["store"] = json!("vault");
        let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
        setup.policy(repo, json!({"subjects": subjects, "repos": [repo], "branches": ["main"], "secrets": [secret]}));
    }
}

#[tokio::test]
async fn faults_of_a_path_are_errors_and_never_an_empty_bundle() {
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/open/a", &[("K", "v")]).await;
    setup.bao.put("homelab/closed/a", &[("K", "v")]).await;
    policies(
        &setup,
        &[
            ("open", json!({"path": "homelab/open/a"})),
            ("closed", json!({"path": "homelab/closed/a", "required": false})),
            ("nowhere", json!({"path": "nomount/a", "required": false})),
            ("absent", json!({"path": "homelab/open/b"})),
        ],
    );
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    for (repo, code) in [("closed", "store_forbidden"), ("nowhere", "store_misconfigured")] {
        let answer = pod.asks(repo, "main").assert_refused(502, code);
        assert_eq!(answer.header("retry-after"), None, "{code} is not retried");
    }
    assert_eq!(pod.asks("open", "main").file(), "export K='v'\n# claviger: 1 keys\n");
    assert_eq!(pod.asks("absent", "main").file(), "");
    let events = rig.claviger.audit_events();
    let failed: Vec<&Value> = events.iter().filter(|event| event["type"] == "ticket.failed").collect();
    assert_eq!(
        failed.iter().map(|event| &event["reason"]).collect::<Vec<_>>(),
        ["store_forbidden", "store_misconfigured"]
    );
}

#[tokio::test]
async fn a_key_that_a_policy_needs_must_be_there() {
    let setup = InstallationSetup::new().await;
    setup.bao.put_json("homelab/a", r#"{"K":"v","NOTHING":null}"#).await;
    let path = "homelab/a";
    policies(
        &setup,
        &[
            ("there", json!({"path": path, "keys": ["K"], "required": true})),
            ("not-there", json!({"path": path, "keys": ["K", "NEEDED"], "required": true})),
            ("not-needed", json!({"path": path, "keys": ["K", "NEEDED"]})),
            ("nothing", json!({"path": path, "keys": ["NOTHING"], "required": true})),
        ],
    );
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    for repo in ["not-there", "nothing"] {
        let answer = pod.asks(repo, "main").assert_refused(502, "key_absent");
        assert_eq!(answer.header("retry-after"), None, "{repo}");
    }
    for repo in ["there", "not-needed"] {
        assert_eq!(pod.asks(repo, "main").file(), "export K='v'\n# claviger: 1 keys\n", "{repo}");
    }
}
