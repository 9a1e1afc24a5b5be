//! The source of the values to search for: a fetched bundle, or a ticket.

use crate::cli::bundle::{self, Values};
use crate::cli::download::{Bound, Link, block_on, redeem};
use crate::cli::failure::Failure;
use crate::cli::http_client;
use crate::cli::input;
use crate::model::format::Format;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Larger than any bundle of a server.
const MAX_BUNDLE_BYTES: usize = 64 * 1024 * 1024;

/// The source of the values.
#[derive(Debug, clap::Args)]
pub struct ValueArguments {
    /// Bundle file in format export, dotenv, dotenv-expand or json (`-`: standard input).
    #[arg(long, value_name = "FILE", required_unless_present = "ticket", conflicts_with = "ticket")]
    bundle: Option<PathBuf>,
    /// One-time download URL; it is redeemed.
    #[arg(long, value_name = "URL")]
    ticket: Option<Link>,
    /// CA certificates (PEM) to trust instead of the system's.
    #[arg(long, env = "CLAVIGER_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    bound: Bound,
}

/// Reads or downloads the values.
pub fn read(arguments: &ValueArguments) -> Result<Values, Failure> {
    let text = match (&arguments.bundle, &arguments.ticket) {
        (Some(file), _) => input::text_of_at_most(file, MAX_BUNDLE_BYTES)
            .map_err(|reason| Failure::usage(format!("--bundle: {}: {reason}", file.display())))?,
        (None, Some(link)) => {
            let client = http_client::client(link.url().scheme(), arguments.ca_file.as_deref())?;
            let downloaded = block_on(redeem(link, &client, Format::Json, arguments.bound))?;
            let text = std::str::from_utf8(&downloaded.bytes);
            Zeroizing::new(text.map_err(|_| Failure::Failed("the bundle is not UTF-8".into()))?.to_owned())
        }
        (None, None) => return Err(Failure::usage("--bundle or --ticket: one of them is needed")),
    };
    bundle::read(&text).map_err(|error| Failure::usage(format!("the bundle {error}")))
}
