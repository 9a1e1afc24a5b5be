//! The download of a build pod: requests a ticket, redeems it once, and verifies the bundle. Shared by `fetch`, `exec` and `scan`.

mod ask;
mod attempt;
mod checked;
mod downloaded;
mod link;
mod progress;
mod redeem;

pub use downloaded::Downloaded;
pub use link::Link;
pub use progress::Progress;

use super::failure::Failure;
use super::retry_budget::RetryBudget;
use super::server::ServerArguments;
use super::workflow::Commands;
use crate::model::duration;
use crate::model::format::Format;
use crate::wire::ticket::TicketRequest;
use http::header::HeaderValue;
use reqwest::{Client, Url};
use std::collections::BTreeMap;
use std::time::Duration;

/// Options for what is requested.
#[derive(Debug, clap::Args)]
pub struct Wanted {
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
    pub bound: Bound,
}

/// The time limit option.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Bound {
    /// Total time limit, including retries.
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Duration,
}

impl Wanted {
    /// The request body for these keys; without a list for all keys.
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
    link: Link,
    keys: Vec<String>,
    sizes: Sizes,
}

/// A server, and the caller's token.
pub struct Source<'a> {
    arguments: &'a ServerArguments,
    origin: Url,
    bearer: HeaderValue,
    client: Client,
    retry_budget: RetryBudget,
    progress: Progress,
}

impl<'a> Source<'a> {
    /// Reads or requests the token, and reads the certificates. Sends nothing to the server.
    pub async fn open(
        arguments: &'a ServerArguments,
        bound: Bound,
        progress: Progress,
        commands: Commands,
    ) -> Result<Self, Failure> {
        let origin = arguments.origin()?;
        let client = arguments.client(origin.scheme())?;
        let mut retry_budget = RetryBudget::new(bound.timeout);
        let bearer = arguments.bearer(commands, &mut retry_budget).await?;
        Ok(Self { arguments, origin, bearer, client, retry_budget, progress })
    }

    /// A caller whose token another process has shown, with a client that many callers share. Sends nothing.
    #[cfg(feature = "csi")]
    pub fn shown(
        arguments: &'a ServerArguments,
        client: Client,
        bearer: HeaderValue,
        bound: Bound,
    ) -> Result<Self, Failure> {
        let (origin, progress) = (arguments.origin()?, Progress::silent());
        Ok(Self { arguments, origin, bearer, client, retry_budget: RetryBudget::new(bound.timeout), progress })
    }

    /// Requests a ticket and redeems it. Returns the bundle with the names of its keys.
    pub async fn fetch(
        &mut self,
        request: &TicketRequest,
        format: Format,
    ) -> Result<(Downloaded, Vec<String>), Failure> {
        self.fetch_if(request, format, |_| Ok(())).await
    }

    /// The same, but the ticket is redeemed only if the lengths of its values are accepted.
    pub async fn fetch_if(
        &mut self,
        request: &TicketRequest,
        format: Format,
        good: impl FnOnce(&Sizes) -> Result<(), Failure>,
    ) -> Result<(Downloaded, Vec<String>), Failure> {
        self.progress.says("asking for a ticket");
        let Receipt { link, keys, sizes } = self.ask(request).await?;
        if let Err(failure) = good(&sizes) {
            self.progress.clear();
            return Err(failure);
        }
        self.progress.says("fetching the bundle");
        let is_same_origin = link.url().origin() == self.origin.origin();
        let other;
        let client = if link.url().scheme() == self.origin.scheme() {
            &self.client
        } else {
            other = self.arguments.client(link.url().scheme())?;
            &other
        };
        let redemption = redeem::Redemption {
            client,
            link: &link,
            // The token is for this server, and for no other server that an answer names.
            bearer: is_same_origin.then_some(&self.bearer),
            format,
            keys: Some(keys.len()),
        };
        let downloaded = redemption.run(&mut self.retry_budget, &self.progress).await?;
        self.progress.clear();
        Ok((downloaded, keys))
    }
}

/// Redeems a ticket that another process requested.
pub async fn redeem(link: &Link, client: &Client, format: Format, bound: Bound) -> Result<Downloaded, Failure> {
    let redemption = redeem::Redemption { client, link, bearer: None, format, keys: None };
    redemption.run(&mut RetryBudget::new(bound.timeout), &Progress::silent()).await
}

/// Runs a future to completion.
pub fn block_on<T>(act: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Failed(format!("cannot start: {}", error.kind())))?.block_on(act)
}
