//! The broker: the stages, and the state that its verbs (operations such as `issue` and `redeem`) share, such as rate limits, the
//! drain and readiness.

use super::refused_tickets::RefusedTickets;
use super::versions_digest::VersionsKey;
use crate::admins::Administrators;
use crate::attest::Attestors;
use crate::audit::{AggregatedEvents, AuditLog, AuditUnavailable, OpenEvent, Refusals};
use crate::authn::Authenticators;
use crate::config::limits::Limits;
use crate::config::tickets::Tickets as TicketSettings;
use crate::metrics::Metrics;
use crate::model::bundle::Bundle;
use crate::model::caller::Identity;
use crate::model::clock::Clock;
use crate::policy::{Bounds, PolicyRegister, PolicySet};
use crate::rates::RateLimiter;
use crate::render::RenderedBundle;
use crate::stores::Stores;
use crate::tickets::Tickets;
use crate::wire::problem::Code;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// The rate limit of malformed tokens per address is this many times the rate limit of other failures. It is higher, because
/// a malformed token is refused without a call to the API server, and because the malformed tokens of one client must not
/// block the clients that share its address.
const MALFORMED_TOKEN_FACTOR: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// How long an address counts as failing after its first failure. Further failures in that time do not prolong it.
const FAILING_TTL: Duration = Duration::from_mins(1);

/// The stages, and the shared state of the verbs.
pub struct Broker {
    pub(super) stages: Stages,
    /// Counts of events that are not recorded one by one.
    pub(super) aggregated: AggregatedEvents,
    /// Decides which refusals are recorded one by one in the audit log; repeated ones are only counted.
    pub(super) refusal_events: Refusals,
    /// Limits requests, by caller.
    pub(super) requests: RateLimiter<Identity>,
    /// Limits refused tokens and tickets, by address.
    pub(super) failures: RateLimiter<IpAddr>,
    /// Limits refused tokens that are valid but not bound to a pod, by subject.
    pub(super) unbound_failures: RateLimiter<Identity>,
    /// Limits malformed tokens, by address.
    pub(super) malformed_tokens: RateLimiter<IpAddr>,
    /// The addresses that count as failing. The limiter is used as a set whose members expire: each address has one unit per
    /// [`FAILING_TTL`]. Its first failure uses up the unit, and while the address has no unit, it counts as failing.
    pub(super) failing_addresses: RateLimiter<IpAddr>,
    /// Tickets that were refused within the last second.
    pub(super) refused_tickets: RefusedTickets,
    /// Whether a drain has begun. See [`Broker::start_verb`] for the ordering.
    draining: AtomicBool,
    pub(super) clocks_differ: AtomicBool,
    /// Number of running verbs. See [`Broker::start_verb`] for the ordering.
    running_verbs: AtomicUsize,
}

/// What a broker is made of: the stages, and what all of them share, such as the clock, the metrics and the limits.
pub struct Stages {
    pub authenticators: Authenticators,
    pub attestors: Attestors,
    /// The active policies, replaced as a whole.
    pub policies: Arc<ArcSwap<PolicySet>>,
    /// The policies of every source, as administrators list and change them.
    pub policy_register: Arc<PolicyRegister>,
    /// The upper bounds on what policies may grant.
    pub policy_bounds: Bounds,
    pub administrators: Administrators,
    pub stores: Stores,
    pub tickets: Tickets,
    pub audit: AuditLog,
    pub metrics: Arc<Metrics>,
    /// The clock that all replicas share.
    pub clock: Arc<dyn Clock>,
    /// The key of the digest of the served versions.
    pub versions_key: VersionsKey,
    /// Lifetime and binding of tickets if no policy sets them.
    pub ticket_settings: TicketSettings,
    /// Request limits.
    pub limits: Limits,
    /// The prefix of one-time URLs.
    pub public_url: String,
}

/// A rendered bundle, with what the response headers say about it.
pub struct Delivered {
    pub rendered: RenderedBundle,
    /// The keyed digest of the served versions.
    pub versions: String,
    /// Whether the bundle has a stale value.
    pub stale: bool,
    /// Whether the bundle has no keys.
    pub is_empty: bool,
    /// When the newest secret of the bundle was created, if known.
    pub created_at: Option<Timestamp>,
}

impl Delivered {
    pub(super) fn new(rendered: RenderedBundle, bundle: Bundle, created_at: Option<Timestamp>) -> Self {
        Self {
            rendered,
            is_empty: bundle.entries.is_empty(),
            created_at,
            versions: bundle.versions,
            stale: bundle.stale,
        }
    }
}

