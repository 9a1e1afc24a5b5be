//! `/v1/leases`: lists and revocations by authorised users, and refusals.

use super::problem;
use crate::rig::bao::until;
use crate::rig::http::Answer;
use crate::rig::installation::{Installation, InstallationSetup};
use crate::rig::postgres::postgres;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

const ACL: &str = r#"
path "homelab/data/*" { capabilities = ["read"] }
path "database/creds/*" { capabilities = ["read"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"#;

/// Two pods with a static and a dynamic secret each.
async fn rig() -> (Installation, String) {
    let setup = InstallationSetup::new().await;
    let url = setup.bao.enable_database().await;
    setup.bao.database_role("app", "1h", "2h").await;
    setup.bao.policy("claviger", ACL).await;
    setup.bao.put("homelab/a", &[("K", "v")]).await;
    setup.bao.put("homelab/b", &[("K", "v")]).await;
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    let secrets =
        json!([{"store": "vault", "path": "homelab/{repo}"}, {"store": "vault", "path": "database/creds/app"}]);
    setup.policy("db", json!({"subjects": subjects, "repos": ["a", "b"], "branches": ["main"], "secrets": secrets}));
    (setup.start(), url)
}

async fn person(rig: &Installation, name: &str, verbs: &[&str]) -> String {
    let place = format!("people/{name}");
    let token = rig.kube.unbound_token(&place, "claviger").await;
    if !verbs.is_empty() {
        rig.kube.grant_cluster_role("people", name, &[json!({"resources": ["leases"], "verbs": verbs})]).await;
    }
    token
}

fn send(rig: &Installation, token: &str, method: &str, target: &str) -> Answer {
    rig.claviger.send(method, target, &[("Authorization", &format!("Bearer {token}"))], b"")
}

fn items(rig: &Installation, token: &str, query: &str) -> (Vec<Value>, Option<String>) {
    let answer = send(rig, token, "GET", &format!("/v1/leases{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.text()).unwrap();
    (body["items"].as_array().unwrap().clone(), body["continue"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn authorised_users_list_and_revoke_leases() {
    let (rig, url) = rig().await;
    let (one, other) = (rig.pod("ci/build-bot").await, rig.pod("ci/build-bot").await);
    let file = one.asks("a", "main").file();
    other.asks("b", "main").file();
    let reader = person(&rig, "lease-reader", &["list"]).await;
    let writer = person(&rig, "lease-writer", &["delete"]).await;
    let clearer = person(&rig, "lease-clearer", &["deletecollection"]).await;
    let nobody = person(&rig, "lease-nobody", &[]).await;

    let (leases, next) = items(&rig, &reader, "");
    assert_eq!((leases.len(), next), (4, None));
    let fields =
        ["acquiredAt", "expiresAt", "heldBy", "kind", "leaseId", "path", "renewable", "stale", "state", "store"];
    for lease in &leases {
        assert_eq!(lease.as_object().unwrap().keys().collect::<Vec<_>>(), fields);
        assert_eq!((&lease["store"], &lease["state"]), (&json!("vault"), &json!("active")));
    }
    let times: Vec<_> = leases.iter().map(|lease| lease["acquiredAt"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|one, next| one >= next), "newest first: {times:?}");
    let (first, next) = items(&rig, &reader, "?limit=3");
    let (rest, end) = items(&rig, &reader, &format!("?limit=3&continue={}", next.unwrap()));
    assert_eq!(([first, rest].concat(), end), (leases.clone(), None));

    let dynamic = leases.iter().find(|lease| lease["heldBy"]["pod"]["uid"] == one.pod.uid.as_str()).unwrap();
    assert_eq!((&dynamic["kind"], &dynamic["renewable"]), (&json!("dynamic"), &json!(true)));
    let kept = leases.iter().find(|lease| lease["path"] == "homelab/a").unwrap();
    assert_eq!((&kept["kind"], &kept["heldBy"], &kept["renewable"]), (&json!("static"), &Value::Null, &json!(false)));

    let target = |lease: &Value| format!("/v1/leases/{}", lease["leaseId"].as_str().unwrap());
    for (token, method, path) in [
        (&nobody, "GET", "/v1/leases".to_owned()),
        (&writer, "GET", "/v1/leases".to_owned()),
        (&reader, "DELETE", target(dynamic)),
        (&clearer, "DELETE", target(dynamic)),
        (&writer, "DELETE", "/v1/leases?store=vault".to_owned()),
        (&one.pod.token, "GET", "/v1/leases".to_owned()),
    ] {
        assert_eq!(problem(&send(&rig, token, method, &path)), (403, "denied".into()), "{method} {path}");
    }

    let user = file.lines().find_map(|line| line.strip_prefix("export username='")).unwrap().trim_end_matches('\'');
    let password = file.lines().find_map(|line| line.strip_prefix("export password='")).unwrap().trim_end_matches('\'');
    assert!(postgres().accepts_login(&url, user, password).await);
    assert_eq!(send(&rig, &writer, "DELETE", &target(dynamic)).status, 204);
    assert!(!postgres().accepts_login(&url, user, password).await, "revoked before the answer");
    assert_eq!(send(&rig, &writer, "DELETE", &target(kept)).status, 204);
    assert_eq!(items(&rig, &reader, "").0.len(), 2);
    for gone in [target(dynamic), target(kept), "/v1/leases/x".into(), format!("/v1/leases/{}", "0".repeat(32))] {
        assert_eq!(problem(&send(&rig, &writer, "DELETE", &gone)), (404, "not_found".into()), "{gone}");
    }
    assert_eq!(send(&rig, &clearer, "DELETE", "/v1/leases?store=vault&path=homelab/b").status, 204);
    assert_eq!(items(&rig, &reader, "").0.len(), 1, "the other pod's dynamic lease is left");
    assert_eq!(send(&rig, &clearer, "DELETE", "/v1/leases?store=vault").status, 204);
    assert_eq!(items(&rig, &reader, "").0, Vec::<Value>::new());

    let events = rig.claviger.audit_events();
    let revoked: Vec<_> = events.iter().filter(|event| event["type"] == "lease.revoked").collect();
    assert_eq!(revoked.len(), 4, "{revoked:#?}");
    for event in revoked {
        assert_eq!((&event["reason"], &event["outcome"]), (&json!("administrator"), &json!("ok")));
        assert!(event["caller"]["subject"].as_str().unwrap().starts_with("system:serviceaccount:people:"), "{event}");
    }
    // The revoked credentials are created and read again for the next caller.
    assert!(one.asks("a", "main").file().contains("export username='"));
}

#[tokio::test]
async fn evictions_are_recorded_also_if_the_leases_cannot_be_revoked() {
    let (rig, _) = rig().await;
    let one = rig.pod("ci/build-bot").await;
    one.asks("a", "main").file();
    let clearer = person(&rig, "lease-clearer", &["deletecollection"]).await;
    let url = format!("sqlite://{}", rig.claviger.folder.path().join("claviger.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("DROP TABLE leases").execute(&mut database).await.unwrap();
    let answer = send(&rig, &clearer, "DELETE", "/v1/leases?store=vault");
    assert_eq!(problem(&answer), (503, "database_unavailable".into()));
    let events = rig.claviger.audit_events();
    let revoked: Vec<_> = events.iter().filter(|event| event["type"] == "lease.revoked").collect();
    assert_eq!(revoked.len(), 1, "{revoked:#?}");
    assert_eq!(
        (&revoked[0]["reason"], &revoked[0]["secrets"][0]["path"]),
        (&json!("administrator"), &json!("homelab/a"))
    );
}

#[tokio::test]
async fn invalid_queries_for_leases_are_refused() {
    let (rig, _) = rig().await;
    let all = person(&rig, "lease-all", &["list", "delete", "deletecollection"]).await;
    for target in ["/v1/leases", "/v1/leases?path=a", "/v1/leases?store=", "/v1/leases?store=vault&x=1"] {
        assert_eq!(problem(&send(&rig, &all, "DELETE", target)), (400, "invalid_request".into()), "{target}");
    }
    for target in ["/v1/leases?continue=abc", "/v1/leases?limit=0", "/v1/leases?store=vault"] {
        assert_eq!(problem(&send(&rig, &all, "GET", target)), (400, "invalid_request".into()), "{target}");
    }
    for (method, target, allowed) in [("POST", "/v1/leases", "GET, DELETE"), ("GET", "/v1/leases/x", "DELETE")] {
        let answer = send(&rig, &all, method, target);
        assert_eq!((answer.status, answer.header("allow").as_deref()), (405, Some(allowed)));
    }
    assert_eq!(send(&rig, &all, "DELETE", "/v1/leases?store=other").status, 204, "nothing fits");
    until("an answer", async || send(&rig, &all, "GET", "/v1/leases").status == 200).await;
}
