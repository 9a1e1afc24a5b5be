//! The options that filter events, and the query parameters that they become.

use crate::cli::command_error::CommandError;
use crate::model::clock::{Clock as _, SystemClock};
use crate::model::duration;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;

/// The options that filter events. An event must match all of them.
#[derive(Debug, Clone, clap::Args)]
pub struct FilterArguments {
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

impl FilterArguments {
    /// The time of `--since`.
    pub fn since(&self) -> Result<Option<Timestamp>, CommandError> {
        self.since.as_deref().map(|text| parse_timestamp("--since", text)).transpose()
    }

    /// The path and query of the request, ending in `?` or `&`.
    pub fn request_path(&self) -> Result<String, CommandError> {
        let since = self.since.as_deref().map(|text| parse_time("--since", text)).transpose()?;
        let until = self.until.as_deref().map(|text| parse_time("--until", text)).transpose()?;
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
        let given = pairs.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        Ok(given.fold("/v1/audit?".to_owned(), |path, (name, value)| path + &query_parameter(name, value)))
    }
}

/// One query parameter, with a trailing `&`.
pub fn query_parameter(name: &str, value: &str) -> String {
    format!("{name}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC))
}

/// Parses the value of an option: a time in RFC 3339, or an age such as `90m` or `30d`. Returns the time in RFC 3339.
pub fn parse_time(option: &str, text: &str) -> Result<String, CommandError> {
    parse_timestamp(option, text).map(|time| time.to_string())
}

fn parse_timestamp(option: &str, text: &str) -> Result<Timestamp, CommandError> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let days = days.map(|days| Duration::from_secs(u64::from(days) * 24 * 60 * 60));
    if let Some(age) = days.or_else(|| duration::parse(text).ok()) {
        let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
        // A time that cannot be represented is replaced by 1970, which is before every event.
        return Ok(SystemClock.now().checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH));
    }
    text.parse().map_err(|_| {
        CommandError::usage(format!(
            "{option}: must be a time in RFC 3339, as 2026-01-31T12:00:00Z, or an age, as 90m or 30d"
        ))
    })
}
