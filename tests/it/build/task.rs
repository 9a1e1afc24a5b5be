//! A Tekton simulator: takes a Task as written, substitutes what Tekton substitutes, and runs the steps one by
//! one, each with only its own volumes and as the user of its securityContext.

use crate::rig::claviger::binary;
use crate::rig::json::array;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A Task of the chart.
pub fn load_task(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("charts/claviger/tekton/task-{name}.yaml"));
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// A run of a Task.
pub struct TaskRun {
    task: Value,
    params: Vec<(String, Vec<String>)>,
    /// The shell that the images have as `/bin/sh`.
    shell: &'static [&'static str],
    token: String,
    /// `ca.crt` of the `ConfigMap`, if there is one.
    ca: Option<String>,
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

/// The result of a step.
#[derive(Debug)]
pub struct Step {
    pub name: String,
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl TaskRun {
    /// A run of one of the chart's Tasks, for a pod with this token.
    pub fn of(name: &str, shell: &'static [&'static str], token: &str, params: &[(&str, &[&str])]) -> Self {
        let task = load_task(name);
        let defaults = array(&task["spec"]["params"]).filter_map(|param| {
            Some((param["name"].as_str()?.to_owned(), vec![param["default"].as_str()?.to_owned()]))
        });
        let given =
            params.iter().map(|(name, values)| ((*name).to_owned(), values.iter().map(|v| (*v).to_owned()).collect()));
        let params = given.chain(defaults).collect();
        let folder = tempfile::tempdir().unwrap();
        for place in ["workspaces/source", "results", "scripts", "bin"] {
            fs::create_dir_all(folder.path().join(place)).unwrap();
        }
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        // A volume with an fsGroup; here, anyone can write to it.
        fs::set_permissions(folder.path().join("workspaces/source"), Permissions::from_mode(0o777)).unwrap();
        // Another user may have no access to the binary's folder.
        let copy = folder.path().join("claviger");
        fs::hard_link(binary(), &copy).or_else(|_| fs::copy(binary(), &copy).map(drop)).unwrap();
        Self { task, params, shell, token: token.to_owned(), ca: None, folder, environment: Vec::new() }
    }

    /// Creates the `ConfigMap` that the param `ca` names.
    pub fn ca(&mut self, certificate: String) {
        self.ca = Some(certificate);
    }

    /// The workspace `source`.
    pub fn source(&self) -> PathBuf {
        self.folder.path().join("workspaces/source")
    }

    /// A folder that comes first in `PATH`.
    pub fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// A volume's folder.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.folder.path().join("volumes").join(name)
    }

    /// A result that the steps wrote.
    pub fn result(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join("results").join(name)).unwrap()
    }

    /// Sets a variable that the images have in their environment.
    pub fn environment(&mut self, name: &'static str, value: String) {
        self.environment.push((name, value));
    }

    /// Runs the steps until one fails, as Tekton does. The last step has the failure.
    pub fn run(&self) -> Vec<Step> {
        self.run_until("")
    }

    /// The same, but stops after the step of this name.
    pub fn run_until(&self, last: &str) -> Vec<Step> {
        let mut done = Vec::new();
        for step in array(&self.task["spec"]["steps"]) {
            done.push(self.step(step));
            if done.last().is_some_and(|step| step.code != Some(0) || step.name == last) {
                break;
            }
        }
        done
    }

    fn step(&self, step: &Value) -> Step {
        let name = step["name"].as_str().unwrap().to_owned();
        let mounts: Vec<(&str, PathBuf)> = array(&step["volumeMounts"])
            .map(|mount| (mount["mountPath"].as_str().unwrap(), self.volume(mount["name"].as_str().unwrap())))
            .collect();
        let user = self.user(step);
        for (_, folder) in &mounts {
            fs::create_dir_all(folder).unwrap();
            // With the mode of an emptyDir.
            fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
        }
        if let (Some(certificate), Some((_, folder))) =
            (&self.ca, mounts.iter().find(|(path, _)| *path == "/etc/claviger-ca"))
        {
            fs::write(folder.join("ca.crt"), certificate).unwrap();
        }
        let token = self.volume("claviger-token").join("token");
        if mounts.iter().any(|(_, folder)| token.starts_with(folder)) {
            fs::write(&token, &self.token).unwrap();
            // The kubelet makes the token owned by the containers' user if all have the same one; otherwise
            // everyone can read it.
            chown(&token, Some(user), None).unwrap();
        }
        let placed = |text: &str| {
            let substituted = self.substitute(text);
            mounts.iter().fold(substituted, |text, (path, folder)| text.replace(path, &folder.display().to_string()))
        };
        let mut arguments: Vec<String> = Vec::new();
        for argument in array(&step["args"]).map(|argument| argument.as_str().unwrap()) {
            match argument.strip_prefix("$(params.").and_then(|rest| rest.strip_suffix("[*])")) {
                Some(param) => arguments.extend(self.param(param).iter().cloned()),
                None => arguments.push(placed(argument)),
            }
        }
        let mut command = if let Some(script) = step["script"].as_str() {
            assert!(script.starts_with("#!/bin/sh\n"), "{script}");
            let file = self.folder.path().join("scripts").join(&name);
            fs::write(&file, self.substitute(script)).unwrap();
            let mut command = Command::new(self.shell[0]);
            command.args(&self.shell[1..]).arg(file);
            command
        } else {
            assert_eq!(step["command"], serde_json::json!(["/claviger"]));
            Command::new(self.folder.path().join("claviger"))
        };
        let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.bin().display());
        command.args(arguments).env_clear().env("PATH", path).env("HOME", self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        for variable in array(&step["env"]) {
            command.env(variable["name"].as_str().unwrap(), placed(variable["value"].as_str().unwrap()));
        }
        let working = step["workingDir"].as_str().map_or_else(|| self.folder.path().to_owned(), |w| placed(w).into());
        command.uid(user).gid(user);
        let output = command.current_dir(working).output().unwrap();
        let _ = fs::remove_file(token); // mounted in that step alone
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Step { name, code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The user of the step, or of the template of all steps.
    fn user(&self, step: &Value) -> u32 {
        let named = |of: &Value| of["securityContext"]["runAsUser"].as_u64();
        let user = named(step).or_else(|| named(&self.task["spec"]["stepTemplate"]));
        u32::try_from(user.unwrap_or_else(|| panic!("{step:#}: the step has no user"))).unwrap()
    }

    fn param(&self, name: &str) -> &[String] {
        &self.params.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no param {name}")).1
    }

    /// Textual substitution, as Tekton does it: substituted values are not substituted again.
    fn substitute(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("$(") else { return text.to_owned() };
        let Some((word, after)) = rest.split_once(')') else { return text.to_owned() };
        let at = |place: &str| self.folder.path().join(place).display().to_string();
        let parts: Vec<&str> = word.split('.').collect();
        let value = match parts[..] {
            ["params", name] => self.param(name)[0].clone(),
            ["workspaces", name, "path"] => at(&format!("workspaces/{name}")),
            ["results", name, "path"] => at(&format!("results/{name}")),
            _ => format!("$({word})"),
        };
        format!("{before}{value}{}", self.substitute(after))
    }
}
