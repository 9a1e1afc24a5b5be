//! Adoption: a process that has ended, or does not count on any more, looks after its leases no more; another one does.

use super::held::{Held, LeaseState, Why};
use super::ledger::Owner;
use super::manager::LeaseManager;
use super::record::Record;
use super::revoke::TRIES;
use super::witness::LeaseEventKind;
use crate::database::Failed;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The period of this process's heartbeat, and of its look at those of other processes.
pub(super) const BEAT: Duration = Duration::from_secs(5);
/// How long a beat may stand still until its process is taken for dead.
const SILENCE: Duration = Duration::from_secs(15);
/// After a longer time without a look nobody is judged by what was seen before it.
const LOOKED_AWAY: Duration = Duration::from_secs(2 * BEAT.as_secs());

/// The beats of the others, and since when each has stood still, by our own clock.
#[derive(Default)]
pub(super) struct Watch {
    seen: HashMap<String, (i64, Instant)>,
    looked: Option<Instant>,
    /// The authenticators that are not configured any more and of which that was told.
    told: BTreeSet<Arc<str>>,
}

impl Watch {
    /// Those who are dead.
    fn dead(&mut self, others: Vec<Owner>, now: Instant) -> Vec<String> {
        let looked_away = self.looked.replace(now).is_none_or(|looked| now - looked > LOOKED_AWAY);
        let mut seen = HashMap::with_capacity(others.len());
        let mut dead = Vec::new();
        for Owner { name, beat } in others {
            let Some(beat) = beat else {
                dead.push(name);
                continue;
            };
            let since = match self.seen.get(&name) {
                Some((before, since)) if *before == beat && !looked_away => *since,
                _ => now,
            };
            if now - since >= SILENCE {
                dead.push(name.clone());
            }
            seen.insert(name, (beat, since));
        }
        self.seen = seen;
        dead
    }
}

impl LeaseManager {
    /// Counts on, and adopts what is left alone.
    pub(super) async fn beat(&self, watch: &mut Watch) {
        if let Err(error) = self.try_to_beat(watch).await {
            tracing::warn!(kind = error.kind(), "lease records could not be read or written");
        }
        self.tell_orphans(&mut watch.told);
    }

    async fn try_to_beat(&self, watch: &mut Watch) -> Result<(), Failed> {
        if !self.ledger.beat().await? {
            // It was so long since the last one that others look after our leases now.
            tracing::warn!("another process adopted the leases of this one");
            for held in self.book().clear().into_iter().filter(|held| held.state == LeaseState::Active) {
                self.metrics.lease_dropped(&held.key.store);
            }
            self.ledger.start_anew();
        }
        let others = self.ledger.others().await?;
        for owner in watch.dead(others, Instant::now()) {
            let records = self.ledger.adopt(&owner).await?;
            let mut adopted = 0;
            for record in &records {
                adopted += usize::from(self.take_in_record(record).await);
            }
            if adopted > 0 {
                tracing::info!(leases = adopted, "adopted leases of another process");
            }
        }
        self.restore().await
    }

    /// Looks after a lease on record from now on. Whether its record opens.
    pub(super) async fn take_in_record(&self, record: &Record) -> bool {
        let Ok(held) = self.records.open(record, self.clock.now()) else {
            if self.unreadable().insert(record.id.as_str().into()) {
                tracing::error!(lease = record.id, "a lease record could not be decrypted; it cannot be revoked");
            }
            return false;
        };
        self.unreadable().remove(record.id.as_str());
        self.take_in(held).await;
        true
    }

    async fn take_in(&self, mut held: Held) {
        let now = Instant::now();
        let due = match held.state {
            LeaseState::Active if held.is_worth_renewing(&self.clusters) => held.term.due(now),
            LeaseState::Active => held.term.ends,
            LeaseState::Revoking | LeaseState::RevocationFailed => {
                held.why = Some(Why { reason: "adopted", by: None });
                // That it resists was told.
                held.attempts = if held.state == LeaseState::Revoking { 0 } else { TRIES };
                now
            }
        };
        if !self.sources.contains_key(&held.key.store) {
            self.keep(Self::event(&held, LeaseEventKind::Failed, Some("store_unknown"))).await;
        }
        held.planned = due;
        self.enter(held, due, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(beat: Option<i64>) -> Vec<Owner> {
        vec![Owner { name: "other".into(), beat }]
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_counts_on_is_alive_and_whoever_stands_still_is_dead_after_a_while() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (beat, seconds, dead) in [(1, 0, 0), (2, 5, 0), (3, 10, 0), (3, 15, 0), (3, 20, 0), (3, 24, 0), (3, 25, 1)]
        {
            assert_eq!(watch.dead(owner(Some(beat)), at(seconds)).len(), dead, "{beat} at {seconds}");
        }
        assert_eq!(watch.dead(owner(None), at(26)).len(), 1, "it said goodbye");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_taken_for_dead_because_we_looked_away() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (seconds, dead) in [(0, 0), (60, 0), (65, 0), (70, 0), (75, 1)] {
            assert_eq!(watch.dead(owner(Some(1)), at(seconds)).len(), dead, "at {seconds}");
        }
    }
}
