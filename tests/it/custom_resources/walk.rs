//! The main job: a policy of `kubectl apply` becomes active, has a status, and is listed by the API.

use super::cluster::{PolicyCluster, cluster_policy, policy};
use crate::rig::claviger::{Claviger, download_path, wait_until};
use crate::rig::http::Answer;
use crate::rig::kube::actors::PodActor;
use serde_json::{Value, json};

fn ask(claviger: &Claviger, pod: &PodActor) -> Answer {
    claviger.ask(&pod.token, "repo=site&branch=main")
}

pub fn is_allowed(claviger: &Claviger, pod: &PodActor) -> bool {
    let answer = ask(claviger, pod);
    match answer.status {
        201 => claviger.download(&download_path(&answer)).status == 200,
        403 => false,
        // The policies of the cluster were not read yet.
        503 if answer.code() == "policies_unavailable" => false,
        other => panic!("{other} {answer:?}\n{}", claviger.log()),
    }
}

/// An administrator of the API.
struct Admin<'a> {
    claviger: &'a Claviger,
    token: String,
}

impl Admin<'_> {
    fn send(&self, method: &str, target: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        self.claviger.send(
            method,
            target,
            &headers,
            if body.is_null() { String::new() } else { body.to_string() }.as_bytes(),
        )
    }
}

