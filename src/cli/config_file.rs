//! The option that names the configuration file.

use std::path::PathBuf;

/// The configuration file option.
#[derive(Debug, clap::Args)]
pub struct ConfigFile {
    /// Configuration file.
    #[arg(long, env = "CLAVIGER_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
}
