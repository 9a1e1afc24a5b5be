//! Handing out: the lease that is there, where it lives long enough, else a longer one or another one.

use super::held::{Held, Key, LeaseState, MIN_LEFT, Term, Why};
use super::manager::{LeaseManager, Provided, Unread, Want};
use super::record::time_text;
use super::untaken::KEPT;
use super::witness::{LeaseEvent, LeaseEventKind};
use crate::metrics::labels::CacheOutcome;
use crate::model::lease::{Lease, LeaseMode};
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::stores::dynamic::{Grant, Made};
use crate::stores::path::StorePath;
use crate::stores::port::{ReadError, Reading};
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What is asked of a store.
#[derive(Clone)]
struct Errand {
    key: Key,
    want: Want,
}

impl LeaseManager {
    /// The lease of this path for whoever wants it. One at a time is made for a key, in a task of its own.
    pub(in crate::stores) async fn get(
        self: &Arc<Self>,
        store: &Arc<str>,
        path: &StorePath,
        want: Want,
    ) -> Result<Reading, Unread> {
        let holder = (want.mode == LeaseMode::PerPod).then(|| want.caller.identity());
        let key = Key { store: store.clone(), path: path.clone(), holder, write: want.write.clone() };
        if let Some(reading) = self.hand_out(&key, Some(want.life)) {
            self.metrics.cache_request(store, CacheOutcome::Hit);
            return Ok(reading);
        }
        if let Some(lease) = self.take_untaken(&key) {
            self.metrics.cache_request(store, CacheOutcome::Hit);
            return Ok(Reading { lease, good_for: None });
        }
        let alone = (key.write.is_some() && key.holder.is_none()).then(|| want.clone());
        let (flight, boarded) = self.flights.board(key.clone(), || {
            let (manager, errand) = (self.clone(), Errand { key: key.clone(), want });
            async move { manager.provide(errand).await }
        });
        let provided = flight.await.unwrap_or(Err(ReadError::Unavailable.into()));
        self.metrics.cache_request(store, if boarded { CacheOutcome::Coalesced } else { CacheOutcome::Miss });
        match (provided?, alone) {
            // The answer to a write that has no lease is for the caller who asked, and for nobody who waited beside it.
            (Provided::Once(_), Some(want)) if boarded => {
                Box::pin(self.get(store, path, Want { mode: LeaseMode::PerPod, ..want })).await
            }
            (Provided::Once(lease), _) => {
                drop(self.take_untaken(&key));
                Ok(Reading { lease, good_for: None })
            }
            // Whoever asked for more than there is to be had has its ticket bounded.
            (Provided::Held, _) => self.hand_out(&key, None).ok_or(Unread::Store(ReadError::Unavailable)),
        }
    }

    /// What is there, where it lives so long; where it does not matter how long, anything that lives.
    fn hand_out(&self, key: &Key, life: Option<Duration>) -> Option<Reading> {
        let session = self.sources.get(&key.store)?.store.session();
        let now = Instant::now();
        let (sealed, left) = {
            let mut book = self.book();
            let held = book.current(key).filter(|held| held.session == session)?;
            let enough = life.map_or(held.term.left(now) >= MIN_LEFT, |life| held.term.is_enough(life, now));
            if !enough || held.state != LeaseState::Active {
                return None;
            }
            held.used = now;
            held.untaken_until = None;
            (held.values.clone()?, held.term.left(now))
        };
        let lease = Arc::new(self.values.open(&key.path, &sealed)?);
        Some(Reading { lease, good_for: Some(left) })
    }

    /// Whether there is something to be handed out that lives so long.
    fn has(&self, key: &Key, life: Option<Duration>) -> bool {
        let Some(session) = self.sources.get(&key.store).map(|source| source.store.session()) else { return false };
        let now = Instant::now();
        let mut book = self.book();
        let Some(held) = book.current(key).filter(|held| held.session == session) else { return false };
        let enough = life.map_or(held.term.left(now) >= MIN_LEFT, |life| held.term.is_enough(life, now));
        enough && held.state == LeaseState::Active && held.values.is_some()
    }

    /// Sees to it that there is something to be handed out.
    async fn provide(self: Arc<Self>, errand: Errand) -> Result<Provided, Unread> {
        let Errand { key, want } = &errand;
        // Another flight may have landed between the look into the book and the boarding of this one.
        if self.has(key, Some(want.life)) {
            return Ok(Provided::Held);
        }
        if let Some(id) = self.worth_renewing(key) {
            self.renew_now(&id, &want.request).await;
            if self.has(key, Some(want.life)) {
                return Ok(Provided::Held);
            }
        }
        match self.acquire(&errand).await {
            // What there is may be short-lived, but it is good.
            Err(Unread::Store(ReadError::Unavailable)) if self.has(key, None) => Ok(Provided::Held),
            provided => provided,
        }
    }

    fn worth_renewing(&self, key: &Key) -> Option<Arc<str>> {
        let session = self.sources.get(&key.store)?.store.session();
        let mut book = self.book();
        let held = book.current(key).filter(|held| held.session == session && held.term.renewable)?;
        (held.term.left(Instant::now()) >= MIN_LEFT).then(|| held.id.clone())
    }

