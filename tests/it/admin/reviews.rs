//! Administrators of a cluster: the permissions that a real API server gives them, by verb and resource.

use super::{ApiUser, problem};
use crate::rig::claviger::Claviger;
use crate::rig::http::Answer;
use crate::rig::kube::actors::Kube;
use crate::rig::kube::{DEFAULT_AUDIENCE, User};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the API server's authoriser may take to see new roles.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
const VERBS: [&str; 5] = ["get", "list", "create", "update", "delete"];
const RESOURCES: [&str; 5] = ["policies", "tickets", "leases", "audit", "decisions"];

/// A route, and the permission that it requires.
struct Route {
    method: &'static str,
    target: &'static str,
    verbs: &'static [&'static str],
    resource: &'static str,
    /// The status for an authorised caller.
    status: u16,
}

const fn route(
    method: &'static str,
    target: &'static str,
    verbs: &'static [&'static str],
    resource: &'static str,
    status: u16,
) -> Route {
    Route { method, target, verbs, resource, status }
}

/// Every route for administrators. A `4xx` for an invalid body shows that the caller was authorised.
const ROUTES: [Route; 9] = [
    route("GET", "/v1/policies", &["list"], "policies", 200),
    route("POST", "/v1/policies", &["create"], "policies", 422),
    route("GET", "/v1/policies/site", &["get"], "policies", 200),
    route("GET", "/v1/policies/site/revisions", &["get"], "policies", 200),
    route("PUT", "/v1/policies/site", &["update"], "policies", 422),
    route("DELETE", "/v1/policies/nobody", &["delete"], "policies", 404),
    route("POST", "/v1/decisions", &["create"], "decisions", 400),
    route("GET", "/v1/audit?limit=1", &["list"], "audit", 200),
    route("GET", "/v1/audit/verify", &["get"], "audit", 200),
];

fn config(kubeconfig: &Path, folder: &Path, review: bool) -> Value {
    json!({
        "authenticators": [{"name": "cluster", "kubernetes": {"audience": "claviger", "kubeconfig": kubeconfig}}],
        "administrators": {"subjectAccessReview": review},
        "stores": [{"name": "local", "file": {"path": folder.join("secrets.yaml")}}],
        "policies": {"directory": folder.join("policies")},
    })
}

fn serve(kubeconfig: &Path, review: bool) -> Claviger {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secrets.yaml"), "{}").unwrap();
    let mut policy = super::spec("site");
    policy["subjects"] = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    crate::rig::claviger::write_policies(&folder.path().join("policies"), &[("site", policy)]);
    let config = config(kubeconfig, folder.path(), review);
    Claviger::serve_in(folder, config)
}

impl ApiUser<'_> {
    fn send_to(&self, route: &Route) -> Answer {
        let body: &[u8] = if route.method == "POST" || route.method == "PUT" { b"{}" } else { b"" };
        self.send(route.method, route.target, &[super::JSON], body)
    }

    /// Waits until the role has an effect.
    fn wait_until_allowed(&self, route: &Route) -> Answer {
        let deadline = Instant::now() + SEEN_WITHIN;
        loop {
            let answer = self.send_to(route);
            if answer.status != 403 || Instant::now() > deadline {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

async fn person<'a>(kube: &Kube, claviger: &'a Claviger, name: &str) -> ApiUser<'a> {
    ApiUser { claviger, token: kube.unbound_token(&format!("people/{name}"), "claviger").await }
}

fn name_of(route: &Route, kind: &str) -> String {
    let target: String = route.target.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{kind}-{}-{target}", route.method.to_lowercase())
}

#[tokio::test]
async fn each_route_requires_its_verb_on_its_resource() {
    let kube = Kube::start().await;
    let claviger = serve(&kube.plane.kubeconfig(User::Broker), true);
    for route in &ROUTES {
        let (one, others) = (name_of(route, "one"), name_of(route, "others"));
        kube.grant_cluster_role("people", &one, &[json!({"resources": [route.resource], "verbs": route.verbs})]).await;
        let other_verbs: Vec<_> = VERBS.into_iter().filter(|verb| !route.verbs.contains(verb)).collect();
        let other_resources: Vec<_> = RESOURCES.into_iter().filter(|resource| *resource != route.resource).collect();
        let rules = [
            json!({"resources": [route.resource], "verbs": other_verbs}),
            json!({"resources": other_resources, "verbs": VERBS}),
        ];
        kube.grant_cluster_role("people", &others, &rules).await;

        let allowed = person(&kube, &claviger, &one).await.wait_until_allowed(route);
        assert_eq!(allowed.status, route.status, "{} {} {allowed:?}", route.method, route.target);
        let other = person(&kube, &claviger, &others).await;
        // A refusal proves something only after the caller's own role has an effect.
        let elsewhere = ROUTES.iter().find(|one| one.resource != route.resource).unwrap();
        assert_eq!(other.wait_until_allowed(elsewhere).status, elsewhere.status);
        assert_eq!(problem(&other.send_to(route)), (403, "denied".into()), "{} {}", route.method, route.target);
    }
    let nobody = person(&kube, &claviger, "nobody").await;
    for route in &ROUTES {
        assert_eq!(problem(&nobody.send_to(route)), (403, "denied".into()), "{} {}", route.method, route.target);
    }
    let denied: Vec<_> = claviger
        .audit_events()
        .into_iter()
        .filter(|event| event["caller"]["subject"] == "system:serviceaccount:people:nobody")
        .collect();
    assert_eq!(denied.len(), ROUTES.len());
    for event in denied {
        assert_eq!((&event["type"], &event["outcome"]), (&json!("admin.denied"), &json!("denied")));
        assert_eq!((&event["reason"], &event["caller"]["pod"]), (&json!("no_opinion"), &json!(null)));
    }
}

#[tokio::test]
async fn a_role_can_be_limited_to_named_policies_and_update_does_not_permit_create() {
    let kube = Kube::start().await;
    let claviger = serve(&kube.plane.kubeconfig(User::Broker), true);
    let rules = [json!({"resources": ["policies"], "verbs": ["get", "update"], "resourceNames": ["site", "mine"]})];
    kube.grant_cluster_role("people", "editor", &rules).await;
    let editor = person(&kube, &claviger, "editor").await;
    assert_eq!(editor.wait_until_allowed(&ROUTES[2]).status, 200);
    for target in ["/v1/policies/other", "/v1/policies", "/v1/policies/SITE"] {
        assert_eq!(problem(&editor.get(target)), (403, "denied".into()), "{target}");
    }
    let mut spec = super::spec("site");
    spec["subjects"] = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["b"]}}]);
    let body = json!({"spec": spec});
    assert_eq!(problem(&editor.put("/v1/policies/mine", &[], &body)), (403, "denied".into()));
    kube.grant_cluster_role("people", "maker", &[json!({"resources": ["policies"], "verbs": ["create"]})]).await;
    let maker = person(&kube, &claviger, "maker").await;
    let named = json!({"name": "mine", "spec": spec});
    assert_eq!(maker.wait_until_allowed(&ROUTES[1]).status, 422);
    assert_eq!(problem(&maker.put("/v1/policies/mine", &[], &body)), (403, "denied".into()));
    assert_eq!(maker.post("/v1/policies", &named).status, 201);
    assert_eq!(editor.put("/v1/policies/mine", &[], &body).status, 200);
}

