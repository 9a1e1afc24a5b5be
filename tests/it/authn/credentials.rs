//! The broker's credentials for a real API server, and its connection: kubeconfigs of the usual kinds.

use super::{CLEAN, ReviewAuthenticator};
use crate::rig::claviger::run;
use crate::rig::kube::User;
use crate::rig::kube::actors::{Kube, PodActor};
use crate::rig::proxy::Proxy;
use claviger::authn::AuthnError;
use claviger::authn::BearerToken;
use claviger::model::secret::SecretValue;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const RELOADED_WITHIN: Duration = Duration::from_secs(15);

/// The broker's kubeconfig for the real API server, with these changes to its cluster and its user.
fn kubeconfig(kube: &Kube, folder: &TempDir, cluster: &Value, user: &Value) -> PathBuf {
    let good = fs::read_to_string(kube.plane.kubeconfig(User::Broker)).unwrap();
    let mut tree: Value = serde_json::from_str(&good).unwrap();
    for (pointer, changes) in [("/clusters/0/cluster", cluster), ("/users/0/user", user)] {
        let place = tree.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(place.remove(name)),
                value => drop(place.insert(name.clone(), value.clone())),
            }
        }
    }
    let path = folder.path().join("kubeconfig");
    fs::write(&path, tree.to_string()).unwrap();
    path
}

/// The broker's own token for the API server.
fn own_token(kube: &Kube) -> String {
    let good = fs::read_to_string(kube.plane.kubeconfig(User::Broker)).unwrap();
    serde_json::from_str::<Value>(&good).unwrap()["users"][0]["user"]["token"].as_str().unwrap().to_owned()
}

async fn verdict(kubeconfig: PathBuf, pod: &PodActor) -> Option<AuthnError> {
    let authenticator = ReviewAuthenticator::with_kubeconfig(kubeconfig, Duration::ZERO).await;
    authenticator.authenticators.authenticate(BearerToken::new(&SecretValue::new(pod.token.clone())), CLEAN).await.err()
}

#[tokio::test]
async fn a_trailing_newline_is_accepted_and_token_file_takes_precedence() {
    let kube = Kube::start().await;
    let (pod, folder, own) = (kube.pod("ci/build-bot").await, tempfile::tempdir().unwrap(), own_token(&kube));
    fs::write(folder.path().join("token"), format!("{own}\n")).unwrap();
    fs::write(folder.path().join("stranger"), "stranger\n").unwrap();
    for (user, good) in [
        (json!({"token": own}), true),
        (json!({"token": format!("{own}\n")}), true),
        (json!({"token": format!("{own}\r\n")}), true),
        (json!({"token": null, "tokenFile": "token"}), true),
        (json!({"token": "stranger", "tokenFile": "token"}), true),
        (json!({"token": own, "tokenFile": "stranger"}), false),
        (json!({"token": own, "tokenFile": "nowhere"}), true),
    ] {
        let verdict = verdict(kubeconfig(&kube, &folder, &json!({}), &user), &pod).await;
        assert_eq!(verdict, (!good).then_some(AuthnError::Unavailable), "{user}");
    }
}

#[tokio::test]
async fn a_proxy_of_the_kubeconfig_is_used_and_those_of_the_environment_are_not() {
    let kube = Kube::start().await;
    let (pod, folder, proxy) = (kube.pod("ci/build-bot").await, tempfile::tempdir().unwrap(), Proxy::start());
    let through = kubeconfig(&kube, &folder, &json!({"proxy-url": proxy.url()}), &json!({}));
    assert_eq!(verdict(through, &pod).await, None);
    let server = format!("127.0.0.1:{}", kube.plane.port());
    let tunnels = proxy.tunnels();
    assert!(!tunnels.is_empty() && tunnels.iter().all(|target| *target == server), "{tunnels:?}");

    let dead = kubeconfig(&kube, &folder, &json!({"proxy-url": "http://127.0.0.1:9"}), &json!({}));
    assert_eq!(verdict(dead, &pod).await, Some(AuthnError::Unavailable), "the proxy is not bypassed");

    // The whole program, with a proxy in its environment.
    let direct = kubeconfig(&kube, &folder, &json!({}), &json!({}));
    let (code, stdout, stderr) =
        checked(folder.path(), &direct, &[("HTTPS_PROXY", &proxy.url()), ("https_proxy", "http://127.0.0.1:9")]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("authenticators: reached"), "{stdout}");
    assert!(stderr.contains("warning: HTTPS_PROXY is set in the environment and is not read"), "{stderr}");
    assert_eq!(proxy.tunnels(), Vec::<String>::new());
}

