//! What is due: renewals and revocations at their time, and every few seconds a look at the other processes.

use super::Shared;
use super::adopt::Watch;
use super::held::LeaseState;
use crate::model::request_id::RequestId;
use futures_util::stream::{self, StreamExt as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How many leases are worked on at once.
const AT_ONCE: usize = 16;
/// How many are taken up in one go.
const A_GO: usize = 256;
/// How often this process counts on, and looks whether others do.
pub(super) const BEAT: Duration = Duration::from_secs(5);
/// How often is looked whether other processes were asked for leases of ours.
const LOOK: Duration = Duration::from_secs(1);
/// Where nothing is due.
const FAR: Duration = Duration::from_hours(1);

/// Renews and revokes until it is dropped.
pub(super) async fn tend(shared: Arc<Shared>) {
    loop {
        let due = shared.book().next_due().unwrap_or_else(|| Instant::now() + FAR);
        tokio::select! {
            () = sleep_until(due) => shared.work().await,
            () = shared.sooner.notified() => {}
        }
    }
}

/// Counts on and looks at the others until it is dropped. Stores that are slow must not make this process look dead, so
/// it is another task.
pub(super) async fn watch(shared: Arc<Shared>) {
    let (mut beat, mut look) = (interval(BEAT), interval(LOOK));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    loop {
        tokio::select! {
            _ = look.tick() => shared.look_for_orders().await,
            _ = beat.tick() => shared.beat(&mut watch).await,
        }
    }
}

impl Shared {
    /// Does what is due.
    async fn work(&self) {
        let ids = self.book().claim_due(Instant::now(), A_GO);
        stream::iter(ids).for_each_concurrent(AT_ONCE, |id| async move { self.act(&id).await }).await;
    }

    async fn act(&self, id: &str) {
        let now = Instant::now();
        let Some((state, ended, renew, ends)) = self
            .book()
            .get(id)
            .map(|held| (held.state, held.term.ends <= now, held.is_worth_renewing(&self.clusters), held.term.ends))
        else {
            return;
        };
        let due = match state {
            LeaseState::Active if ended => {
                // The store takes it back by itself. Whether it did is worth asking.
                self.retire(id, "expired", None);
                Some(now)
            }
            LeaseState::Active if renew => Some(self.renew(id, &RequestId::random()).await),
            LeaseState::Active => Some(ends),
            LeaseState::Revoking | LeaseState::RevocationFailed => self.take_back(id).await,
        };
        if let Some(due) = due {
            self.book().release(id, due);
        }
    }

    /// Takes back what administrators asked other processes for.
    async fn look_for_orders(&self) {
        if self.book().len() == 0 {
            return;
        }
        match self.ledger.asked_back().await {
            Ok(ids) => {
                for id in ids {
                    let is_news = self.book().get(&id).is_some_and(|held| held.state != LeaseState::Revoking);
                    if is_news {
                        self.retire(&id, "administrator", None);
                    }
                }
            }
            Err(error) => tracing::debug!(kind = error.kind(), "leases that are wanted back cannot be looked up"),
        }
    }
}
