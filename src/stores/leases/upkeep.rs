//! What is due: renewals and revocations at their time, and every few seconds a look at the other processes.

use super::adopt::{BEAT, Watch};
use super::held::{Held, LeaseState};
use super::manager::LeaseManager;
use crate::model::request_id::RequestId;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How many leases of one lane are worked on at once.
const AT_ONCE: usize = 8;
/// How often is looked whether other processes were asked for leases of ours.
const LOOK: Duration = Duration::from_secs(1);
/// Where nothing is due.
const FAR: Duration = Duration::from_hours(1);

/// Renews and revokes until it is dropped.
pub(super) async fn tend(manager: Arc<LeaseManager>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        for id in manager.book().claim_due(Instant::now(), AT_ONCE) {
            under_way.push(manager.act(id));
        }
        let due = manager.book().next_due(AT_ONCE).unwrap_or_else(|| Instant::now() + FAR);
        tokio::select! {
            Some(()) = under_way.next() => {}
            () = sleep_until(due) => {}
            () = manager.sooner.notified() => {}
        }
    }
}

/// Counts on and looks at the others until it is dropped. Stores that are slow must not make this process look dead, so
/// it is another task.
pub(super) async fn watch(manager: Arc<LeaseManager>) {
    let (mut beat, mut look) = (interval(BEAT), interval(LOOK));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    loop {
        tokio::select! {
            _ = look.tick() => manager.look_for_orders().await,
            _ = beat.tick() => manager.beat(&mut watch).await,
        }
    }
}

/// What is due of a lease.
enum Task {
    End(&'static str),
    Wait(Instant),
    Renew,
    TakeBack,
}

impl Task {
    fn of(held: &Held, now: Instant, clusters: &BTreeSet<Arc<str>>) -> Self {
        match (held.state, held.untaken_until) {
            (LeaseState::Revoking | LeaseState::RevocationFailed, _) => Self::TakeBack,
            // The store takes it back by itself. Whether it did is worth asking.
            (LeaseState::Active, _) if held.term.ends <= now => Self::End("expired"),
            (LeaseState::Active, Some(until)) if until <= now => Self::End("untaken"),
            (LeaseState::Active, Some(until)) => Self::Wait(until.min(held.term.ends)),
            (LeaseState::Active, None) if now < held.planned => Self::Wait(held.planned),
            (LeaseState::Active, None) if held.is_worth_renewing(clusters) => Self::Renew,
            (LeaseState::Active, None) => Self::Wait(held.term.ends),
        }
    }
}

impl LeaseManager {
    /// Does what is due of a lease that was claimed.
    async fn act(&self, id: Arc<str>) {
        let task = self.book().get(&id).map(|held| Task::of(held, Instant::now(), &self.clusters));
        let Some(task) = task else { return };
        let due = match task {
            Task::End(reason) => {
                self.retire(&id, reason, None);
                Some(Instant::now())
            }
            Task::Wait(due) => Some(due),
            Task::Renew => Some(self.renew(&id, &RequestId::random()).await),
            Task::TakeBack => self.take_back(&id).await,
        };
        if let Some(due) = due {
            self.book().release(&id, due);
        }
    }

    /// Takes back what administrators asked other processes for.
    async fn look_for_orders(&self) {
        self.drop_untaken();
        match self.ledger.asked_back().await {
            Ok(ids) => {
                for id in ids {
                    let state = self.book().get(&id).map(|held| held.state);
                    match state {
                        Some(LeaseState::Revoking) => {}
                        Some(_) => self.retire(&id, "administrator", None),
                        None => self.cannot_be_revoked(&id).await,
                    }
                }
            }
            Err(error) => tracing::debug!(kind = error.kind(), "leases to revoke could not be queried"),
        }
    }
}
