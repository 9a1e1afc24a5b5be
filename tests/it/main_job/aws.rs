//! The main job with AWS Secrets Manager: a ticket and its download, and what logs and errors reveal.

use crate::rig::claviger::run;
use crate::rig::installation::InstallationSetup;
use crate::rig::moto::{Moto, REGION};
use serde_json::json;

#[tokio::test]
async fn a_build_pod_gets_its_secrets_from_aws() {
    let moto = Moto::start().await;
    let version = moto.put("homelab/site/main", r#"{"TOKEN":"canary-aws-value","PORT":8080}"#).await;
    moto.put("homelab/site/feature+x", r#"{"TOKEN":"of the branch"}"#).await;
    moto.put("homelab/site/plain", "canary-aws-value").await;
    let keys = moto.user("claviger").await;
    let mut setup = InstallationSetup::new().await;
    keys.write_into(setup.folder.path());
    let auth = json!({"accessKeyIdFile": "access-key-id", "secretAccessKeyFile": "secret-access-key"});
    setup.config["stores"].as_array_mut().unwrap().push(json!({"name": "aws", "awsSecretsManager": {
        "region": REGION, "endpointUrl": moto.address, "auth": {"staticKeys": auth}, "timeout": "10s",
    }}));
    setup.config["telemetry"] = json!({"logLevel": "trace"});
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    let secrets = json!([{"store": "aws", "path": "homelab/{repo}/{branch}"}]);
    setup.policy(
        "site-builds",
        json!({"subjects": subjects, "repos": ["site"], "branches": ["main", "feature/*", "plain", "none"], "secrets": secrets}),
    );
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await;

    let path = pod.asks("site", "main").ticket();
    let download = rig.claviger.download(&path);
    assert_eq!(download.text(), "export PORT='8080'\nexport TOKEN='canary-aws-value'\n# claviger: 2 keys\n");
    assert_eq!(rig.claviger.download(&path).status, 410);
    assert_eq!(pod.asks("site", "feature/x").file(), "export TOKEN='of the branch'\n# claviger: 1 keys\n");
    assert_eq!(pod.asks("site", "none").file(), "", "a build without secrets is not an error");
    pod.asks("site", "plain").assert_refused(502, "store_misconfigured");
    rig.pod("ci/other").await.asks("site", "main").assert_refused(403, "denied");

    let events = rig.claviger.audit_events();
    assert_eq!(events[0]["secrets"], json!([{"store": "aws", "path": "homelab/site/main", "version": version}]));
    let series =
        |outcome: &str| format!(r#"claviger_store_requests_total{{operation="read",outcome="{outcome}",store="aws"}}"#);
    let counts = ["ok", "absent", "misconfigured"].map(|outcome| rig.claviger.count(&series(outcome)));
    assert_eq!(counts, [2, 1, 1]);
    let said = rig.claviger.stdout() + &rig.claviger.log();
    for secret in ["canary-aws-value", "of the branch", &keys.secret, &keys.id] {
        assert!(!said.contains(secret), "{said}");
    }
    assert!(!rig.claviger.log().contains("homelab"), "no path in the log: {}", rig.claviger.log());

    let file = rig.claviger.folder.path().join("claviger.yaml").display().to_string();
    let (code, out, _) = run(&["check", "--config", &file, "--online"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("aws: reached"), "{out}");
    std::fs::write(rig.claviger.folder.path().join("secret-access-key"), "wrong").unwrap();
    let (code, out, _) = run(&["check", "--config", &file, "--online"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("aws: it refuses the broker's credentials"), "{out}");
}
