//! The last event of each use among the rows that this process has written, so that they need not be read again.

use super::usage_parts::UsageParts;
use std::collections::HashMap;
use std::sync::Arc;

/// The types of events that may record a use. The others, such as redemptions, are half of the log and record no further use.
const TYPES: [&str; 4] = ["ticket.issued", "secrets.read", "ticket.denied", "ticket.failed"];
/// Bounds of the events that are kept. They are taken every 30 seconds.
const MAX_EVENTS: usize = 1024;
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The last events of consecutive rows. Of events with equal [`UsageParts`] only the last one is kept.
#[derive(Debug, Default)]
pub struct RecentUses {
    /// The row before the first one.
    after: i64,
    last_row: i64,
    /// By the key of their parts.
    events: HashMap<Box<str>, LastEvent>,
    /// Bytes of the keys, and of the texts that were added with them.
    bytes: usize,
    /// The key of the event that is added, kept for its memory.
    key: String,
}

#[derive(Debug)]
struct LastEvent {
    time: Arc<str>,
    text: Arc<str>,
}

impl RecentUses {
    /// Begins with the row after this one, without any event.
    pub fn restart_after(&mut self, row: i64) {
        *self = Self { after: row, last_row: row, ..Self::default() };
    }

    /// The row before the first one.
    pub const fn after(&self) -> i64 {
        self.after
    }

    /// The last row. If there are no rows, the row before them.
    pub const fn last_row(&self) -> i64 {
        self.last_row
    }

    /// Adds the event of the next row. The texts are those of its row. If there are too many events, begins after this row.
    pub fn push(&mut self, kind: &str, time: &Arc<str>, text: &Arc<str>) {
        self.last_row = self.last_row.saturating_add(1);
        if !TYPES.contains(&kind) {
            return;
        }
        let mut key = std::mem::take(&mut self.key);
        UsageParts::of(text).write_key(&mut key);
        let is_full = self.events.len() >= MAX_EVENTS || self.bytes + key.len() + text.len() > MAX_BYTES;
        match self.events.get_mut(key.as_str()) {
            Some(last) if last.time > *time => {}
            Some(last) => *last = LastEvent { time: time.clone(), text: text.clone() },
            None if is_full => self.restart_after(self.last_row),
            None => {
                self.bytes += key.len() + text.len();
                self.events.insert(key.as_str().into(), LastEvent { time: time.clone(), text: text.clone() });
            }
        }
        self.key = key;
    }

    /// The texts of the events.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.events.values().map(|event| &*event.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of an event with these parts, as far as they are compared.
    fn text(kind: &str, repo: &str, request: &str) -> Arc<str> {
        format!(
            r#"{{"id":"c.1","type":"{kind}","caller":{{"subject":"s","pod":{{}}}},"repo":"{repo}","keys":[],"ticketId":null,"secrets":[],"requestId":"{request}"}}"#
        )
        .into()
    }

    fn texts(uses: &RecentUses) -> Vec<&str> {
        let mut texts: Vec<&str> = uses.texts().collect();
        texts.sort_unstable();
        texts
    }

    #[test]
    fn the_last_event_of_each_use_is_kept() {
        let mut uses = RecentUses::default();
        uses.restart_after(6);
        let times: [Arc<str>; 3] = ["2026-01-01".into(), "2026-01-02".into(), "2026-01-03".into()];
        let [first, second, last] = &times;
        uses.push("ticket.issued", first, &text("ticket.issued", "a", "1"));
        uses.push("ticket.redeemed", first, &text("ticket.redeemed", "a", "2"));
        uses.push("ticket.issued", last, &text("ticket.issued", "a", "3"));
        uses.push("ticket.issued", second, &text("ticket.issued", "a", "4"));
        uses.push("ticket.denied", second, &text("ticket.denied", "b", "5"));
        uses.push("ticket.denied", second, &text("ticket.denied", "b", "6"));
        assert_eq!((uses.after(), uses.last_row()), (6, 12));
        assert_eq!(texts(&uses), [&*text("ticket.denied", "b", "6"), &*text("ticket.issued", "a", "3")]);
        uses.restart_after(12);
        assert_eq!((uses.after(), uses.last_row(), uses.texts().count()), (12, 12, 0));
    }

    #[test]
    fn the_number_and_the_size_of_events_are_bounded() {
        let time = "2026-01-01".into();
        let mut uses = RecentUses::default();
        let issue =
            |uses: &mut RecentUses, repo: &str| uses.push("ticket.issued", &time, &text("ticket.issued", repo, "1"));
        for number in 0..MAX_EVENTS {
            issue(&mut uses, &number.to_string());
            issue(&mut uses, &number.to_string());
        }
        assert_eq!((uses.after(), uses.last_row(), uses.texts().count()), (0, 2048, MAX_EVENTS));
        issue(&mut uses, "0");
        assert_eq!((uses.after(), uses.last_row(), uses.texts().count()), (0, 2049, MAX_EVENTS));
        issue(&mut uses, "more");
        assert_eq!((uses.after(), uses.last_row(), uses.texts().count()), (2050, 2050, 0));
        issue(&mut uses, "a");
        issue(&mut uses, &"r".repeat(MAX_BYTES));
        assert_eq!((uses.after(), uses.last_row(), uses.texts().count()), (2052, 2052, 0));
    }

    #[test]
    fn all_types_that_are_read_from_the_log_are_kept() {
        use crate::metrics::labels::EventType;
        for kind in EventType::ALL.iter().map(|kind| kind.as_str()) {
            let mut uses = RecentUses::default();
            uses.push(kind, &"".into(), &"".into());
            let is_read = crate::audit::usage::table::EVENTS.contains(&format!("'{kind}'"));
            assert_eq!(uses.texts().count() == 1, is_read, "{kind}");
        }
    }
}
