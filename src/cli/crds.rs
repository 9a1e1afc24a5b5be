//! `claviger crds`: prints the custom resource definitions, as in `crds/` of the chart.

use super::command_error::CommandError;
use crate::document::to_yaml;
use crate::wire::crd;

pub fn run() -> Result<(), CommandError> {
    let mut text = String::new();
    for definition in crd::definitions() {
        let yaml = to_yaml(&definition).map_err(|error| CommandError::from_error(&error))?;
        text = format!("{text}---\n{}\n", yaml.trim_end());
    }
    print!("{text}");
    Ok(())
}