    async fn acquire(&self, errand: &Errand) -> Result<Provided, Unread> {
        let Errand { key, want } = errand;
        let source = self.sources.get(&key.store).ok_or(ReadError::Misconfigured)?;
        let Some(_making) = self.making(want.caller.identity()) else {
            tracing::warn!(store = %key.store, "limit of concurrent dynamic secrets reached for this caller");
            return Err(ReadError::Unavailable.into());
        };
        let asked = Instant::now();
        match source.store.make(&key.path, want.write.as_ref(), &want.request).await? {
            Made::Unleased(lease) => {
                self.keep_untaken(key, &lease);
                Ok(Provided::Once(Arc::new(lease)))
            }
            Made::Leased { lease, handle, grant, session } => {
                self.accept(errand, lease, (handle, grant, session), asked).await?;
                // A book that is full gives up what was asked for least lately.
                let one_too_many = self.book().one_too_many(&key.store, source.most);
                if let Some(id) = one_too_many {
                    self.retire(&id, "evicted", None);
                }
                Ok(Provided::Held)
            }
            Made::Unusable { handle } => {
                tracing::warn!(store = %key.store, "a lease has no valid duration or values; revoking it");
                let grant = Grant { ttl: Duration::ZERO, renewable: false };
                let held = self.held(errand, (handle, grant, 0), asked);
                self.keep(LeaseEvent {
                    request: Some(want.request.clone()),
                    ..Self::event(&held, LeaseEventKind::Failed, Some("unusable"))
                })
                .await;
                self.give_back(held, "unusable").await;
                Err(ReadError::Unavailable.into())
            }
        }
    }

    /// Records what was made, and only then enters it in the book.
    async fn accept(
        &self,
        errand: &Errand,
        lease: Lease,
        (handle, grant, session): (SecretValue, Grant, u64),
        asked: Instant,
    ) -> Result<(), Unread> {
        let mut held = self.held(errand, (handle, grant, session), asked);
        let lease = Lease { version: Some(held.id.to_string()), ..lease };
        held.values = self.values.seal(&errand.key.path, &lease).map(Arc::new);
        drop(lease);
        if held.values.is_none() {
            self.give_back(held, "unusable").await;
            return Err(ReadError::Unavailable.into());
        }
        let event = LeaseEvent {
            caller: Some(errand.want.caller.clone()),
            request: Some(errand.want.request.clone()),
            ..Self::event(&held, LeaseEventKind::Acquired, None)
        };
        let _being_made = self.not_in_the_book_yet(&held.id);
        if !self.is_on_record(&held).await || self.witness.record(event).await.is_err() {
            self.give_back(held, "unrecorded").await;
            return Err(Unread::Unrecorded);
        }
        // Whoever waits has it in a moment. Whoever does not comes again soon, or does not want it any more.
        held.planned = held.term.due(asked);
        let untaken_until = Instant::now() + KEPT;
        held.untaken_until = Some(untaken_until);
        let due = held.planned.min(untaken_until);
        self.enter(held, due, true);
        Ok(())
    }

    async fn is_on_record(&self, held: &Held) -> bool {
        let Some(record) = self.records.seal(held) else { return false };
        let inserted = self.ledger.insert(&record).await;
        if let Err(error) = &inserted {
            tracing::error!(kind = error.kind(), "a lease could not be recorded; revoking it");
        }
        inserted.is_ok()
    }

    /// Takes back what nobody gets.
    async fn give_back(&self, mut held: Held, reason: &'static str) {
        held.state = LeaseState::Revoking;
        held.why = Some(Why { reason, by: None });
        let _being_made = self.not_in_the_book_yet(&held.id);
        // Should this process end before it is taken back, another one goes on; unless the database is why.
        if reason == "unusable" {
            self.is_on_record(&held).await;
        }
        self.enter(held, Instant::now(), false);
    }

    fn held(
        &self,
        Errand { key, want }: &Errand,
        (handle, grant, session): (SecretValue, Grant, u64),
        asked: Instant,
    ) -> Held {
        let acquired_at = self.clock.now();
        let ttl = SignedDuration::try_from(grant.ttl).unwrap_or(SignedDuration::ZERO);
        Held {
            id: RequestId::random().to_string().into(),
            key: key.clone(),
            mode: want.mode,
            holder: key.holder.is_some().then(|| want.caller.clone()),
            handle: Arc::new(handle),
            values: None,
            session,
            term: Term::new(grant, asked),
            state: LeaseState::Active,
            why: None,
            attempts: 0,
            acquired_at,
            expires_at: acquired_at.checked_add(ttl).unwrap_or(acquired_at),
            used: asked,
            untaken_until: None,
            planned: asked,
        }
    }

    /// Tells the witness, and the database where the lease ends now.
    pub(super) async fn note_end(&self, id: &str, expires_at: jiff::Timestamp) {
        if let Err(error) = self.ledger.prolong(id, &time_text(expires_at)).await {
            tracing::warn!(kind = error.kind(), "a lease renewal could not be recorded");
        }
    }

    pub(super) async fn keep(&self, event: LeaseEvent) {
        self.witness.keep(event).await;
    }
}
