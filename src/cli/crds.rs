//! `claviger crds`: prints the custom resource definitions, as in `crds/` of the chart.

use super::serve::print_error;
use crate::document::to_yaml;
use crate::wire::crd;
use std::process::ExitCode;

pub fn run() -> ExitCode {
    let mut text = String::new();
    for definition in crd::definitions() {
        match to_yaml(&definition) {
            Ok(yaml) => text = format!("{text}---\n{}\n", yaml.trim_end()),
            Err(error) => return print_error(&error),
        }
    }
    print!("{text}");
    ExitCode::SUCCESS
}
