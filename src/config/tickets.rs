//! `tickets`: lives and bindings of tickets.

use crate::model::binding::BindTo;
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
