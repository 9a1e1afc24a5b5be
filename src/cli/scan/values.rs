//! Reads the values to search for, from a bundle file or with a ticket.

use crate::cli::bundle::{self, Values};
use crate::cli::command_error::CommandError;
use crate::cli::download::{DownloadLink, TimeoutArgument, redeem};
use crate::cli::http_client;
use crate::cli::input_file;
use crate::cli::runtime::block_on;
use crate::model::format::Format;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Maximum size of a bundle file. A larger one is an error; every bundle of a server is smaller.
const MAX_BUNDLE_BYTES: usize = 64 * 1024 * 1024;

/// The options that name the source of the values.
#[derive(Debug, clap::Args)]
pub struct ValueArguments {
    /// Bundle file in format export, dotenv, dotenv-expand or json (`-`: standard input).
    #[arg(long, value_name = "FILE", required_unless_present = "ticket", conflicts_with = "ticket")]
    bundle: Option<PathBuf>,
    /// One-time download URL; it is redeemed.
    #[arg(long, value_name = "URL")]
    ticket: Option<DownloadLink>,
    /// CA certificates (PEM) to trust instead of the system's.
    #[arg(long, env = "CLAVIGER_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    time_limit: TimeoutArgument,
}

/// Reads the bundle file, or redeems the ticket.
pub fn read_values(arguments: &ValueArguments) -> Result<Values, CommandError> {
    let text = match (&arguments.bundle, &arguments.ticket) {
        (Some(file), _) => input_file::read_text_bounded(file, MAX_BUNDLE_BYTES)
            .map_err(|reason| CommandError::usage(format!("--bundle: {}: {reason}", file.display())))?,
        (None, Some(link)) => {
            let client = http_client::client(link.url().scheme(), arguments.ca_file.as_deref())?;
            let downloaded = block_on(redeem(link, &client, Format::Json, arguments.time_limit))?;
            let text = std::str::from_utf8(&downloaded.bytes);
            Zeroizing::new(text.map_err(|_| CommandError::Other("the bundle is not UTF-8".into()))?.to_owned())
        }
        (None, None) => return Err(CommandError::usage("--bundle or --ticket: one of them is needed")),
    };
    bundle::parse(&text).map_err(|error| CommandError::usage(format!("the bundle {error}")))
}
