//! The stages joined, and what the verbs share: rate limits, the drain, readiness.

use super::shown_in_vain::ShownInVain;
use super::versions::VersionsKey;
use crate::admins::Administrators;
use crate::attest::Attestors;
use crate::audit::{Aggregated, AuditLog, AuditUnavailable, OpenEvent, Refusals};
use crate::authn::Authenticators;
use crate::config::limits::Limits;
use crate::config::tickets::Tickets as TicketSettings;
use crate::metrics::Metrics;
use crate::model::bundle::Bundle;
use crate::model::caller::Identity;
use crate::model::clock::Clock;
use crate::policy::{Bounds, PolicySet, PolicyStore};
use crate::rates::RateLimiter;
use crate::render::Rendered;
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

/// Tokens that are refused for their shape alone have so many times the limit of other failures: they cost no call, and
/// where many share an address, the garbage of one must not hold up the others.
const MISSHAPEN: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// How long an address counts as one with failures.
const LATELY: Duration = Duration::from_mins(1);

/// The stages, and what they share.
pub struct Broker {
    pub(super) stages: Stages,
    pub(super) aggregated: Aggregated,
    pub(super) refusals: Refusals,
    pub(super) callers: RateLimiter<Identity>,
    pub(super) failures: RateLimiter<IpAddr>,
    /// Tokens of an address that were refused for their shape: they cost no call.
    pub(super) misshapen: RateLimiter<IpAddr>,
    /// Addresses that had a failure in the last minute.
    pub(super) failed_lately: RateLimiter<IpAddr>,
    pub(super) shown_in_vain: ShownInVain,
    pub(super) draining: AtomicBool,
    pub(super) clocks_differ: AtomicBool,
    pub(super) under_way: AtomicUsize,
}

/// What a broker is made of.
pub struct Stages {
    /// 1. Who are you.
    pub authenticators: Authenticators,
    /// 2. What are you building.
    pub attestors: Attestors,
    /// 3. What may you have: the policies in force, replaced as a whole.
    pub policies: Arc<ArcSwap<PolicySet>>,
    /// Where policies are written and read.
    pub policy_store: Arc<dyn PolicyStore>,
    /// What policies are checked against.
    pub bounds: Bounds,
    /// Who may administer.
    pub administrators: Administrators,
    /// 4. Fetch.
    pub stores: Stores,
    /// 5. Seal.
    pub tickets: Tickets,
    /// 7. Record.
    pub audit: AuditLog,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Keys the digest of the versions served.
    pub versions_key: VersionsKey,
    /// Lives and bindings where no policy says otherwise.
    pub ticket_settings: TicketSettings,
    /// Bounds.
    pub limits: Limits,
    /// What one-time URLs begin with.
    pub public_url: String,
}

/// A bundle on its mode out.
pub struct Delivered {
    /// The rendered bundle.
    pub rendered: Rendered,
    /// The keyed digest of the versions served.
    pub versions: String,
    /// Whether a value in it is stale.
    pub stale: bool,
    /// Whether it has no keys.
    pub is_empty: bool,
}

impl Delivered {
    pub(super) fn of(rendered: Rendered, bundle: Bundle) -> Self {
        Self { rendered, is_empty: bundle.entries.is_empty(), versions: bundle.versions, stale: bundle.stale }
    }
}

impl Broker {
    /// Puts the stages together.
    #[must_use]
    pub fn new(stages: Stages) -> Self {
        Self {
            aggregated: Aggregated::default(),
            refusals: Refusals::default(),
            callers: RateLimiter::new(stages.limits.requests_per_second_per_caller),
            failures: RateLimiter::new(stages.limits.failures_per_second_per_address),
            misshapen: RateLimiter::new(stages.limits.failures_per_second_per_address.saturating_mul(MISSHAPEN)),
            failed_lately: RateLimiter::one_every(LATELY),
            shown_in_vain: ShownInVain::default(),
            draining: AtomicBool::new(false),
            clocks_differ: AtomicBool::new(false),
            under_way: AtomicUsize::new(0),
            stages,
        }
    }

    /// The numbers.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.stages.metrics
    }

    /// Issues no more tickets from now on; redeeming goes on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether tickets are issued: the audit log can be written, no drain is under way, and the clock is right.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.unready().is_none()
    }

    /// Why no tickets are issued.
    #[must_use]
    pub fn unready(&self) -> Option<Code> {
        if self.draining.load(Ordering::Relaxed) {
            Some(Code::Draining)
        } else if self.clocks_differ.load(Ordering::Relaxed) {
            Some(Code::ClocksDiffer)
        } else {
            (!self.stages.audit.is_writable()).then_some(Code::AuditUnavailable)
        }
    }

    /// The time, by the clock that replicas share.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.stages.clock.now()
    }

    /// Issues nothing while this machine's clock differs from the database's by too much.
    pub fn set_clocks_differ(&self, differ: bool) {
        self.clocks_differ.store(differ, Ordering::Relaxed);
    }

    /// Makes the event of a refusal durable, or counts it where its caller was refused often for this reason.
    pub(super) async fn record_refused(&self, event: OpenEvent) -> Result<(), AuditUnavailable> {
        if self.refusals.admit(&event) {
            return event.close().await;
        }
        event.discard();
        Ok(())
    }

    /// Reads again what authenticators and stores have from files. What is bad there is logged and changes nothing.
    pub async fn reload(&self) {
        self.stages.authenticators.reload().await;
        for error in self.stages.stores.reload().await {
            tracing::error!(%error, "store reload failed; keeping the previous state");
        }
    }

    /// Whether a drain may end: no ticket would be lost with this process, and none is being issued or redeemed.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        // In this order: what is under mode may still let a ticket wait.
        self.under_way.load(Ordering::SeqCst) == 0 && self.lost_with_the_process() == 0
    }

    /// Counts a verb as under mode until it is dropped. To be called before the verb looks whether a drain has begun.
    pub(super) fn under_way(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay(&self.under_way)
    }

    /// How many tickets would be lost if this process ended now.
    #[must_use]
    pub fn lost_with_the_process(&self) -> usize {
        self.stages.tickets.store.lost_with_the_process()
    }
}

/// A verb under mode, which a drain waits for.
pub(super) struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
