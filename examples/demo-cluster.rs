//! The main job with real components: a real API server authenticates a build pod, secrets come from a real
//! OpenBao, and the pod downloads them once. `make demo-cluster` runs it; it exits 0 only if every step succeeds.
#![allow(clippy::unwrap_used, missing_docs, reason = "what is not as it should be ends the demo")]

#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../tests/it/rig/mod.rs"]
mod rig;

use rig::claviger::wait_until;
use rig::installation::{Installation, InstallationSetup};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The platform team's policy: build pods of one ServiceAccount may have shared secrets and those of their repo
/// and branch.
const POLICY: &str = r#"apiVersion: claviger.dev/v1alpha1
kind: Policy
metadata: {name: site-builds}
spec:
  subjects:
    - kubernetes: {namespaces: [ci], serviceAccounts: [build-bot]}
  repos: [site]
  branches: [main, "release/**"]
  secrets:
    - {store: vault, path: homelab/shared}
    - {store: vault, path: "homelab/{repo}/{branch}"}
"#;

/// The pod's command to download.
const FETCH: &str = r#"curl -fsS "$URL" -o build-env -D head && tail -n 1 head | grep -q '^.$'"#;

#[tokio::main]
async fn main() {
    step("A cluster, and a store that trusts it");
    let setup = InstallationSetup::new().await;
    println!("kube-apiserver on 127.0.0.1:{}, OpenBao on {}", setup.kube.plane.port(), setup.bao.address);
    did("bao auth enable kubernetes");
    did(
        "bao write auth/kubernetes/role/claviger bound_service_account_names=claviger audience=openbao policies=claviger",
    );

    step("The secrets");
    setup.bao.put("homelab/shared", &[("REGISTRY", "registry.example"), ("NPM_TOKEN", "shared-npm-token")]).await;
    did("bao kv put homelab/shared REGISTRY=registry.example NPM_TOKEN=shared-npm-token");
    setup.bao.put("homelab/site/main", &[("NPM_TOKEN", "it's the one of main")]).await;
    did(r#"bao kv put homelab/site/main NPM_TOKEN="it's the one of main""#);

    step("The policy: policies/site-builds.yaml");
    fs::write(setup.folder.path().join("policies/site-builds.yaml"), POLICY).unwrap();
    print!("{POLICY}");

    step("The broker");
    let rig = setup.start();
    did("claviger serve --config claviger.yaml");
    println!("it answers on {}", rig.claviger.api);

    step("A build pod starts, and finds in it a token that is bound to it and made for the broker alone");
    let (ours, other) = (rig.pod("ci/build-bot").await.pod, rig.pod("ci/other").await.pod);
    let folder = rig.claviger.folder.path();
    for (pod, file) in [(&ours, "token"), (&other, "other-token")] {
        let (name, account) = (&pod.name, &pod.service_account);
        did(&format!(
            r#"kubectl -n ci run {name} --image=build --overrides='{{"spec":{{"serviceAccountName":"{account}"}}}}'"#
        ));
        let bound = format!("--bound-object-kind=Pod --bound-object-name={name}");
        did(&format!("kubectl -n ci create token {account} --audience=claviger {bound} >{file}"));
        fs::write(folder.join(file), &pod.token).unwrap();
    }

    step("It asks for its secrets and is told a one-time URL");
    let url = expect(&shell(folder, &ask(&rig, "token"), ""), 0);
    assert!(url.starts_with(&format!("http://{}/v1/downloads/", rig.claviger.api)), "{url}");
    print!("{url}");

    step("It fetches the URL");
    expect(&shell(folder, FETCH, url.trim_end()), 0);
    let file = expect(&shell(folder, "cat build-env", ""), 0);
    print!("{file}");
    let wanted =
        "export NPM_TOKEN='it'\\''s the one of main'\nexport REGISTRY='registry.example'\n# claviger: 2 keys\n";
    assert_eq!(file, wanted, "main's token beats the shared one");

    step("And again");
    let again = shell(folder, FETCH, url.trim_end());
    assert!(expect(&again, 22).contains(" 410"), "it was not refused as redeemed");

    step("A pod of another ServiceAccount asks for the same");
    let denied = shell(folder, &ask(&rig, "other-token"), "");
    assert!(expect(&denied, 22).contains(" 403"), "it was not denied");

    step("What the audit log says");
    wait_until("the last event", || rig.claviger.stdout().contains("ticket.denied"));
    let events = rig.claviger.stdout();
    print!("{events}");
    for kind in ["ticket.issued", "ticket.redeemed", "ticket.rejected", "ticket.denied"] {
        assert_eq!(events.matches(&format!(r#""type":"{kind}""#)).count(), 1, "one {kind} event");
    }
    assert!(events.contains(&ours.uid), "the events name the pod");
    assert!(
        !events.contains("the one of main") && !events.contains("shared-npm-token"),
        "a secret is in the audit log"
    );

    step("A ticket was issued to the pod that the API server vouched for, redeemed once, and refused the second time.");
}

/// The pod's command to request a ticket: no jq, no Vault client, no Vault role.
fn ask(rig: &Installation, token: &str) -> String {
    let api = rig.claviger.api;
    format!(
        r#"curl -fsS -H "Authorization: Bearer $(cat {token})" -H 'Accept: text/plain' --data-urlencode repo=site --data-urlencode branch=main http://{api}/v1/tickets"#
    )
}

/// Runs a line in a pod's shell.
fn shell(folder: &Path, line: &str, url: &str) -> Output {
    println!("$ {line}");
    Command::new("sh").args(["-c", line]).current_dir(folder).env("URL", url).output().unwrap()
}

/// The output of a line, or its error output if it is expected to fail.
fn expect(output: &Output, code: i32) -> String {
    let complaint = String::from_utf8(output.stderr.clone()).unwrap();
    print!("{complaint}");
    assert_eq!(output.status.code(), Some(code), "{complaint}");
    if code == 0 { String::from_utf8(output.stdout.clone()).unwrap() } else { complaint }
}

fn step(title: &str) {
    println!("\n\x1b[1m{title}\x1b[0m");
}

/// Prints the command with which a person does what the rig did through the API.
fn did(command: &str) {
    println!("$ {command}");
}
