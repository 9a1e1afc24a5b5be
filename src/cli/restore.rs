//! `claviger restore`: after a restore of the database, revokes the tickets that may have been redeemed after the backup.

use super::audit;
use super::config_file::ConfigFile;
use super::failure::USAGE;
use super::faults;
use super::serve::{cannot_start, failed};
use crate::app::{self, RestoreError};
use crate::config;
use jiff::Timestamp;
use std::process::ExitCode;

/// The options of `claviger restore`.
#[derive(Debug, clap::Args)]
pub struct Restore {
    #[command(flatten)]
    file: ConfigFile,
    /// Time of the backup, at the latest when it began: RFC 3339, or how long ago, as `90m`.
    #[arg(long, value_name = "TIME")]
    after: String,
}

/// Revokes, and prints the number of tickets to standard error. Standard output has the audit events, as with `serve`.
pub fn run(restore: &Restore) -> ExitCode {
    let config = match config::load(&restore.file.config) {
        Ok(config) => config,
        Err(found) => {
            faults::print(&restore.file.config, &found);
            return ExitCode::from(USAGE);
        }
    };
    let backup = match audit::time("--after", &restore.after) {
        // It was written by this process.
        Ok(time) => time.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        Err(failure) => return failure.print_and_code(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(app::restore(&config, backup)) {
        Ok(revoked) => {
            eprintln!("{revoked} tickets revoked that could be redeemed after {backup}");
            ExitCode::SUCCESS
        }
        Err(RestoreError::Start(error)) => cannot_start(&error),
        Err(error @ RestoreError::Future) => {
            eprintln!("--after: {error}");
            ExitCode::from(USAGE)
        }
        Err(error @ RestoreError::Unavailable(_)) => failed(&error),
    }
}
