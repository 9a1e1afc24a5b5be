//! The Tasks with a server that uses a private CA, and with one without TLS.

use super::task::TaskRun;
use crate::rig::installation::{Installation, InstallationSetup};
use rcgen::generate_simple_self_signed;
use serde_json::json;
use std::fs;

/// A server with TLS, and its certificate.
async fn behind_tls() -> (Installation, String) {
    let mut setup = InstallationSetup::new().await;
    setup.bao.put("homelab/shared", &[("K", "v")]).await;
    let made = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(setup.folder.path().join("tls.crt"), made.cert.pem()).unwrap();
    fs::write(setup.folder.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    setup.config["server"] = json!({"tls": {"certFile": "tls.crt", "keyFile": "tls.key"}});
    (setup.start(), made.cert.pem())
}

fn run(task: &str, server: &str, token: &str, ca: Option<&str>, ca_file: Option<&str>) -> (Option<i32>, bool) {
    let mut params: Vec<(&str, &[&str])> = vec![
        ("repo", &["site"]),
        ("branch", &["main"]),
        ("image", &["any"]),
        ("run", &["true"]),
        ("destination", &["any"]),
        ("timeout", &["2s"]),
    ];
    let server = [server];
    params.push(("server", &server));
    let ca_file = ca_file.map(|file| [file]);
    params.extend(ca_file.iter().map(|file| ("ca-file", &file[..])));
    let mut run = TaskRun::of(task, &["dash"], token, &params);
    if let Some(ca) = ca {
        run.ca(ca.to_owned());
    }
    let steps = run.run_until("fetch");
    (steps[0].code, run.volume("secrets").join("build-env").exists())
}

#[tokio::test]
async fn the_certificate_is_checked_with_the_ca_of_the_config_map() {
    let (rig, certificate) = behind_tls().await;
    let other = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap().cert.pem();
    let server = format!("https://{}", rig.claviger.api);
    let pod = rig.pod("ci/build-bot").await;
    let issued = || rig.claviger.audit_events().iter().filter(|event| event["type"] == "ticket.issued").count();
    for task in ["claviger-fetch", "claviger-curl", "claviger-buildah"] {
        let before = issued();
        for (ca, file) in
            [(Some(other.as_str()), None), (None, None), (None, Some("/etc/ssl/certs/ca-certificates.crt"))]
        {
            let (code, exists) = run(task, &server, &pod.pod.token, ca, file);
            assert!(code.is_some_and(|code| code != 0) && !exists, "{task}: {code:?} {exists}");
        }
        assert_eq!(issued(), before, "{task}");
        assert_eq!(run(task, &server, &pod.pod.token, Some(&certificate), None), (Some(0), true), "{task}");
        assert_eq!(issued(), before + 1, "{task}");
    }
}

#[tokio::test]
async fn curl_sends_no_token_over_plain_http_unless_allowed() {
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/shared", &[("K", "v")]).await;
    let rig = setup.start();
    let server = format!("http://{}", rig.claviger.api);
    let pod = rig.pod("ci/build-bot").await;
    // 1 is curl's exit code for a scheme that --proto excludes.
    assert_eq!(run("claviger-curl", &server, &pod.pod.token, None, None), (Some(1), false));
    assert_eq!(rig.claviger.audit_events(), Vec::<serde_json::Value>::new());
}

#[test]
fn tokens_are_sent_over_plain_http_only_if_allowed() {
    // Another host without an address: the attempt shows that curl would send.
    let server = "http://claviger.invalid:8080";
    for task in ["claviger-fetch", "claviger-buildah"] {
        for (insecure, code) in [("false", 2), ("true", 4), ("yes", 2)] {
            let params: [(&str, &[&str]); 7] = [
                ("repo", &["site"]),
                ("branch", &["main"]),
                ("image", &["any"]),
                ("destination", &["any"]),
                ("timeout", &["1s"]),
                ("server", &[server]),
                ("insecure", &[insecure]),
            ];
            let run = TaskRun::of(task, &["dash"], "token", &params);
            let steps = run.run_until("fetch");
            assert_eq!(steps[0].code, Some(code), "{task} {insecure}: {steps:?}");
        }
    }
}
