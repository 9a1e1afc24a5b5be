//! The event filters of the API as options.

use crate::cli::failure::Failure;
use crate::model::clock::{Clock as _, SystemClock};
use crate::model::duration;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;

/// Filters, all of which must match.
#[derive(Debug, Clone, clap::Args)]
pub struct Filters {
    /// Earliest time, inclusive: RFC 3339, or an age such as `90m` or `30d`.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Latest time, exclusive: RFC 3339, or an age.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Event type, for example `ticket.issued`.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Subject of the caller.
    #[arg(long)]
    subject: Option<String>,
    /// The repo.
    #[arg(long)]
    repo: Option<String>,
    /// The branch.
    #[arg(long)]
    branch: Option<String>,
    /// Public id of the ticket.
    #[arg(long, value_name = "ID")]
    ticket_id: Option<String>,
    /// Outcome: ok, denied or failed.
    #[arg(long)]
    outcome: Option<String>,
}

impl Filters {
    /// The path and query of the request.
    pub fn path(&self) -> Result<String, Failure> {
        let since = self.since.as_deref().map(|text| time("--since", text)).transpose()?;
        let until = self.until.as_deref().map(|text| time("--until", text)).transpose()?;
        let pairs = [
            ("since", &since),
            ("until", &until),
            ("type", &self.kind),
            ("subject", &self.subject),
            ("repo", &self.repo),
            ("branch", &self.branch),
            ("ticketId", &self.ticket_id),
            ("outcome", &self.outcome),
        ];
        let path = pairs.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        Ok(path.fold("/v1/audit?".to_owned(), |path, (name, value)| path + &parameter(name, value)))
    }
}

/// One query parameter, with a trailing `&`.
pub fn parameter(name: &str, value: &str) -> String {
    format!("{name}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC))
}

/// A time as it is given on the command line: RFC 3339, or an age, which may also be in days.
pub fn time(option: &str, text: &str) -> Result<String, Failure> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let days = days.map(|days| Duration::from_secs(u64::from(days) * 24 * 60 * 60));
    if let Some(ago) = days.or_else(|| duration::parse(text).ok()) {
        let ago = SignedDuration::try_from(ago).unwrap_or(SignedDuration::MAX);
        // Longer ago than the earliest time: no limit.
        return Ok(SystemClock.now().checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH).to_string());
    }
    let time: Result<Timestamp, _> = text.parse();
    time.map(|time| time.to_string()).map_err(|_| {
        Failure::usage(format!(
            "{option}: must be a time in RFC 3339, as 2026-01-31T12:00:00Z, or how long ago, as 90m or 30d"
        ))
    })
}
