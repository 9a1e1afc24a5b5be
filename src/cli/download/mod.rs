//! What a build pod does: it asks for a ticket, redeems it once, and believes no bundle that it has not checked.
//! `fetch`, `exec` and `scan` share it.

mod ask;
mod attempt;
mod checked;
mod link;
mod patience;
mod progress;
mod redeem;

pub use link::Link;
pub use progress::Progress;

use super::failure::Failure;
use super::server::ServerArguments;
use crate::model::duration;
use crate::model::format::Format;
use crate::wire::ticket::TicketRequest;
use http::header::HeaderValue;
use patience::Patience;
use reqwest::{Client, Url};
use std::collections::BTreeMap;
use std::time::Duration;
use zeroize::Zeroizing;

/// What is asked for, whatever becomes of it.
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

/// How long all of it may take.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Bound {
    /// Total time limit, including retries.
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Duration,
}

impl Wanted {
    /// The request for these keys; without a list for all there are.
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

/// The lengths of values by the names of their keys, in bytes; nothing where the server does not tell.
pub type Sizes = BTreeMap<String, usize>;

/// A ticket that was issued.
struct Receipt {
    link: Link,
    keys: Vec<String>,
    sizes: Sizes,
}

/// A bundle that came whole, as the server rendered it.
pub struct Downloaded {
    /// The bytes.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Whether the server says that a store could not be reached and older values were served.
    pub stale: bool,
}

/// A server, and who asks it.
pub struct Source<'a> {
    arguments: &'a ServerArguments,
    origin: Url,
    bearer: HeaderValue,
    client: Client,
    patience: Patience,
    progress: Progress,
}

impl<'a> Source<'a> {
    /// Reads the token and the certificates. Calls nobody yet.
    pub fn open(arguments: &'a ServerArguments, bound: Bound, progress: Progress) -> Result<Self, Failure> {
        let origin = arguments.origin()?;
        let bearer = arguments.bearer()?;
        let client = arguments.client(origin.scheme())?;
        Ok(Self { arguments, origin, bearer, client, patience: Patience::new(bound.timeout), progress })
    }

    /// Asks for a ticket and redeems it. Returns the bundle with the names of its keys.
    pub async fn fetch(
        &mut self,
        request: &TicketRequest,
        format: Format,
    ) -> Result<(Downloaded, Vec<String>), Failure> {
        self.fetch_if(request, format, |_| Ok(())).await
    }

    /// The same, but the ticket is redeemed only where the lengths of its values are good.
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
            // Its token is for the server, and for no other that an answer names.
            bearer: is_same_origin.then_some(&self.bearer),
            format,
            keys: Some(keys.len()),
        };
        let downloaded = redemption.run(&mut self.patience, &self.progress).await?;
        self.progress.clear();
        Ok((downloaded, keys))
    }
}

/// Redeems a ticket that somebody else asked for.
pub async fn redeem(link: &Link, client: &Client, format: Format, bound: Bound) -> Result<Downloaded, Failure> {
    let redemption = redeem::Redemption { client, link, bearer: None, format, keys: None };
    redemption.run(&mut Patience::new(bound.timeout), &Progress::silent()).await
}

/// Does what needs a runtime.
pub fn block_on<T>(act: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Failed(format!("cannot start: {}", error.kind())))?.block_on(act)
}