#[tokio::test]
async fn an_applied_policy_is_active_and_its_status_is_ready() {
    let cluster = PolicyCluster::exclusive().await;
    let (builds, team) =
        (cluster_policy("site-builds", "site"), policy("team-a", "site", "teams/{namespace}/{repo}/{branch}"));
    let (pod, member) = (cluster.pod("ci/build-bot").await, cluster.pod("team-a/build-bot").await);
    cluster.apply(&builds).succeeded();
    let claviger = PolicyCluster::serve(cluster.config());
    wait_until("the first list", || ask(&claviger, &pod).status == 201);
    assert!(!is_allowed(&claviger, &member));

    // The policy is active before its status says so: kubectl waits for the status.
    cluster.apply(&team).succeeded();
    cluster.kubectl(&["wait", "--for=condition=Ready", "cpol/site", "-n", "team-a", "--timeout=30s"]).succeeded();
    let answer = ask(&claviger, &member);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["policies"], json!(["team-a/site"]));
    assert!(claviger.download(&download_path(&answer)).text().contains("KEY='of-team-a'"));
    cluster.kubectl(&["wait", "--for=condition=Ready", "ccpol/site-builds", "--timeout=30s"]).succeeded();
    let columns = cluster.kubectl(&["get", "cpol", "-n", "team-a"]).succeeded();
    let words: Vec<&str> = columns.split_whitespace().collect();
    assert_eq!(&words[..5], ["NAME", "READY", "EFFECT", "MODE", "REPOS"], "{columns}");
    assert!(words[6..].starts_with(&["site", "True", "allow"]), "{columns}");
    assert!(columns.contains(r#"["site"]"#), "{columns}");
    let both = cluster.kubectl(&["get", "claviger", "--all-namespaces", "-o", "name"]).succeeded();
    assert!(
        both.contains("clusterpolicy.claviger.dev/site-builds") && both.contains("policy.claviger.dev/site"),
        "{both}"
    );

    // A change of the spec is a new generation; the status names it when it is active.
    let mut other = builds.clone();
    other["spec"]["repos"] = json!(["other"]);
    cluster.apply(&other).succeeded();
    assert_eq!(cluster.condition(&other).1, "Accepted");
    assert!(!is_allowed(&claviger, &pod));
    cluster.apply(&builds).succeeded();
    assert_eq!(cluster.condition(&builds).1, "Accepted");
    assert!(is_allowed(&claviger, &pod));
    cluster.kubectl(&["delete", "cpol", "site", "-n", "team-a"]).succeeded();
    wait_until("the deletion", || !is_allowed(&claviger, &member));

    let events = claviger.audit_events();
    assert!(events.iter().any(|event| event["type"] == "ticket.issued" && event["policies"][0] == "team-a/site"));
    // The series of a tenant's policy ends with it.
    assert!(!claviger.metrics().contains("team-a/site") && claviger.metrics().contains("policy=\"site-builds\""));
    assert_eq!(claviger.count("claviger_policy_watch_up{cluster=\"cluster\",kind=\"Policy\"}"), 1);
    assert_eq!(claviger.count("claviger_policy_resources{cluster=\"cluster\",reason=\"Accepted\"}"), 1);
}

#[tokio::test]
async fn the_api_lists_custom_resources_and_does_not_write_them() {
    let cluster = PolicyCluster::exclusive().await;
    let (builds, team) =
        (cluster_policy("site-builds", "site"), policy("team-a", "site", "teams/{namespace}/{repo}/{branch}"));
    let member = cluster.pod("team-a/build-bot").await;
    cluster.apply(&builds).succeeded();
    cluster.apply(&team).succeeded();
    cluster
        .kube
        .grant_cluster_role("admins", "alice", &[json!({"resources": ["policies", "decisions"], "verbs": ["*"]})])
        .await;
    let claviger = PolicyCluster::serve(cluster.config());
    let admin = Admin { claviger: &claviger, token: cluster.pod("admins/alice").await.token.clone() };
    wait_until("the first list", || is_allowed(&claviger, &member));

    let listed = admin.send("GET", "/v1/policies", &Value::Null).json();
    let names: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["site-builds", "team-a/site"]);
    let page = admin.send("GET", "/v1/policies?limit=1", &Value::Null).json();
    let next = page["continue"].as_str().unwrap();
    let second = admin.send("GET", &format!("/v1/policies?limit=1&continue={next}"), &Value::Null).json();
    assert_eq!(second["items"][0]["name"], "team-a/site");

    let shown = admin.send("GET", "/v1/policies/team-a%2Fsite", &Value::Null);
    assert_eq!(shown.status, 200, "{shown:?}");
    let shown = shown.json();
    assert_eq!((&shown["source"], &shown["updatedBy"]), (&json!("kubernetes"), &json!("gitops")));
    assert_eq!(shown["spec"]["subjects"], team["spec"]["subjects"], "as it was written");
    assert_eq!(admin.send("GET", "/v1/policies/team-a%2fsite", &Value::Null).status, 200);
    assert_eq!(admin.send("GET", "/v1/policies/team-a%2Fsite/revisions", &Value::Null).json()["items"], json!([]));
    for absent in ["/v1/policies/team-b%2Fsite", "/v1/policies/team-a%252Fsite", "/v1/policies/team-a%2Fsite%2Fx"] {
        assert_eq!(admin.send("GET", absent, &Value::Null).status, 404, "{absent}");
    }

    let body = json!({"spec": builds["spec"]});
    for name in ["site-builds", "team-a%2Fsite"] {
        for (method, body) in [("PUT", &body), ("DELETE", &Value::Null)] {
            let answer = admin.send(method, &format!("/v1/policies/{name}"), body);
            assert_eq!((answer.status, answer.code().as_str()), (409, "read_only"), "{method} {name}: {answer:?}");
        }
    }
    let taken = admin.send("POST", "/v1/policies", &json!({"name": "site-builds", "spec": builds["spec"]}));
    assert_eq!((taken.status, taken.code().as_str()), (409, "read_only"));
    let free = admin.send("PUT", "/v1/policies/free", &body);
    assert_eq!(free.status, 201, "{free:?}");

    let asked = json!({
        "caller": {"namespace": "team-a", "serviceAccount": "build-bot"}, "repo": "site", "branch": "main",
    });
    let explained = admin.send("POST", "/v1/decisions", &asked).json();
    assert_eq!(explained["allowed"], true, "{explained}");
    let of_team = explained["policies"].as_array().unwrap().iter().find(|one| one["name"] == "team-a/site").unwrap();
    assert_eq!(of_team["matched"], true);
    assert_eq!(explained["secrets"][0]["path"], "teams/team-a/site/main");
}
