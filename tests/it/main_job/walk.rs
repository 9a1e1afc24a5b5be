//! The basic main job: ticket and download.

use crate::rig::installation::InstallationSetup;
use serde_json::{Value, json};

/// Secrets for all repos, for the repo and for the branch: the later ones win.
async fn put_three_layers(setup: &InstallationSetup) {
    setup.bao.put("homelab/shared", &[("A", "shared"), ("B", "shared"), ("C", "shared")]).await;
    setup.bao.put("homelab/site/default", &[("B", "repo"), ("C", "repo")]).await;
    setup.bao.put("homelab/site/main", &[("C", "it's main")]).await;
    setup.bao.put("homelab/site/feature~x", &[("C", "feature/x"), ("D", "new")]).await;
}

#[tokio::test]
async fn a_build_pod_gets_its_secrets_once() {
    let setup = InstallationSetup::new().await;
    put_three_layers(&setup).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;

    let asked = pod.asks("site", "main");
    let ticket = asked.answer.json();
    assert_eq!((&ticket["keys"], &ticket["policies"]), (&json!(["A", "B", "C"]), &json!(["site-builds"])));
    assert_eq!((&ticket["missing"], ticket["url"].as_str()), (&json!(0), asked.answer.header("location").as_deref()));
    assert_eq!(asked.answer.header("cache-control").as_deref(), Some("no-store"));

    let path = asked.ticket();
    let download = rig.claviger.download(&path);
    let file = "export A='shared'\nexport B='repo'\nexport C='it'\\''s main'\n# claviger: 3 keys\n";
    assert_eq!((download.status, download.text().as_str()), (200, file));
    let again = rig.claviger.download(&path);
    assert_eq!((again.status, again.code().as_str()), (410, "ticket_redeemed"));
    assert!(again.json()["redeemedAt"].is_string());

    let other_branch = pod.asks("site", "feature/x").file();
    assert_eq!(
        other_branch,
        "export A='shared'\nexport B='repo'\nexport C='feature/x'\nexport D='new'\n# claviger: 4 keys\n"
    );
}

#[tokio::test]
async fn every_step_is_in_the_audit_log_and_no_secret_is() {
    let setup = InstallationSetup::new().await;
    put_three_layers(&setup).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    let path = pod.asks("site", "main").ticket();
    assert_eq!(rig.claviger.download(&path).status, 200);
    assert_eq!(rig.claviger.download(&path).status, 410);
    pod.asks("other", "main").assert_refused(403, "denied");

    let events = rig.claviger.audit_events();
    let told = |event: &Value| {
        [&event["type"], &event["outcome"], &event["reason"]].map(|word| word.as_str().map(str::to_owned))
    };
    let words = |words: [&str; 3]| words.map(|word| (word != "-").then(|| word.to_owned()));
    let expected = [
        words(["ticket.issued", "ok", "-"]),
        words(["ticket.redeemed", "ok", "-"]),
        words(["ticket.rejected", "denied", "already_redeemed"]),
        words(["ticket.denied", "denied", "no_policy_matches"]),
    ];
    assert_eq!(events.iter().map(told).collect::<Vec<_>>(), expected);
    let caller = json!({
        "issuer": "cluster", "subject": "system:serviceaccount:ci:build-bot", "namespace": "ci",
        "serviceAccount": "build-bot", "pod": {"name": pod.pod.name, "uid": pod.pod.uid},
    });
    for event in &events {
        assert_eq!((&event["caller"], &event["sourceIp"]), (&caller, &json!("127.0.0.1")));
    }
    let read = |path: &str| json!({"store": "vault", "path": path, "version": "1"});
    let secrets = json!([read("homelab/shared"), read("homelab/site/default"), read("homelab/site/main")]);
    assert_eq!((&events[0]["secrets"], &events[0]["keys"]), (&secrets, &json!(["A", "B", "C"])));
    assert_eq!(events[1]["ticketId"], events[0]["ticketId"]);

    let key = path.rsplit_once('.').unwrap().1;
    let said = rig.claviger.stdout() + &rig.claviger.log() + &json!(events).to_string();
    for secret in ["it's main", key, &pod.pod.token] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn a_build_without_secrets_is_no_error() {
    let setup = InstallationSetup::new().await;
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    let secret = |required| json!([{"store": "vault", "path": "homelab/{repo}/{branch}", "required": required}]);
    for (repo, required) in [("quiet", false), ("strict", true)] {
        let spec = json!({"subjects": subjects, "repos": [repo], "branches": ["**"], "secrets": secret(required)});
        setup.policy(repo, spec);
    }
    setup.bao.put("homelab/quiet/gone", &[("A", "1")]).await;
    setup.bao.delete("homelab/quiet/gone").await;
    setup.bao.put("homelab/strict/main", &[("A", "1")]).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    for branch in ["never", "gone"] {
        let asked = pod.asks("quiet", branch);
        assert_eq!((&asked.answer.json()["keys"], &asked.answer.json()["missing"]), (&json!([]), &json!(1)));
        assert_eq!(asked.file(), "");
    }
    let answer = rig.claviger.ask(&pod.pod.token, "repo=quiet&branch=never&required=true");
    assert_eq!((answer.status, answer.code().as_str()), (404, "secret_not_found"));
    pod.asks("strict", "never").assert_refused(404, "secret_not_found");
    assert_eq!(pod.asks("strict", "main").file(), "export A='1'\n# claviger: 1 keys\n");
}

#[tokio::test]
async fn the_store_accepts_the_brokers_service_account_or_a_token_file() {
    let mut setup = InstallationSetup::new().await;
    setup.bao.put("homelab/a", &[("K", "v")]).await;
    setup.bao.kubernetes_role("others", ["claviger", "another"], &["claviger"]).await;
    let token = setup.bao.token(&["claviger"], "1h").await;
    std::fs::write(setup.folder.path().join("good-token"), token).unwrap();
    std::fs::write(setup.folder.path().join("bad-token"), "s.nobody").unwrap();
    let own = |role: &str| json!({"kubernetes": {"role": role, "tokenFile": "vault-token"}});
    let address = setup.bao.address.clone();
    for (name, auth) in [
        ("file", json!({"tokenFile": "good-token"})),
        ("stranger", json!({"tokenFile": "bad-token"})),
        ("usurper", own("others")),
        ("nameless", own("no-such-role")),
    ] {
        let store = json!({"name": name, "vault": {"address": address, "auth": auth}});
        setup.config["stores"].as_array_mut().unwrap().push(store);
    }
    for store in ["vault", "file", "stranger", "usurper", "nameless"] {
        let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["*"]}}]);
        let secrets = json!([{"store": store, "path": "homelab/a"}]);
        setup.policy(store, json!({"subjects": subjects, "repos": [store], "branches": ["main"], "secrets": secrets}));
    }
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;
    for store in ["vault", "file"] {
        assert_eq!(pod.asks(store, "main").file(), "export K='v'\n# claviger: 1 keys\n", "{store}");
    }
    for store in ["stranger", "usurper"] {
        let answer = pod.asks(store, "main").assert_refused(502, "store_forbidden");
        assert_eq!(answer.header("retry-after"), None, "{store}");
    }
    pod.asks("nameless", "main").assert_refused(502, "store_misconfigured");
}
