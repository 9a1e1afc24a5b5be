//! `claviger check`: reports all faults of a configuration, and with `--online` connects to all servers.

use super::config_file::ConfigFile;
use super::failure::USAGE;
use super::faults;
use super::serve::{cannot_start, failed};
use crate::app;
use crate::config;
use std::process::ExitCode;

/// The options of `claviger check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// Also connect to the stores and the API servers.
    #[arg(long)]
    online: bool,
}

/// Checks, and prints the faults.
pub fn run(check: &Check) -> ExitCode {
    let config = match config::load(&check.file.config) {
        Ok(config) => config,
        Err(found) => {
            faults::print(&check.file.config, &found);
            return ExitCode::from(USAGE);
        }
    };
    let app::Checked { policies, warnings, names } = match app::check_offline(&config) {
        Ok(checked) => checked,
        Err(found) => {
            for fault in found {
                eprintln!("{fault}");
            }
            return ExitCode::from(USAGE);
        }
    };
    for warning in warnings {
        // A fault without a key begins with a colon.
        eprintln!("warning: {}", warning.trim_start_matches(": "));
    }
    println!("the configuration is good, with {policies} policies");
    for name in names {
        println!("{name}");
    }
    if !check.online {
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(app::check_online(config)) {
        Ok(reached) => {
            for (name, result) in &reached {
                println!("{name}: {}", result.as_ref().map_or_else(String::as_str, |word| *word));
            }
            if reached.iter().all(|(_, result)| result.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => cannot_start(&error),
    }
}