#[tokio::test]
async fn build_pods_are_not_administrators_and_administrators_are_not_build_pods() {
    let kube = Kube::start().await;
    let claviger = serve(&kube.plane.kubeconfig(User::Broker), true);
    kube.grant_cluster_role("people", "reader", &[json!({"resources": ["policies"], "verbs": ["list"]})]).await;
    let pod = kube.pod("ci/build-bot").await;
    let build = ApiUser { claviger: &claviger, token: pod.token.clone() };
    let reader = person(&kube, &claviger, "reader").await;
    assert_eq!(reader.wait_until_allowed(&ROUTES[0]).status, 200);
    assert_eq!(problem(&build.get("/v1/policies")), (403, "denied".into()));
    assert_eq!(claviger.ask(&build.token, "repo=site&branch=main").status, 201);
    assert_eq!(problem(&claviger.ask(&reader.token, "repo=site&branch=main")), (403, "not_pod_bound".into()));
    // A pod that acts as an administrator must still run.
    kube.grant_cluster_role("people", "operator", &[json!({"resources": ["policies"], "verbs": ["list"]})]).await;
    let (working, done) = (kube.pod("people/operator").await, kube.pod("people/operator").await);
    done.set_phase("Succeeded").await;
    let working = ApiUser { claviger: &claviger, token: working.token.clone() };
    assert_eq!(working.wait_until_allowed(&ROUTES[0]).status, 200);
    let done = ApiUser { claviger: &claviger, token: done.token.clone() };
    assert_eq!(problem(&done.get("/v1/policies")), (401, "unauthenticated".into()));
}

#[tokio::test]
async fn administration_is_refused_while_the_api_server_is_unreachable() {
    let kube = Kube::start().await;
    kube.grant_cluster_role("people", "root", &[json!({"resources": ["*"], "verbs": ["*"]})]).await;
    let stopped = serve(&kube.plane.kubeconfig_of_stopped(User::Broker), true);
    let root = person(&kube, &stopped, "root").await;
    for route in &ROUTES {
        assert_eq!(problem(&root.send_to(route)), (503, "token_review_unavailable".into()), "{}", route.target);
    }
    // Credentials that can review tokens, but not access.
    let narrow = serve(&kubeconfig_without_access_reviews(&kube).await, true);
    let root = person(&kube, &narrow, "root").await;
    for route in &ROUTES {
        let answer = root.send_to(route);
        assert_eq!(problem(&answer), (503, "token_review_unavailable".into()), "{}", route.target);
        assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    }
    // With access reviews switched off.
    let off = serve(&kube.plane.kubeconfig(User::Broker), false);
    let root = person(&kube, &off, "root").await;
    for route in &ROUTES {
        assert_eq!(problem(&root.send_to(route)), (403, "denied".into()), "{}", route.target);
    }
    let on = serve(&kube.plane.kubeconfig(User::Broker), true);
    let root = person(&kube, &on, "root").await;
    for route in &ROUTES {
        assert_eq!(root.wait_until_allowed(route).status, route.status, "{}", route.target);
    }
}

/// Credentials that can review tokens and nothing else.
async fn kubeconfig_without_access_reviews(kube: &Kube) -> PathBuf {
    let rule = json!({"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]});
    kube.grant_cluster_role("people", "narrow-broker", &[rule]).await;
    let token = kube.unbound_token("people/narrow-broker", DEFAULT_AUDIENCE).await;
    let path = kube.plane.kubeconfig(User::Nobody);
    let mut kubeconfig: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    kubeconfig["users"][0]["user"]["token"] = json!(token);
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    path
}
