//! The objects of a chart, rendered by Helm.

use super::chart;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Release and namespace of everything rendered here.
pub const RELEASE: &str = "rel";
pub const NAMESPACE: &str = "claviger";

/// The objects that the chart renders for some values.
pub struct Rendered(pub Vec<Value>);

fn helm(arguments: &[&str]) -> Output {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("rig/helm")).args(arguments).output().unwrap()
}

fn try_render(values: &Path) -> Result<Rendered, String> {
    let (chart, values) = (chart().display().to_string(), values.display().to_string());
    let output = helm(&["render", &chart, &values, RELEASE, NAMESPACE]);
    let text = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Ok(Rendered(objects.into_iter().filter(|object| !object.is_null()).collect()))
}

/// The notes that Helm prints after an installation with these values.
pub fn notes(values: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    fs::write(&file, values.to_string()).unwrap();
    let output = helm(&["notes", &chart().display().to_string(), &file.display().to_string(), RELEASE, NAMESPACE]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Renders the chart with the values of a file.
pub fn render(values: &Path) -> Rendered {
    try_render(values).unwrap_or_else(|why| panic!("{}: {why}", values.display()))
}

/// The same with the test's values, and with plain HTTP if they do not set how it serves.
pub fn render_values(values: &Value) -> Result<Rendered, String> {
    let mut values = values.clone();
    values.as_object_mut().unwrap().entry("tls").or_insert_with(|| json!({"mode": "none"}));
    render_as_written(&values)
}

/// The same without additions.
pub fn render_as_written(values: &Value) -> Result<Rendered, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    fs::write(&file, values.to_string()).unwrap();
    try_render(&file)
}

impl Rendered {
    /// The objects of a kind.
    pub fn all(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// The object of this kind and name, if it exists.
    pub fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        self.all(kind).into_iter().find(|object| object["metadata"]["name"] == name)
    }

    /// The pod template.
    pub fn pod(&self) -> &Value {
        let workload = self.0.iter().find(|object| object["kind"] == "StatefulSet" || object["kind"] == "Deployment");
        &workload.unwrap()["spec"]["template"]
    }
}

#[test]
fn every_value_set_is_without_fault_for_helm() {
    let sets = super::SETS.map(|name| super::value_set(name).display().to_string());
    let chart = chart().display().to_string();
    let arguments: Vec<&str> = ["lint", &chart].into_iter().chain(sets.iter().map(String::as_str)).collect();
    let output = helm(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(fs::read_dir(super::chart().join("ci")).unwrap().count(), super::SETS.len());

    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("values.yaml");
    fs::write(&bad, "replica: 2\n").unwrap();
    assert!(!helm(&["lint", &chart, &bad.display().to_string()]).status.success(), "an unknown key is found");
}

#[test]
fn the_table_in_the_readme_is_that_of_the_values() {
    let check = Command::new(super::chart().join("readme")).arg("--check").status().unwrap();
    assert!(check.success(), "run charts/claviger/readme");
}
