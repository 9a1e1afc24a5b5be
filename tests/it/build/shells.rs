//! The scripts of the Tasks in the shells that images have, against a real broker.

use super::task::{Step, TaskRun};
use crate::rig::installation::{Installation, Plan};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

const SHELLS: [&[&str]; 2] = [&["dash"], &["busybox", "sh"]];
/// What git takes for a branch, and a shell for a command.
const HOSTILE: [&str; 5] =
    ["feature/$(id>PWN)", "feature/`id>PWN`", "feature/';id>PWN;'", "feature/\"&&id>PWN&&\"", "feature/$SECRETS"];

async fn installation() -> Installation {
    let plan = Plan::new().await;
    plan.bao.put("homelab/shared", &[("GITHUB_TOKEN", "it's $(id) \"one\""), ("SECRETS", "/nowhere")]).await;
    plan.start()
}

fn run(task: &str, shell: &'static [&'static str], rig: &Installation, token: &str, branch: &str) -> TaskRun {
    let server = format!("http://{}", rig.claviger.api);
    let command = ["sh", "-c", "printf '%s|%s' \"$GITHUB_TOKEN\" \"$1\"", "sh", "$(id) it's"];
    let params: [(&str, &[&str]); 6] = [
        ("repo", &["site"]),
        ("branch", &[branch]),
        ("server", &[&server]),
        ("image", &["any"]),
        ("run", &command),
        ("timeout", &["5s"]),
    ];
    TaskRun::of(task, shell, token, &params)
}

fn last(steps: &[Step]) -> (&str, Option<i32>) {
    let step = steps.last().unwrap();
    (step.name.as_str(), step.code)
}

#[tokio::test]
async fn a_command_has_the_secrets_and_nobody_else() {
    let rig = installation().await;
    let pod = rig.pod("ci/build-bot").await;
    for shell in SHELLS {
        for task in ["claviger-fetch", "claviger-curl"] {
            let run = run(task, shell, &rig, &pod.pod.token, "main");
            let fetched = run.run_until("fetch");
            assert_eq!(last(&fetched), ("fetch", Some(0)), "{fetched:?}");
            let files: Vec<_> =
                fs::read_dir(run.volume("secrets")).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(files, [run.volume("secrets").join("build-env")], "{task}");
            assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600, "{task}");

            let steps = run.run();
            assert_eq!(last(&steps), ("run", Some(0)), "{task} {shell:?}: {steps:?}");
            assert_eq!(steps[1].out, "it's $(id) \"one\"|$(id) it's", "{task} {shell:?}");
            assert_eq!(steps[0].out, "", "{task}: the fetch says nothing where a log is kept");
            assert!(!run.volume("secrets").join("build-env").exists(), "{task}");
        }
    }
}

#[tokio::test]
async fn whoever_may_not_gets_a_failed_step_and_no_file() {
    let rig = installation().await;
    let pod = rig.pod("ci/other-bot").await;
    for shell in SHELLS {
        for (task, code, words) in [("claviger-fetch", 3, "denied"), ("claviger-curl", 22, "403")] {
            let run = run(task, shell, &rig, &pod.pod.token, "main");
            let steps = run.run();
            assert_eq!(last(&steps), ("fetch", Some(code)), "{task} {shell:?}: {steps:?}");
            assert!(steps[0].err.contains(words), "{task}: {steps:?}");
            assert_eq!(fs::read_dir(run.volume("secrets")).unwrap().count(), 0, "{task} {shell:?}");
        }
    }
}

#[tokio::test]
async fn a_build_without_secrets_has_an_empty_file() {
    let rig = Plan::new().await.start();
    let pod = rig.pod("ci/build-bot").await;
    for shell in SHELLS {
        for task in ["claviger-fetch", "claviger-curl"] {
            let run = run(task, shell, &rig, &pod.pod.token, "main");
            let steps = run.run_until("fetch");
            assert_eq!(last(&steps), ("fetch", Some(0)), "{task} {shell:?}: {steps:?}");
            assert_eq!(run.volume("secrets").join("build-env").metadata().unwrap().size(), 0, "{task} {shell:?}");
        }
    }
}

#[tokio::test]
async fn a_branch_that_is_a_command_stays_a_branch() {
    let rig = installation().await;
    let pod = rig.pod("ci/build-bot").await;
    for shell in SHELLS {
        for task in ["claviger-fetch", "claviger-curl"] {
            for branch in HOSTILE {
                let run = run(task, shell, &rig, &pod.pod.token, branch);
                let steps = run.run();
                assert_eq!(last(&steps), ("run", Some(0)), "{task} {shell:?} {branch}: {steps:?}");
                let event = rig.claviger.audit_events().into_iter().rfind(|event| event["type"] == "ticket.issued");
                assert_eq!(event.unwrap()["branch"], branch, "{task} {shell:?}");
                let found =
                    std::process::Command::new("find").arg(run.source().parent().unwrap().parent().unwrap()).output();
                assert!(!String::from_utf8_lossy(&found.unwrap().stdout).contains("PWN"), "{task} {shell:?} {branch}");
            }
        }
    }
}

#[tokio::test]
async fn curl_is_told_neither_the_token_nor_the_url_on_its_command_line() {
    let rig = installation().await;
    let pod = rig.pod("ci/build-bot").await;
    let run = run("claviger-curl", SHELLS[0], &rig, &pod.pod.token, "main");
    let (log, real) = (run.bin().join("log"), "/usr/bin/curl");
    let wrapper = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >>'{}'\nexec {real} \"$@\"\n", log.display());
    fs::write(run.bin().join("curl"), wrapper).unwrap();
    fs::set_permissions(run.bin().join("curl"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(last(&run.run()), ("run", Some(0)));
    let lines = fs::read_to_string(log).unwrap();
    assert_eq!(lines.matches("-fsS").count(), 2, "both calls went through the wrapper: {lines}");
    assert!(!lines.contains(&pod.pod.token) && !lines.contains("/v1/downloads/"), "{lines}");
}
