//! `claviger audit tail`.

use super::filters::{Filters, parameter};
use super::line;
use super::printing::Printer;
use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::server::ServerArguments;
use crate::wire::audit_list::{AuditEventList, AuditEventObject};
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

/// Interval between polls.
const EVERY: Duration = Duration::from_secs(1);
/// How late an event may become visible: the clocks of replicas differ, and so do the times of their writes.
const LATE: SignedDuration = SignedDuration::from_secs(10);
/// Maximum number of events in a page.
const PAGE: usize = 1000;

/// The options of `claviger audit tail`.
#[derive(Debug, clap::Args)]
pub struct Tail {
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    filters: Filters,
    /// Continue with new events.
    #[arg(short, long)]
    follow: bool,
    /// Number of events to start with.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    lines: u16,
    /// json: events as in the API, one per line.
    #[arg(short, long)]
    output: Option<Format>,
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Events as in the API.
    Json,
}

/// Prints the last events, and with `--follow` also new ones.
pub async fn run(tail: &Tail, server: &Connection) -> Result<(), Failure> {
    let mut shown = Shown::new(tail.output.is_some());
    // More than is shown, so that none of the others is mistaken for a late event.
    let limit = if tail.follow { PAGE } else { tail.lines.into() };
    let path = tail.filters.path()? + &parameter("limit", &limit.to_string());
    let page: AuditEventList = server.get(&path).await?.json()?;
    shown.begin(&page, tail.lines.into())?;
    if !tail.follow {
        return Ok(());
    }
    loop {
        sleep(EVERY).await;
        match more(tail, server, &mut shown).await {
            // The next poll reads the missed events too.
            Err(Failure::Unreachable(_) | Failure::Refused { status: 429 | 502..=504, .. }) | Ok(()) => {}
            Err(failure) => return Err(failure),
        }
    }
}

/// Prints all events since the last poll.
async fn more(tail: &Tail, server: &Connection, shown: &mut Shown) -> Result<(), Failure> {
    let mut filters = tail.filters.clone();
    if let Some(last) = shown.last {
        filters.since = Some(last.checked_sub(LATE).unwrap_or(last).to_string());
    }
    let path = filters.path()? + &parameter("limit", &PAGE.to_string());
    let mut list: AuditEventList = server.get(&path).await?.json()?;
    // If nothing was shown yet there is no lower bound: the newest page is enough.
    while let Some(next) = list.next.take().filter(|_| shown.last.is_some()) {
        let page: AuditEventList = server.get(&(path.clone() + &parameter("continue", &next))).await?.json()?;
        list.items.extend(page.items);
        list.next = page.next;
    }
    shown.show(&list)
}

/// The events that were printed already.
struct Shown {
    printer: Printer,
    json: bool,
    /// Times and ids of the events that the next poll may return again.
    ids: BTreeSet<(Timestamp, String)>,
    last: Option<Timestamp>,
    /// Events up to this time were there before.
    floor: Option<Timestamp>,
}

impl Shown {
    fn new(json: bool) -> Self {
        Self { printer: Printer::new(), json, ids: BTreeSet::new(), last: None, floor: None }
    }

    /// Prints the last of the existing events, newest last.
    fn begin(&mut self, list: &AuditEventList, lines: usize) -> Result<(), Failure> {
        let older = list.items.len().saturating_sub(lines);
        for (place, raw) in list.items.iter().rev().enumerate() {
            let (event, time) = read(raw)?;
            if place == 0 && list.next.is_some() {
                self.floor = Some(time);
            }
            self.take(raw, event, time, place >= older)?;
        }
        self.printer.flush()
    }

    /// Prints the new events.
    fn show(&mut self, list: &AuditEventList) -> Result<(), Failure> {
        for raw in list.items.iter().rev() {
            let (event, time) = read(raw)?;
            if self.floor.is_none_or(|floor| time > floor) {
                self.take(raw, event, time, true)?;
            }
        }
        if let Some(horizon) = self.last.and_then(|last| last.checked_sub(LATE + LATE).ok()) {
            self.ids = self.ids.split_off(&(horizon, String::new()));
        }
        self.printer.flush()
    }

    fn take(&mut self, raw: &RawValue, event: AuditEventObject, time: Timestamp, print: bool) -> Result<(), Failure> {
        let line = print.then(|| if self.json { raw.get().to_owned() } else { line::of(&event) });
        self.last = self.last.max(Some(time));
        let is_new = self.ids.insert((time, event.id));
        match line {
            Some(line) if is_new => self.printer.line(&line),
            _ => Ok(()),
        }
    }
}

fn read(raw: &RawValue) -> Result<(AuditEventObject, Timestamp), Failure> {
    let strange = || Failure::Failed("the server's events are not as Claviger has them".into());
    let event: AuditEventObject = serde_json::from_str(raw.get()).map_err(|_| strange())?;
    let time = event.time.parse().map_err(|_| strange())?;
    Ok((event, time))
}
