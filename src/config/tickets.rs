//! `tickets`: lifetime and binding of tickets.

use super::database::Url;
use super::fault_collector::{DAY, FaultCollector, SECOND};
use crate::model::ticket_binding::TicketBinding;
use serde::Deserialize;
use std::time::Duration;

/// The validated section.
#[derive(Debug, Clone, Copy)]
pub struct Tickets {
    /// The default lifetime of a ticket.
    pub ttl: Duration,
    /// The maximum lifetime that a policy or a request may set.
    pub max_ttl: Duration,
    /// The default binding.
    pub binding: TicketBinding,
    /// Where tickets are stored.
    pub store: TicketStorage,
    /// Maximum number of unredeemed tickets of one caller.
    pub max_live_per_pod: usize,
}

closed_enum! {
    /// Where tickets are stored.
    pub enum TicketStorage {
        /// In memory. Only the process that issued a ticket can redeem it.
        Memory => "memory",
        /// In the database. Every replica can redeem every ticket.
        Database => "database",
    }
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
    /// `database` is `None` if the section `database` has a fault.
    pub(super) fn validate(self, database: Option<&Url>, faults: &mut FaultCollector) -> Option<Tickets> {
        let ttl = faults.require_duration("/tickets/ttl", self.ttl, SECOND..=DAY);
        let max_ttl = faults.require_duration("/tickets/maxTtl", self.max_ttl, SECOND..=DAY);
        if let (Some(ttl), Some(max_ttl)) = (ttl, max_ttl)
            && ttl > max_ttl
        {
            faults.record("/tickets/ttl", "must not be longer than tickets.maxTtl");
        }
        let binding = faults.require_one_of("/tickets/bindTo", self.bind_to, TicketBinding::ALL, TicketBinding::as_str);
        let store = validate_store(faults, self.store, database);
        let max_live_per_pod = faults.require_number("/tickets/maxLivePerPod", self.max_live_per_pod, 1..=100_000);
        Some(Tickets {
            ttl: ttl?,
            max_ttl: max_ttl?,
            binding: binding?,
            store: store?,
            max_live_per_pod: usize::try_from(max_live_per_pod?).ok()?,
        })
    }
}

/// Validates `store`. The default is the database if replicas can share it.
fn validate_store(faults: &mut FaultCollector, value: Option<String>, database: Option<&Url>) -> Option<TicketStorage> {
    const POINTER: &str = "/tickets/store";
    if value.is_none() {
        let is_shared = matches!(database, Some(Url::Postgres(_)));
        return Some(if is_shared { TicketStorage::Database } else { TicketStorage::Memory });
    }
    let store = faults.require_one_of(POINTER, value, TicketStorage::ALL, TicketStorage::as_str)?;
    let is_possible = store == TicketStorage::Memory || !matches!(database, Some(Url::SqliteMemory));
    let detail = "must be memory where the database is in memory, whose content is lost when the process ends";
    faults.valid_or_record(POINTER, store, is_possible, detail)
}
