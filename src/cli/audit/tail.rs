//! `claviger audit tail`: prints the last events, and follows new ones.

use super::event_line::format_event;
use super::filters::{FilterArguments, query_parameter};
use super::printer::Printer;
use crate::cli::command_error::CommandError;
use crate::cli::connection::Connection;
use crate::cli::policy::output::JsonFormat;
use crate::cli::server_arguments::ServerArguments;
use crate::wire::audit_list::{AuditEventList, AuditEventObject};
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// An event may become visible up to this long after events with a later time, because the clocks of replicas and the times of
/// their writes differ.
const MAX_DELAY: SignedDuration = SignedDuration::from_secs(10);
/// Maximum number of events in a page.
const PAGE_SIZE: usize = 1000;

/// The options of `claviger audit tail`.
#[derive(Debug, clap::Args)]
pub struct TailArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    filters: FilterArguments,
    /// Continue with new events.
    #[arg(short, long)]
    follow: bool,
    /// Number of events to start with.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    lines: u16,
    /// json: events as in the API, one per line.
    #[arg(short, long)]
    output: Option<JsonFormat>,
}

/// Prints the last events, and with `--follow` also new ones.
pub async fn run(tail: &TailArguments, server: &Connection) -> Result<(), CommandError> {
    let mut printed = PrintedEvents::new(tail.output.is_some());
    // With --follow a full page is read, so that the older events of the page are not taken for new ones at the next poll.
    let limit = if tail.follow { PAGE_SIZE } else { tail.lines.into() };
    let since = tail.filters.since()?;
    let path = tail.filters.request_path()?;
    let mut pages = PageReader { server, limit };
    let mut page = pages.read(&path, None).await?;
    // The server ends a page early if its search takes long.
    while page.items.len() < tail.lines.into() && pages.read_next(&path, &mut page).await? {}
    printed.print_last(&page, tail.lines.into())?;
    if !tail.follow {
        return Ok(());
    }
    loop {
        sleep(POLL_INTERVAL).await;
        match print_new_events(tail, since, &mut pages, &mut printed).await {
            // The next poll also reads the events that a failed poll missed.
            Err(CommandError::Unreachable(_) | CommandError::Refused { status: 429 | 502..=504, .. }) | Ok(()) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Prints all events since the last poll, and after `since`, the earliest time that the command line allows.
async fn print_new_events(
    tail: &TailArguments,
    since: Option<Timestamp>,
    pages: &mut PageReader<'_>,
    printed: &mut PrintedEvents,
) -> Result<(), CommandError> {
    let mut filters = tail.filters.clone();
    // An age such as `1h` is counted from the start of the command.
    let last = printed.last.map(|last| last.checked_sub(MAX_DELAY).unwrap_or(last));
    filters.since = since.max(last).map(|time| time.to_string());
    let path = filters.request_path()?;
    let mut list = pages.read(&path, None).await?;
    // If no event was printed before, there is no lower bound of time, and one page is enough.
    while printed.last.is_some() && pages.read_next(&path, &mut list).await? {}
    printed.print_new(&list)
}

/// Reads pages of events.
struct PageReader<'c> {
    server: &'c Connection,
    /// Maximum number of events in a page. It stays reduced after an answer that was too large: an event can have up to 4 MiB.
    limit: usize,
}

impl PageReader<'_> {
    /// Reads the page at this position, or the first. An answer that is too large is requested again with half as many events.
    async fn read(&mut self, path: &str, position: Option<&str>) -> Result<AuditEventList, CommandError> {
        let position = position.map(|position| query_parameter("continue", position)).unwrap_or_default();
        loop {
            let path = format!("{path}{}{position}", query_parameter("limit", &self.limit.to_string()));
            match self.server.get(&path).await {
                Err(CommandError::AnswerTooLarge) if self.limit > 1 => self.limit /= 2,
                answer => return answer?.json(),
            }
        }
    }

    /// Adds the next page to the list. False if there is none.
    async fn read_next(&mut self, path: &str, list: &mut AuditEventList) -> Result<bool, CommandError> {
        let Some(next) = list.continue_token.take() else { return Ok(false) };
        let page = self.read(path, Some(&next)).await?;
        list.items.extend(page.items);
        list.continue_token = page.continue_token;
        Ok(true)
    }
}

/// Prints each event once, and remembers which were printed.
struct PrintedEvents {
    printer: Printer,
    json: bool,
    /// Times and ids of the events that the next poll may return again.
    ids: BTreeSet<(Timestamp, String)>,
    /// Time of the newest event.
    last: Option<Timestamp>,
    /// Events up to this time are older than the first page, and are not printed.
    oldest: Option<Timestamp>,
}

impl PrintedEvents {
    fn new(json: bool) -> Self {
        Self { printer: Printer::new(), json, ids: BTreeSet::new(), last: None, oldest: None }
    }

    /// Prints the last events of the first page, newest last.
    fn print_last(&mut self, list: &AuditEventList, lines: usize) -> Result<(), CommandError> {
        let hidden = list.items.len().saturating_sub(lines);
        for (index, raw) in list.items.iter().rev().enumerate() {
            let (event, time) = parse_event(raw)?;
            if index == 0 && list.continue_token.is_some() {
                self.oldest = Some(time);
            }
            self.record(raw, event, time, index >= hidden)?;
        }
        self.printer.flush()
    }

    /// Prints the events that were not printed before.
    fn print_new(&mut self, list: &AuditEventList) -> Result<(), CommandError> {
        for raw in list.items.iter().rev() {
            let (event, time) = parse_event(raw)?;
            if self.oldest.is_none_or(|oldest| time > oldest) {
                self.record(raw, event, time, true)?;
            }
        }
        if let Some(horizon) = self.last.and_then(|last| last.checked_sub(MAX_DELAY + MAX_DELAY).ok()) {
            self.ids = self.ids.split_off(&(horizon, String::new()));
        }
        self.printer.flush()
    }

    /// Remembers the event, and prints it if `print` is set and it was not printed before.
    fn record(
        &mut self,
        raw: &RawValue,
        event: AuditEventObject,
        time: Timestamp,
        print: bool,
    ) -> Result<(), CommandError> {
        let line = print.then(|| if self.json { raw.get().to_owned() } else { format_event(&event) });
        self.last = self.last.max(Some(time));
        let is_new = self.ids.insert((time, event.id));
        match line {
            Some(line) if is_new => self.printer.print_line(&line),
            _ => Ok(()),
        }
    }
}

fn parse_event(raw: &RawValue) -> Result<(AuditEventObject, Timestamp), CommandError> {
    let invalid_event = || CommandError::Other("the server's answer is not a list of audit events".into());
    let event: AuditEventObject = serde_json::from_str(raw.get()).map_err(|_| invalid_event())?;
    let time = event.time.parse().map_err(|_| invalid_event())?;
    Ok((event, time))
}
