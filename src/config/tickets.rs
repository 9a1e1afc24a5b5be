//! `tickets`: lifetime and binding of tickets.

use super::check::{Check, DAY, SECOND};
use super::database::Url;
use crate::model::binding::BindTo;
use serde::Deserialize;
use std::time::Duration;

/// The checked section.
#[derive(Debug, Clone, Copy)]
pub struct Tickets {
    /// The default lifetime of a ticket.
    pub ttl: Duration,
    /// The maximum lifetime that a policy or a request can ask for.
    pub max_ttl: Duration,
    /// The default binding.
    pub bind_to: BindTo,
    /// Where tickets are kept.
    pub store: Where,
    /// Maximum number of live tickets for one caller.
    pub max_live_per_pod: usize,
}

/// Where tickets are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// In the memory of the process that issued them; only this process redeems them.
    Memory,
    /// In the database; every replica redeems them.
    Database,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawTickets {
    ttl: Option<String>,
    max_ttl: Option<String>,
    bind_to: Option<String>,
    store: Option<String>,
    max_live_per_pod: Option<u64>,
}

impl RawTickets {
    /// `database` is `None` if its section has a fault.
    pub(super) fn check(self, database: Option<&Url>, check: &mut Check) -> Option<Tickets> {
        let ttl = check.duration("/tickets/ttl", self.ttl, SECOND..=DAY);
        let max_ttl = check.duration("/tickets/maxTtl", self.max_ttl, SECOND..=DAY);
        if let (Some(ttl), Some(max_ttl)) = (ttl, max_ttl)
            && ttl > max_ttl
        {
            check.fault("/tickets/ttl", "must not be longer than tickets.maxTtl");
        }
        let bind_to = bind_to(check, self.bind_to);
        let store = store(check, self.store, database);
        let max_live_per_pod = check.number("/tickets/maxLivePerPod", self.max_live_per_pod, 1..=100_000);
        Some(Tickets {
            ttl: ttl?,
            max_ttl: max_ttl?,
            bind_to: bind_to?,
            store: store?,
            max_live_per_pod: usize::try_from(max_live_per_pod?).ok()?,
        })
    }
}

fn bind_to(check: &mut Check, value: Option<String>) -> Option<BindTo> {
    const WORDS: [(&str, BindTo); 3] = [
        (BindTo::None.as_str(), BindTo::None),
        (BindTo::Ip.as_str(), BindTo::Ip),
        (BindTo::Identity.as_str(), BindTo::Identity),
    ];
    check.word("/tickets/bindTo", value, &WORDS)
}

/// The default is the database if replicas can share it.
fn store(check: &mut Check, value: Option<String>, database: Option<&Url>) -> Option<Where> {
    const AT: &str = "/tickets/store";
    let Some(text) = value else {
        return Some(if matches!(database, Some(Url::Postgres(_))) { Where::Database } else { Where::Memory });
    };
    let store = check.word(AT, Some(text), &[("memory", Where::Memory), ("database", Where::Database)])?;
    if store == Where::Database && matches!(database, Some(Url::SqliteMemory)) {
        check.fault(AT, "must be memory where the database is in memory: it is gone with the process");
        return None;
    }
    Some(store)
}
