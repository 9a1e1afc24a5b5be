//! The scripts of the Tasks in the shells of common images, against a real broker.

use super::task::{Step, TaskRun};
use crate::rig::installation::{Installation, InstallationSetup};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

const SHELLS: [&[&str]; 2] = [&["dash"], &["busybox", "sh"]];
/// Valid branch names for git that a shell would execute.
const HOSTILE: [&str; 5] =
    ["feature/$(id>PWN)", "feature/`id>PWN`", "feature/';id>PWN;'", "feature/\"&&id>PWN&&\"", "feature/$SECRETS"];

async fn installation() -> Installation {
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/shared", &[("GITHUB_TOKEN", "it's $(id) \"one\""), ("SECRETS", "/nowhere")]).await;
    setup.start()
}

fn run(task: &str, shell: &'static [&'static str], rig: &Installation, token: &str, branch: &str) -> TaskRun {
    let server = format!("http://{}", rig.claviger.api);
    let command = ["sh", "-c", "printf '%s|%s' \"$GITHUB_TOKEN\" \"$1\"", "sh", "$(id) it's"];
    run_with(task, shell, token, &[("branch", &[branch]), ("server", &[&server]), ("run", &command)])
}

/// With these params before the default ones.
fn run_with(task: &str, shell: &'static [&'static str], token: &str, params: &[(&str, &[&str])]) -> TaskRun {
    let usual: [(&str, &[&str]); 6] = [
        ("repo", &["site"]),
        ("branch", &["main"]),
        ("image", &["any"]),
        ("run", &["true"]),
        ("timeout", &["5s"]),
        ("insecure", &["true"]),
    ];
    TaskRun::of(task, shell, token, &[params, &usual].concat())
}

fn last(steps: &[Step]) -> (&str, Option<i32>) {
    let step = steps.last().unwrap();
    (step.name.as_str(), step.code)
}

#[tokio::test]
async fn only_the_command_has_the_secrets() {
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
            let file = files[0].metadata().unwrap();
            assert_eq!((file.permissions().mode() & 0o777, file.uid()), (0o600, 65532), "{task}");

            let steps = run.run();
            assert_eq!(last(&steps), ("run", Some(0)), "{task} {shell:?}: {steps:?}");
            assert_eq!(steps[1].out, "it's $(id) \"one\"|$(id) it's", "{task} {shell:?}");
            assert_eq!(steps[0].out, "", "{task}: the fetch step prints nothing");
            assert!(!run.volume("secrets").join("build-env").exists(), "{task}");
        }
    }
}

