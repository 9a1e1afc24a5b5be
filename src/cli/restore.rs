//! `claviger restore`: after a restore of the database, revokes the tickets that may have been redeemed after the backup.

use super::audit;
use super::command_error::CommandError;
use super::config_file::ConfigArgument;
use super::runtime::multi_thread_runtime;
use crate::app::{self, RestoreError};
use jiff::Timestamp;

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
pub fn run(restore: &RestoreArguments) -> Result<(), CommandError> {
    let config = restore.file.load()?;
    // `parse_time` has formatted it, so that parsing it cannot fail.
    let backup = audit::parse_time("--after", &restore.after)?.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let revoked = multi_thread_runtime()?.block_on(app::restore(&config, backup)).map_err(|error| match error {
        RestoreError::Start(error) => error.into(),
        RestoreError::BackupInFuture => CommandError::usage(format!("--after: {error}")),
        RestoreError::Unavailable(_) => CommandError::from_error(&error),
    })?;
    eprintln!("{revoked} tickets revoked that could be redeemed after {backup}");
    Ok(())
}
