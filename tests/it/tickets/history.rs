//! Compares what clients received with the audit log: whether a ticket was released twice, or released without a
//! record. Independent of how tickets are stored.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A client's view of one attempt to redeem.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The ticket's public id.
    pub ticket: String,
    /// The status; none if the connection ended without one.
    pub status: Option<u16>,
}

/// The faults in a history.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HistoryFaults {
    /// Tickets of which two clients got the bundle.
    pub released_twice: BTreeSet<String>,
    /// Tickets that are recorded as redeemed twice.
    pub recorded_twice: BTreeSet<String>,
    /// Tickets of which a client got the bundle, and that are not recorded as redeemed.
    pub unrecorded: BTreeSet<String>,
    /// Tickets that ended in more than one way: redeemed, expired, revoked, misused.
    pub ended_twice: BTreeSet<String>,
}

/// Compares attempts and events.
pub fn check_history(attempts: &[Attempt], events: &[Value]) -> HistoryFaults {
    let mut released: BTreeMap<&str, usize> = BTreeMap::new();
    for attempt in attempts.iter().filter(|attempt| attempt.status == Some(200)) {
        *released.entry(&attempt.ticket).or_default() += 1;
    }
    let mut redeemed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ended: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        let Some(ticket) = event["ticketId"].as_str() else { continue };
        let kind = event["type"].as_str().unwrap();
        if kind == "ticket.redeemed" && event["reason"].is_null() {
            *redeemed.entry(ticket).or_default() += 1;
        }
        let ends = kind == "ticket.expired" || kind == "ticket.revoked" || event["reason"] == "misuse";
        if ends || kind == "ticket.redeemed" && event["reason"].is_null() {
            *ended.entry(ticket).or_default() += 1;
        }
    }
    let twice = |counts: &BTreeMap<&str, usize>| {
        counts.iter().filter(|(_, count)| **count > 1).map(|(ticket, _)| (*ticket).to_owned()).collect()
    };
    HistoryFaults {
        released_twice: twice(&released),
        recorded_twice: twice(&redeemed),
        unrecorded: released.keys().filter(|ticket| !redeemed.contains_key(*ticket)).map(|&id| id.to_owned()).collect(),
        ended_twice: twice(&ended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn got(ticket: &str, status: u16) -> Attempt {
        Attempt { ticket: ticket.into(), status: Some(status) }
    }

    fn event(kind: &str, ticket: &str, reason: Option<&str>) -> Value {
        json!({"type": kind, "ticketId": ticket, "reason": reason})
    }

    #[test]
    fn a_good_history_has_no_fault() {
        let attempts = [got("a", 200), got("a", 410), got("b", 503), Attempt { ticket: "c".into(), status: None }];
        let events = [
            event("ticket.redeemed", "a", None),
            event("ticket.redeemed", "a", Some("replay")),
            event("ticket.rejected", "a", Some("already_redeemed")),
            event("ticket.redeemed", "c", None),
            event("ticket.expired", "b", None),
        ];
        assert_eq!(check_history(&attempts, &events), HistoryFaults::default());
    }

    #[test]
    fn every_fault_is_found() {
        let set = |ticket: &str| BTreeSet::from([ticket.to_owned()]);
        let redeemed = event("ticket.redeemed", "a", None);
        let verdict = check_history(&[got("a", 200), got("a", 200)], std::slice::from_ref(&redeemed));
        assert_eq!(verdict, HistoryFaults { released_twice: set("a"), ..HistoryFaults::default() });
        let verdict = check_history(&[got("a", 200)], &[redeemed.clone(), redeemed.clone()]);
        assert_eq!(
            verdict,
            HistoryFaults { recorded_twice: set("a"), ended_twice: set("a"), ..HistoryFaults::default() }
        );
        let verdict = check_history(&[got("a", 200)], &[]);
        assert_eq!(verdict, HistoryFaults { unrecorded: set("a"), ..HistoryFaults::default() });
        let verdict = check_history(&[], &[redeemed, event("ticket.expired", "a", None)]);
        assert_eq!(verdict, HistoryFaults { ended_twice: set("a"), ..HistoryFaults::default() });
    }
}