#[tokio::test]
async fn a_denied_pod_gets_a_failed_step_and_no_file() {
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
    let rig = InstallationSetup::new().await.start();
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
async fn the_command_line_of_curl_has_neither_the_token_nor_the_url() {
    let rig = installation().await;
    let pod = rig.pod("ci/build-bot").await;
    let run = run("claviger-curl", SHELLS[0], &rig, &pod.pod.token, "main");
    let (log, real) = (run.bin().join("log"), "/usr/bin/curl");
    let wrapper = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >>'{}'\nexec {real} \"$@\"\n", log.display());
    fs::write(run.bin().join("curl"), wrapper).unwrap();
    fs::set_permissions(run.bin().join("curl"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(run.bin(), fs::Permissions::from_mode(0o777)).unwrap(); // for the log
    assert_eq!(last(&run.run()), ("run", Some(0)));
    let lines = fs::read_to_string(log).unwrap();
    assert_eq!(lines.matches("-fsS").count(), 2, "both calls went through the wrapper: {lines}");
    assert!(!lines.contains(&pod.pod.token) && !lines.contains("/v1/downloads/"), "{lines}");
}

#[tokio::test]
async fn a_param_does_not_become_an_option_of_the_commands() {
    let rig = installation().await;
    let pod = rig.pod("ci/build-bot").await;
    let server = format!("http://{}", rig.claviger.api);
    let issued = || rig.claviger.audit_events().iter().filter(|event| event["type"] == "ticket.issued").count();
    for shell in SHELLS {
        for task in ["claviger-fetch", "claviger-curl"] {
            for option in ["--help", "-V", "-K/etc/passwd"] {
                let run = run_with(task, shell, &pod.pod.token, &[("server", &[option])]);
                let steps = run.run();
                assert_eq!(last(&steps).0, "fetch", "{task} {option}: {steps:?}");
                assert!(last(&steps).1.is_some_and(|code| code != 0) && steps[0].out.is_empty(), "{steps:?}");
                assert_eq!(fs::read_dir(run.volume("secrets")).unwrap().count(), 0, "{task} {option}");
            }
            for (param, option) in [("repo", "--required"), ("branch", "-rf"), ("branch", "@/etc/passwd")] {
                let before = issued();
                let steps = run_with(task, shell, &pod.pod.token, &[(param, &[option]), ("server", &[&server])]).run();
                assert_ne!(last(&steps), ("run", Some(0)), "{task} {option}: {steps:?}");
                assert!(["denied", "invalid", "40", "42"].iter().any(|word| steps[0].err.contains(word)), "{steps:?}");
                assert_eq!(issued(), before, "{task} {option}: the server issued a ticket");
            }
            for command in [&["-a", "x", "true"][..], &["--", "true"], &[""]] {
                let run = run_with(task, shell, &pod.pod.token, &[("run", command), ("server", &[&server])]);
                let steps = run.run();
                assert_eq!(last(&steps), ("run", Some(2)), "{task} {shell:?} {command:?}: {steps:?}");
                assert!(steps[1].err.contains("run: the command must not"), "{steps:?}");
            }
            let run =
                run_with(task, shell, &pod.pod.token, &[("run", &["sh", "-c", "exit 7"]), ("server", &[&server])]);
            assert_eq!(last(&run.run()), ("run", Some(7)), "{task} {shell:?}");
        }
    }
}

#[tokio::test]
async fn a_mode_lets_another_user_read_and_is_no_option() {
    let rig = installation().await;
    let pod = rig.pod("ci/build-bot").await;
    let server = format!("http://{}", rig.claviger.api);
    for task in ["claviger-fetch", "claviger-curl"] {
        for (mode, expected) in [("0640", 0o640), ("0600", 0o600), ("0444", 0o444)] {
            let run = run_with(task, SHELLS[0], &pod.pod.token, &[("mode", &[mode]), ("server", &[&server])]);
            let steps = run.run_until("fetch");
            assert_eq!(last(&steps), ("fetch", Some(0)), "{task} {mode}: {steps:?}");
            let file = run.volume("secrets").join("build-env").metadata().unwrap();
            assert_eq!(file.permissions().mode() & 0o777, expected, "{task}");
        }
        for mode in ["--reference=/etc/passwd", "u+s", "rw", "0", ""] {
            let run = run_with(task, SHELLS[0], &pod.pod.token, &[("mode", &[mode]), ("server", &[&server])]);
            let steps = run.run();
            assert_eq!(last(&steps), ("fetch", Some(2)), "{task} {mode}: {steps:?}");
            assert_eq!(fs::read_dir(run.volume("secrets")).unwrap().count(), 0, "{task} {mode}");
        }
    }
}

/// A server that issues a ticket; its download sends these bytes and closes the connection.
fn server_that_answers(download: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let url = format!("{origin}/v1/downloads/id.key\n");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap() == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let issued =
                format!("HTTP/1.1 201 Created\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{url}", url.len());
            let answer = if head.starts_with(b"POST") { &issued } else { download };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    origin
}

#[test]
fn a_truncated_download_is_not_an_empty_bundle() {
    let served = |answer| {
        let server = server_that_answers(answer);
        let run = run_with("claviger-curl", SHELLS[0], "token", &[("server", &[&server])]);
        let steps = run.run_until("fetch");
        let files: Vec<_> = fs::read_dir(run.volume("secrets")).unwrap().map(|file| file.unwrap().path()).collect();
        (steps[0].code, files.first().map(|file| fs::read_to_string(file).unwrap()))
    };
    for cut in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n",
        "HTTP/1.1 200 OK\r\nCache-Control: no-st",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nexport",
    ] {
        assert_eq!(served(cut), (Some(1), None), "{cut:?}");
    }
    assert_eq!(served("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), (Some(0), Some(String::new())));
    assert_eq!(served("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nA=1\n"), (Some(0), Some("A=1\n".into())));
}
