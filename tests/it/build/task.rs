//! The test as Tekton: it takes a Task as it is written, fills in what Tekton fills in, and runs the steps one by one, each
//! with the volumes that it mounts and no others.

use crate::rig::claviger::binary;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A Task of the chart.
pub fn written(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("charts/claviger/tekton/task-{name}.yaml"));
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// A run of a Task.
pub struct TaskRun {
    task: Value,
    params: Vec<(String, Vec<String>)>,
    /// `/bin/sh` of the images.
    shell: &'static [&'static str],
    token: String,
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

/// What a step came to.
#[derive(Debug)]
pub struct Step {
    pub name: String,
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl TaskRun {
    /// Of a Task of the chart, for a pod with this token.
    pub fn of(name: &str, shell: &'static [&'static str], token: &str, params: &[(&str, &[&str])]) -> Self {
        let task = written(name);
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
        Self { task, params, shell, token: token.to_owned(), folder, environment: Vec::new() }
    }

    /// The workspace `source`.
    pub fn source(&self) -> PathBuf {
        self.folder.path().join("workspaces/source")
    }

    /// A folder in which programs are found before all others.
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

    /// Something that the images have in their environment.
    pub fn environment(&mut self, name: &'static str, value: String) {
        self.environment.push((name, value));
    }

    /// Runs the steps until one fails, as Tekton does. The last one tells how it ended.
    pub fn run(&self) -> Vec<Step> {
        self.run_until("")
    }

    /// The same, and stops behind the step of this name.
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
        for (_, folder) in &mounts {
            fs::create_dir_all(folder).unwrap();
        }
        let token = self.volume("claviger-token").join("token");
        if mounts.iter().any(|(_, folder)| token.starts_with(folder)) {
            fs::write(&token, &self.token).unwrap();
        }
        let placed = |text: &str| {
            let filled = self.filled(text);
            mounts.iter().fold(filled, |text, (path, folder)| text.replace(path, &folder.display().to_string()))
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
            fs::write(&file, self.filled(script)).unwrap();
            let mut command = Command::new(self.shell[0]);
            command.args(&self.shell[1..]).arg(file);
            command
        } else {
            assert_eq!(step["command"], serde_json::json!(["/claviger"]));
            Command::new(binary())
        };
        let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.bin().display());
        command.args(arguments).env_clear().env("PATH", path).env("HOME", self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        for variable in array(&step["env"]) {
            command.env(variable["name"].as_str().unwrap(), placed(variable["value"].as_str().unwrap()));
        }
        let working = step["workingDir"].as_str().map_or_else(|| self.folder.path().to_owned(), |w| placed(w).into());
        let output = command.current_dir(working).output().unwrap();
        let _ = fs::remove_file(token); // mounted in that step alone
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Step { name, code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn param(&self, name: &str) -> &[String] {
        &self.params.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no param {name}")).1
    }

    /// Textual substitution, as Tekton does it, everywhere but in what was filled in.
    fn filled(&self, text: &str) -> String {
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
        format!("{before}{value}{}", self.filled(after))
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
