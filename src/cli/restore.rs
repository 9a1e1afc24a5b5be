//! `claviger restore`: after a restore of the database, revokes the tickets that may have been redeemed after the backup.

use super::audit;
use super::command_error::USAGE;
use super::config_faults::print_config_faults;
use super::config_file::ConfigArgument;
use super::serve::{print_error, print_start_error};
use crate::app::{self, RestoreError};
use crate::config;
use jiff::Timestamp;
use std::process::ExitCode;

/// The options of `claviger restore`.
#[derive(Debug, clap::Args)]
pub struct RestoreArguments {
    #[command(flatten)]
    file: ConfigArgument,
    /// Time of the backup: when it began, or earlier (RFC 3339, or an age such as `90m`).
    #[arg(long, value_name = "TIME")]
    after: String,
}

/// Revokes, and prints the number of tickets to standard error. Standard output has the audit events, as with `serve`.
pub fn run(restore: &RestoreArguments) -> ExitCode {
    let config = match config::load(&restore.file.config) {
        Ok(config) => config,
        Err(faults) => {
            print_config_faults(&restore.file.config, &faults);
            return ExitCode::from(USAGE);
        }
    };
    let backup = match audit::parse_time("--after", &restore.after) {
        // `parse_time` has formatted it, so that parsing it cannot fail.
        Ok(time) => time.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        Err(error) => return error.report(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return print_error(&error),
    };
    match runtime.block_on(app::restore(&config, backup)) {
        Ok(revoked) => {
            eprintln!("{revoked} tickets revoked that could be redeemed after {backup}");
            ExitCode::SUCCESS
        }
        Err(RestoreError::Start(error)) => print_start_error(&error),
        Err(error @ RestoreError::BackupInFuture) => {
            eprintln!("--after: {error}");
            ExitCode::from(USAGE)
        }
        Err(error @ RestoreError::Unavailable(_)) => print_error(&error),
    }
}