impl Broker {
    #[must_use]
    pub fn new(stages: Stages) -> Self {
        Self {
            aggregated: AggregatedEvents::default(),
            refusal_events: Refusals::default(),
            requests: RateLimiter::new(stages.limits.requests_per_second_per_caller),
            failures: RateLimiter::new(stages.limits.failures_per_second_per_address),
            unbound_failures: RateLimiter::new(stages.limits.failures_per_second_per_address),
            malformed_tokens: RateLimiter::new(
                stages.limits.failures_per_second_per_address.saturating_mul(MALFORMED_TOKEN_FACTOR),
            ),
            failing_addresses: RateLimiter::one_every(FAILING_TTL),
            refused_tickets: RefusedTickets::default(),
            draining: AtomicBool::new(false),
            clocks_differ: AtomicBool::new(false),
            running_verbs: AtomicUsize::new(0),
            stages,
        }
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.stages.metrics
    }

    /// Begins a drain: no more tickets are issued, but tickets can still be redeemed.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether a drain has begun.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Whether tickets are issued: the audit log can be written, no drain has begun, the clocks agree, and the policies of every
    /// cluster were read.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.not_ready_reason().is_none()
    }

    /// Why no tickets are issued. `None` if they are.
    #[must_use]
    pub fn not_ready_reason(&self) -> Option<Code> {
        if self.is_draining() {
            Some(Code::Draining)
        } else if self.clocks_differ.load(Ordering::Relaxed) {
            Some(Code::ClocksDiffer)
        } else if !self.stages.policies.load().unread_clusters().is_empty() {
            Some(Code::PoliciesUnavailable)
        } else {
            (!self.stages.audit.is_writable()).then_some(Code::AuditUnavailable)
        }
    }

    /// Whether metrics may count this policy (`namespace/name` for a namespaced one). The metric series of a namespaced policy are
    /// removed with the policy, and a request that was decided before its removal must not create them again.
    pub(super) fn may_count_policy(&self, policy: &str) -> bool {
        !policy.contains('/') || self.stages.policies.load().get(policy).is_some()
    }

    /// The clusters whose policies have not been read yet.
    #[must_use]
    pub fn unread_clusters(&self) -> Vec<Arc<str>> {
        self.stages.policies.load().unread_clusters().to_vec()
    }

    /// The time by the clock that all replicas share.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.stages.clock.now()
    }

    /// Sets whether this machine's clock differs too much from the database's. While it does, no tickets are issued.
    pub fn set_clocks_differ(&self, differ: bool) {
        self.clocks_differ.store(differ, Ordering::Relaxed);
    }

    /// Records a refusal. If the caller was often refused for the same reason, the refusal is only counted.
    pub(super) async fn record_or_count_refusal(&self, event: OpenEvent) -> Result<(), AuditUnavailable> {
        if self.refusal_events.admit_or_count(&event) {
            return event.close().await;
        }
        event.discard();
        Ok(())
    }

    /// Reloads the files of authenticators and stores. An invalid file is logged, and its previous content stays in use.
    pub async fn reload(&self) {
        self.stages.authenticators.reload().await;
        for error in self.stages.stores.reload().await {
            tracing::error!(%error, "store reload failed; keeping the previous state");
        }
    }

    /// Whether a drain may end: no verb is running, and no ticket would be lost with this process.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        // The verbs are checked first, because a running verb may still store a ticket.
        self.running_verbs.load(Ordering::SeqCst) == 0 && self.lost_on_exit() == 0
    }

    /// Counts a verb as running until the returned guard is dropped. Call it before [`Self::is_draining`].
    ///
    /// A verb increments `running_verbs` and then reads `draining`; a drain sets `draining` and then reads `running_verbs`.
    /// All four accesses are `SeqCst`, so at least one side sees the write of the other: the verb is refused, or the drain
    /// waits for it. With a weaker ordering, some processors (such as `AArch64`) let both sides read the old value.
    pub(super) fn start_verb(&self) -> RunningVerb<'_> {
        self.running_verbs.fetch_add(1, Ordering::SeqCst);
        RunningVerb(&self.running_verbs)
    }

    /// Number of tickets that would be lost if this process ended now.
    #[must_use]
    pub fn lost_on_exit(&self) -> usize {
        self.stages.tickets.store.lost_on_exit()
    }
}

/// A running verb, which a drain waits for.
pub(super) struct RunningVerb<'a>(&'a AtomicUsize);

impl Drop for RunningVerb<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
