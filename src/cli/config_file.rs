//! The option `--config`.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct ConfigArgument {
    /// Configuration file.
    #[arg(long, env = "CLAVIGER_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
}
