//! The option `--config`, and the faults of a configuration file.

use super::command_error::CommandError;
use crate::app;
use crate::config::{self, Config};
use crate::document::Fault;
use crate::policy::Bounds;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct ConfigArgument {
    /// Configuration file.
    #[arg(long, env = "CLAVIGER_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
}

impl ConfigArgument {
    /// Loads the file.
    pub fn load(&self) -> Result<Config, CommandError> {
        config::load(&self.config).map_err(|faults| config_error(&self.config, &faults))
    }
}

/// Loads a configuration file, and returns the bounds that it sets for policies.
pub fn load_policy_bounds(file: &Path) -> Result<Bounds, CommandError> {
    let config = config::load(file).map_err(|faults| config_error(file, &faults))?;
    Ok(app::policy_bounds(&config))
}

/// The error for a configuration with faults. It has one line for each fault: the file, the key, and what is wrong.
pub fn config_error(file: &Path, faults: &[Fault]) -> CommandError {
    let line = |fault: &Fault| {
        let key = fault.dotted_path();
        let key = if key.is_empty() { "the document" } else { &key };
        format!("{}: {key}: {}", file.display(), fault.detail)
    };
    CommandError::Usage(faults.iter().map(line).collect())
}
