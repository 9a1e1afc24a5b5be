//! Checks of the Tasks' text: by a linter, and of rules that the linter lacks.

use super::task::load_task;
use crate::rig::installed::folder;
use crate::rig::json::array;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Claviger's image in the user's registry.
const OWN_IMAGE: &str = "claviger:0.1.0";
const TASKS: [&str; 3] = ["claviger-fetch", "claviger-buildah", "claviger-curl"];
fn lint(files: &[PathBuf]) -> (bool, String) {
    let linter = folder().join("tekton-lint/node_modules/.bin/tekton-lint");
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
    assert!(!good && said.contains("claviger-buildah"), "a missing Task is reported: {said}");
}

/// Faults in a Task's handling of secrets and of values that others choose.
fn secret_handling_faults(task: &Value) -> Vec<String> {
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
fn only_the_fetch_step_has_the_token_and_no_script_contains_a_param() {
    for name in TASKS {
        assert_eq!(secret_handling_faults(&load_task(name)), Vec::<String>::new(), "{name}");
    }
    let mut task = load_task("claviger-fetch");
    let mounts = task["spec"]["steps"][0]["volumeMounts"].clone();
    task["spec"]["steps"][1]["volumeMounts"] = mounts;
    task["spec"]["steps"][1]["script"] = "#!/bin/sh\necho $(params.repo)".into();
    task["spec"]["volumes"][1]["emptyDir"] = serde_json::json!({});
    assert_eq!(secret_handling_faults(&task).len(), 4, "{:?}", secret_handling_faults(&task));
}

/// The embedded Task of the Pipeline.
fn clone_task() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/claviger/tekton/pipeline-site.yaml");
    let pipeline: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    serde_json::json!({"spec": pipeline["spec"]["tasks"][0]["taskSpec"]})
}

/// What Pod Security `restricted` refuses of a step (kubernetes.io/docs/concepts/security/pod-security-standards).
/// The step inherits the template of all steps, as in Tekton.
fn pod_security_faults(task: &Value, step: &str) -> Vec<&'static str> {
    let spec = &task["spec"];
    let step = array(&spec["steps"]).find(|other| other["name"] == step).unwrap();
    let of = |pointer: &str| {
        let own = step.pointer(&format!("/securityContext{pointer}"));
        own.or_else(|| spec.pointer(&format!("/stepTemplate/securityContext{pointer}"))).cloned().unwrap_or_default()
    };
    let allowed =
        ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
    let is_allowed =
        |volume: &Value| volume.as_object().unwrap().keys().all(|key| key == "name" || allowed.contains(&key.as_str()));
    [
        ("runAsNonRoot", of("/runAsNonRoot") == true),
        ("runAsUser", of("/runAsUser") != 0),
        ("allowPrivilegeEscalation", of("/allowPrivilegeEscalation") == false),
        ("seccompProfile", ["RuntimeDefault", "Localhost"].iter().any(|kind| of("/seccompProfile/type") == *kind)),
        ("capabilities.drop", of("/capabilities/drop") == serde_json::json!(["ALL"])),
        ("capabilities.add", array(&of("/capabilities/add")).all(|name| name == "NET_BIND_SERVICE")),
        ("privileged", of("/privileged") != true),
        ("volumes", array(&spec["volumes"]).all(is_allowed)),
    ]
    .into_iter()
    .filter_map(|(name, is_good)| (!is_good).then_some(name))
    .collect()
}

#[test]
fn the_steps_are_restricted_but_for_those_of_buildah() {
    for (task, steps) in [
        (load_task("claviger-fetch"), &["fetch", "run"][..]),
        (load_task("claviger-curl"), &["fetch", "run"]),
        (load_task("claviger-buildah"), &["fetch"]),
        (clone_task(), &["clone"]),
    ] {
        for step in steps {
            assert_eq!(pod_security_faults(&task, step), Vec::<&str>::new(), "{step} of {task:#}");
        }
    }
    // Buildah has only what `baseline` permits: root, the runtime's capabilities and one from its list.
    let buildah = load_task("claviger-buildah");
    let root = ["runAsNonRoot", "runAsUser", "allowPrivilegeEscalation", "seccompProfile", "capabilities.drop"];
    assert_eq!(pod_security_faults(&buildah, "build"), [&root[..], &["capabilities.add"]].concat());
    assert_eq!(
        array(&buildah["spec"]["steps"][1]["securityContext"]["capabilities"]["add"]).collect::<Vec<_>>(),
        ["SETFCAP"]
    );
    assert_eq!(
        pod_security_faults(&buildah, "push"),
        ["runAsNonRoot", "runAsUser", "seccompProfile", "capabilities.drop"]
    );

    let mut task = load_task("claviger-fetch");
    task["spec"]["stepTemplate"]["securityContext"] = serde_json::json!({"privileged": true, "runAsUser": 0});
    task["spec"]["volumes"][0] = serde_json::json!({"name": "x", "hostPath": {"path": "/"}});
    let all = [&root[..], &["privileged", "volumes"]].concat();
    assert_eq!(pod_security_faults(&task, "run"), all);
}

/// Whether the image reference can change its content over time.
fn is_mutable_reference(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap();
    let version = name.split_once(':').map_or("", |(_, tag)| tag).trim_start_matches('v');
    let is_whole = version.split('.').count() == 3 && version.split('.').all(|part| part.parse::<u32>().is_ok());
    !image.contains("@sha256:") && !is_whole
}

#[test]
fn every_image_is_of_a_fixed_version() {
    let mut images = Vec::new();
    for task in TASKS.map(load_task).iter().chain([&clone_task()]) {
        let params = array(&task["spec"]["params"]).filter(|param| param["name"].as_str().unwrap().ends_with("image"));
        images.extend(params.filter_map(|param| param["default"].as_str().map(str::to_owned)));
        images.extend(array(&task["spec"]["steps"]).map(|step| step["image"].as_str().unwrap().to_owned()));
    }
    images.retain(|image| !image.starts_with("$(params."));
    assert!(images.len() >= 5 && images.iter().any(|image| image == OWN_IMAGE), "{images:?}");
    for image in images {
        assert!(!is_mutable_reference(&image), "{image}");
    }
    for image in ["curl", "curl:latest", "curl:8", "host:5000/curl", "host/curl:8.12"] {
        assert!(is_mutable_reference(image), "{image}");
    }
}

/// Arguments of commands that a param could turn into an option.
fn option_injections(task: &Value) -> Vec<String> {
    let arguments = array(&task["spec"]["steps"]).filter(|step| step["command"].is_array());
    let arguments =
        arguments.flat_map(|step| array(&step["args"])).map(|argument| argument.as_str().unwrap().to_owned());
    arguments
        .filter(|argument| argument.contains("$(") && !(argument.starts_with("--") && argument.contains("=$(")))
        .collect()
}

#[test]
fn a_param_on_a_command_line_is_the_value_of_an_option() {
    for name in TASKS {
        assert_eq!(option_injections(&load_task(name)), Vec::<String>::new(), "{name}");
    }
    let mut task = load_task("claviger-fetch");
    task["spec"]["steps"][0]["args"] =
        serde_json::json!(["fetch", "--repo", "$(params.repo)", "--branch=$(params.branch)"]);
    assert_eq!(option_injections(&task), ["$(params.repo)"]);
}
