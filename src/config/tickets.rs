//! `tickets`: lives and bindings of tickets.

use super::check::{Check, DAY, SECOND};
use crate::model::binding::BindTo;
use serde::Deserialize;
use std::time::Duration;

/// The checked section.
#[derive(Debug, Clone, Copy)]
pub struct Tickets {
    /// A ticket's life where no policy says otherwise.
    pub ttl: Duration,
    /// The longest life a policy or a request may ask for.
    pub max_ttl: Duration,
    /// The binding where no policy says otherwise.
    pub bind_to: BindTo,
    /// The most live tickets of one caller.
    pub max_live_per_pod: usize,
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
    pub(super) fn check(self, check: &mut Check) -> Option<Tickets> {
        let ttl = check.duration("/tickets/ttl", self.ttl, SECOND..=DAY);
        let max_ttl = check.duration("/tickets/maxTtl", self.max_ttl, SECOND..=DAY);
        if let (Some(ttl), Some(max_ttl)) = (ttl, max_ttl)
            && ttl > max_ttl
        {
            check.fault("/tickets/ttl", "must not be longer than tickets.maxTtl");
        }
        let bind_to = bind_to(check, self.bind_to);
        match self.store.as_deref() {
            None | Some("memory") => {}
            Some("database") => {
                check.fault("/tickets/store", "tickets in the database are not supported by this version");
            }
            Some(_) => check.fault("/tickets/store", "must be memory"),
        }
        let max_live_per_pod = check.number("/tickets/maxLivePerPod", self.max_live_per_pod, 1..=100_000);
        Some(Tickets {
            ttl: ttl?,
            max_ttl: max_ttl?,
            bind_to: bind_to?,
            max_live_per_pod: usize::try_from(max_live_per_pod?).ok()?,
        })
    }
}

fn bind_to(check: &mut Check, value: Option<String>) -> Option<BindTo> {
    const AT: &str = "/tickets/bindTo";
    let text = check.required(AT, value)?;
    match text.parse() {
        Ok(BindTo::Identity) => {
            check.fault(AT, "identity is not supported by this version");
            None
        }
        Ok(bind_to) => Some(bind_to),
        Err(_) => {
            check.fault(AT, "must be one of none, ip");
            None
        }
    }
}
