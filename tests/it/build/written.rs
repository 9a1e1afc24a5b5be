//! How the Tasks are written: what a linter says, and what no linter looks for.

use super::task::written;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const TASKS: [&str; 3] = ["claviger-fetch", "claviger-buildah", "claviger-curl"];

#[expect(clippy::disallowed_methods, reason = "where the rig is installed is told to tests by the environment")]
fn rig() -> PathBuf {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    of("CLAVIGER_RIG")
        .or_else(|| of("XDG_CACHE_HOME").map(|cache| cache.join("claviger-rig")))
        .or_else(|| of("HOME").map(|home| home.join(".cache/claviger-rig")))
        .expect("HOME, XDG_CACHE_HOME or CLAVIGER_RIG is set")
}

fn lint(files: &[PathBuf]) -> (bool, String) {
    let linter = rig().join("tekton-lint/node_modules/.bin/tekton-lint");
    let output = Command::new(linter).args(files).output().expect("tekton-lint is there: run rig/install");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_linter_finds_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/claviger/tekton");
    let files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), TASKS.len() + 1);
    let (good, said) = lint(&files);
    assert!(good, "{said}");
    let (good, said) = lint(&[folder.join("pipeline-site.yaml")]);
    assert!(!good && said.contains("claviger-buildah"), "a Task that is missing is found: {said}");
}

/// What is wrong with a Task's handling of what is secret or chosen by others.
fn careless(task: &Value) -> Vec<String> {
    let spec = &task["spec"];
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut wrong = Vec::new();
    let memory = |name: &Value| {
        array(&spec["volumes"]).iter().any(|v| v["name"] == *name && v["emptyDir"]["medium"] == "Memory")
    };
    for step in array(&spec["steps"]) {
        let name = step["name"].as_str().unwrap();
        if step["script"].as_str().is_some_and(|script| script.contains("$(params")) {
            wrong.push(format!("{name}: a param is pasted into the script"));
        }
        for mount in array(&step["volumeMounts"]) {
            if mount["name"] == "claviger-token" && name != "fetch" {
                wrong.push(format!("{name}: has the token"));
            }
            if mount["mountPath"] == "/secrets" && !memory(&mount["name"]) {
                wrong.push(format!("{name}: the secrets are not in memory"));
            }
        }
    }
    for volume in array(&spec["volumes"]) {
        let token = &volume["projected"]["sources"][0]["serviceAccountToken"];
        if volume["name"] == "claviger-token" && token["audience"] != "claviger" {
            wrong.push("the token is for somebody else".into());
        }
    }
    wrong
}

#[test]
fn the_token_is_the_fetch_steps_alone_and_params_are_no_script() {
    for name in TASKS {
        assert_eq!(careless(&written(name)), Vec::<String>::new(), "{name}");
    }
    let mut task = written("claviger-fetch");
    let mounts = task["spec"]["steps"][0]["volumeMounts"].clone();
    task["spec"]["steps"][1]["volumeMounts"] = mounts;
    task["spec"]["steps"][1]["script"] = "#!/bin/sh\necho $(params.repo)".into();
    task["spec"]["volumes"][1]["emptyDir"] = serde_json::json!({});
    assert_eq!(careless(&task).len(), 4, "{:?}", careless(&task));
}
