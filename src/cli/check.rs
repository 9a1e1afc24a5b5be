//! `claviger check`: reports all faults of a configuration, and with `--online` connects to all servers.

use super::command_error::CommandError;
use super::config_file::ConfigArgument;
use super::runtime::multi_thread_runtime;
use crate::app;

/// The options of `claviger check`.
#[derive(Debug, clap::Args)]
pub struct CheckArguments {
    #[command(flatten)]
    file: ConfigArgument,
    /// Also connect to the stores and the API servers.
    #[arg(long)]
    online: bool,
}

/// Checks the configuration, and prints its warnings and a summary. With `--online` also prints the state of each server. If the
/// configuration has faults, returns them as the error.
pub fn run(check: &CheckArguments) -> Result<(), CommandError> {
    let config = check.file.load()?;
    let app::CheckedConfiguration { policy_count, warnings, secret_name_lines } =
        app::check_offline(&config).map_err(CommandError::Usage)?;
    for warning in warnings {
        // A warning that concerns no single key begins with a colon.
        eprintln!("warning: {}", warning.trim_start_matches(": "));
    }
    println!("the configuration is good, with {policy_count} policies");
    for line in secret_name_lines {
        println!("{line}");
    }
    if !check.online {
        return Ok(());
    }
    let results = multi_thread_runtime()?.block_on(app::check_online(config))?;
    for (name, result) in &results {
        println!("{name}: {}", result.as_ref().map_or_else(String::as_str, |state| *state));
    }
    if results.iter().all(|(_, result)| result.is_ok()) { Ok(()) } else { Err(CommandError::Printed) }
}
