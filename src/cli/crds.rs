//! `claviger crds`: the custom resource definitions, as the chart has them in `crds/`.

use super::serve::failed;
use crate::document::to_yaml;
use crate::wire::crd;
use std::process::ExitCode;

pub fn run() -> ExitCode {
    let mut text = String::new();
    for definition in crd::definitions() {
        match to_yaml(&definition) {
            Ok(yaml) => text = format!("{text}---\n{}\n", yaml.trim_end()),
            Err(error) => return failed(&error),
        }
    }
    print!("{text}");
    ExitCode::SUCCESS
}
