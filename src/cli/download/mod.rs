//! Downloads a bundle: requests a ticket, redeems it once, and verifies the bundle. Shared by `fetch`, `exec`, `scan` and `csi`.

mod attempt_error;
mod download_link;
mod downloaded_bundle;
mod progress;
mod redeem;
mod request_ticket;
mod verification;

pub use download_link::DownloadLink;
pub use downloaded_bundle::DownloadedBundle;
pub use progress::Progress;

use super::command_error::CommandError;
use super::retry_budget::RetryBudget;
use super::server_arguments::ServerArguments;
use super::workflow::RunnerStream;
use crate::model::duration;
use crate::model::format::Format;
use crate::wire::ticket::TicketRequest;
use http::header::HeaderValue;
use reqwest::{Client, Url};
use std::collections::BTreeMap;
use std::time::Duration;

/// The options of a request for secrets.
#[derive(Debug, clap::Args)]
pub struct DownloadArguments {
    /// Repository; optional if policies attest it.
    #[arg(long)]
    pub repo: Option<String>,
    /// Branch; optional if policies attest it.
    #[arg(long)]
    pub branch: Option<String>,
    /// Fail if there are no secrets.
    #[arg(long)]
    pub required: bool,
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub time_limit: TimeoutArgument,
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct TimeoutArgument {
    /// Total time limit, including retries.
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Duration,
}

impl DownloadArguments {
    /// The request body for these keys. `None` stands for all keys.
    pub fn request(&self, keys: Option<Vec<String>>, ttl: Option<String>) -> TicketRequest {
        TicketRequest {
            repo: self.repo.clone(),
            branch: self.branch.clone(),
            ttl,
            keys,
            required: self.required.then_some(true),
        }
    }
}

/// Lengths of values in bytes, by key; empty if the server does not report them.
pub type Sizes = BTreeMap<String, usize>;

/// An issued ticket.
struct Receipt {
    link: DownloadLink,
    keys: Vec<String>,
    sizes: Sizes,
}

/// A client that requests and redeems tickets with one bearer token.
pub struct TicketClient<'a> {
    arguments: &'a ServerArguments,
    origin: Url,
    bearer: HeaderValue,
    client: Client,
    retry_budget: RetryBudget,
    progress: Progress,
}

impl<'a> TicketClient<'a> {
    /// Reads or requests the token, and reads the certificates. Sends nothing to the server.
    pub async fn open(
        arguments: &'a ServerArguments,
        time_limit: TimeoutArgument,
        progress: Progress,
        runner: RunnerStream,
    ) -> Result<Self, CommandError> {
        let origin = arguments.origin()?;
        let client = arguments.client(origin.scheme())?;
        let mut retry_budget = RetryBudget::new(time_limit.timeout);
        let bearer = arguments.bearer(runner, &mut retry_budget).await?;
        Ok(Self { arguments, origin, bearer, client, retry_budget, progress })
    }

    /// Uses this bearer token, and an HTTP client that several tokens may share. Sends nothing.
    #[cfg(feature = "csi")]
    pub fn with_bearer(
        arguments: &'a ServerArguments,
        client: Client,
        bearer: HeaderValue,
        time_limit: TimeoutArgument,
    ) -> Result<Self, CommandError> {
        let (origin, progress) = (arguments.origin()?, Progress::silent());
        Ok(Self { arguments, origin, bearer, client, retry_budget: RetryBudget::new(time_limit.timeout), progress })
    }

    /// Requests a ticket and redeems it. Returns the bundle with the names of its keys.
    pub async fn fetch(
        &mut self,
        request: &TicketRequest,
        format: Format,
    ) -> Result<(DownloadedBundle, Vec<String>), CommandError> {
        self.fetch_if(request, format, |_| Ok(())).await
    }

    /// Requests a ticket, and redeems it only if `accept` accepts the lengths of its values.
    pub async fn fetch_if(
        &mut self,
        request: &TicketRequest,
        format: Format,
        accept: impl FnOnce(&Sizes) -> Result<(), CommandError>,
    ) -> Result<(DownloadedBundle, Vec<String>), CommandError> {
        self.progress.show_step("asking for a ticket");
        let Receipt { link, keys, sizes } = self.request_ticket(request).await?;
        if let Err(error) = accept(&sizes) {
            self.progress.clear();
            return Err(error);
        }
        self.progress.show_step("fetching the bundle");
        let is_same_origin = link.url().origin() == self.origin.origin();
        let other_client;
        let client = if link.url().scheme() == self.origin.scheme() {
            &self.client
        } else {
            other_client = self.arguments.client(link.url().scheme())?;
            &other_client
        };
        let redemption = redeem::Redemption {
            client,
            link: &link,
            // The bearer token is sent to the configured server only, not to another host in the ticket's URL.
            bearer: is_same_origin.then_some(&self.bearer),
            format,
            key_count: Some(keys.len()),
        };
        let downloaded = redemption.run(&mut self.retry_budget, &self.progress).await?;
        self.progress.clear();
        Ok((downloaded, keys))
    }
}

/// Redeems a ticket that another process requested.
pub async fn redeem(
    link: &DownloadLink,
    client: &Client,
    format: Format,
    time_limit: TimeoutArgument,
) -> Result<DownloadedBundle, CommandError> {
    let redemption = redeem::Redemption { client, link, bearer: None, format, key_count: None };
    redemption.run(&mut RetryBudget::new(time_limit.timeout), &Progress::silent()).await
}
