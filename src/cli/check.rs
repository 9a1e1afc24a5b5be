//! `claviger check`: reports all faults of a configuration, and with `--online` connects to all servers.

use super::command_error::USAGE;
use super::config_faults::print_config_faults;
use super::config_file::ConfigArgument;
use super::serve::{print_error, print_start_error};
use crate::app;
use crate::config;
use std::process::ExitCode;

/// The options of `claviger check`.
#[derive(Debug, clap::Args)]
pub struct CheckArguments {
    #[command(flatten)]
    file: ConfigArgument,
    /// Also connect to the stores and the API servers.
    #[arg(long)]
    online: bool,
}

/// Checks, and prints the faults.
pub fn run(check: &CheckArguments) -> ExitCode {
    let config = match config::load(&check.file.config) {
        Ok(config) => config,
        Err(faults) => {
            print_config_faults(&check.file.config, &faults);
            return ExitCode::from(USAGE);
        }
    };
    let app::CheckedConfiguration { policies, warnings, secret_names } = match app::check_offline(&config) {
        Ok(checked) => checked,
        Err(faults) => {
            for fault in faults {
                eprintln!("{fault}");
            }
            return ExitCode::from(USAGE);
        }
    };
    for warning in warnings {
        // A warning without a key begins with a colon.
        eprintln!("warning: {}", warning.trim_start_matches(": "));
    }
    println!("the configuration is good, with {policies} policies");
    for line in secret_names {
        println!("{line}");
    }
    if !check.online {
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return print_error(&error),
    };
    match runtime.block_on(app::check_online(config)) {
        Ok(results) => {
            for (name, result) in &results {
                println!("{name}: {}", result.as_ref().map_or_else(String::as_str, |state| *state));
            }
            if results.iter().all(|(_, result)| result.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => print_start_error(&error),
    }
}