/// `check --online` of a configuration with this kubeconfig.
fn checked(folder: &Path, kubeconfig: &Path, environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let file = folder.join("claviger.yaml");
    fs::write(folder.join("secrets.yaml"), "{}").unwrap();
    let config = json!({
        "server": {"listen": "127.0.0.1:0", "opsListen": "127.0.0.1:0"},
        "authenticators": [{"name": "cluster", "kubernetes": {"kubeconfig": kubeconfig}}],
        "stores": [{"name": "local", "file": {"path": "secrets.yaml"}}],
        "database": {"url": "sqlite::memory:"},
    });
    fs::write(&file, config.to_string()).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(["check", "--online", "--config"])
        .arg(&file)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn unusable_credentials_are_reported_with_their_place() {
    let kube = Kube::start().await;
    let folder = tempfile::tempdir().unwrap();
    for (user, place) in [
        (json!({"token": "hunter2\nx"}), "authenticators[0].kubernetes.kubeconfig: users[0].user.token: "),
        (
            json!({"token": null, "tokenFile": "nowhere"}),
            "authenticators[0].kubernetes.kubeconfig: users[0].user.tokenFile: ",
        ),
        (
            json!({"client-certificate": "nowhere"}),
            "authenticators[0].kubernetes.kubeconfig: users[0].user.client-certificate: ",
        ),
    ] {
        let path = kubeconfig(&kube, &folder, &json!({}), &user);
        let (code, stdout, stderr) = checked(folder.path(), &path, &[]);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.starts_with(place) && !stderr.contains("hunter2") && !stderr.contains("panic"), "{stderr}");
        let file = folder.path().join("claviger.yaml").display().to_string();
        let (code, _, stderr) = run(&["serve", "--config", &file]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(place) && !stderr.contains("hunter2"), "{stderr}");
    }
    let good = kubeconfig(&kube, &folder, &json!({}), &json!({"token": own_token(&kube)}));
    assert_eq!(checked(folder.path(), &good, &[]).0, Some(0));
}

#[tokio::test]
async fn replaced_files_of_a_mounted_volume_are_read_again() {
    let kube = Kube::start().await;
    let (pod, folder) = (kube.pod("ci/build-bot").await, tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    let other_ca = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap().cert.pem();
    for (version, ca, token) in [
        ("other-ca", other_ca, own_token(&kube)),
        ("other-token", kube.plane.ca(), "stranger".to_owned()),
        ("good", kube.plane.ca(), own_token(&kube)),
    ] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("ca.crt"), ca).unwrap();
        fs::write(at(version).join("token"), format!("{token}\n")).unwrap();
    }
    let swap = |version: &str| {
        symlink(version, at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
    };
    swap("other-ca");
    symlink("..data/ca.crt", at("ca.crt")).unwrap();
    symlink("..data/token", at("token")).unwrap();
    let (cluster, user) = (json!({"certificate-authority": "ca.crt"}), json!({"token": null, "tokenFile": "token"}));
    let authenticator =
        ReviewAuthenticator::with_kubeconfig(kubeconfig(&kube, &folder, &cluster, &user), Duration::ZERO).await;
    let verdict_becomes = async |expected: Option<AuthnError>| {
        let until = Instant::now() + RELOADED_WITHIN;
        loop {
            let verdict = authenticator.authenticate(&pod.token).await.err();
            if verdict == expected || Instant::now() > until {
                return assert_eq!(verdict, expected);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    verdict_becomes(Some(AuthnError::Unavailable)).await;
    swap("good");
    verdict_becomes(None).await;
    swap("other-token");
    verdict_becomes(Some(AuthnError::Unavailable)).await;
    swap("good");
    verdict_becomes(None).await;
    swap("other-ca");
    verdict_becomes(Some(AuthnError::Unavailable)).await;
}
