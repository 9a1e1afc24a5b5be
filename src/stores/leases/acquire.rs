//! Issues a lease: the current one if it lives long enough, else a renewed or a new one.

use super::lease::{Lease, LeaseKey, LeaseState, MIN_LEFT, RevocationReason, Term};
use super::manager::{Acquired, FetchError, LeaseManager, LeaseRequest};
use super::record::time_text;
use super::undelivered::LEASE_KEPT_FOR;
use super::witness::{LeaseEvent, LeaseEventKind};
use crate::metrics::labels::CacheOutcome;
use crate::model::lease::LeaseMode;
use crate::model::request_id::RequestId;
use crate::model::secret::{Secret, SecretValue};
use crate::stores::dynamic::{Created, Grant};
use crate::stores::path::StorePath;
use crate::stores::port::{ReadError, Reading};
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// One acquisition.
#[derive(Clone)]
struct Acquisition {
    key: LeaseKey,
    want: LeaseRequest,
}

impl LeaseManager {
    /// The secret of a path for a caller. For each key only one lease at a time is created, in a separate task.
    pub(in crate::stores) async fn get(
        self: &Arc<Self>,
        store: &Arc<str>,
        path: &StorePath,
        want: LeaseRequest,
    ) -> Result<Reading, FetchError> {
        let holder = (want.mode == LeaseMode::PerPod).then(|| want.caller.identity());
        let key = LeaseKey { store: store.clone(), path: path.clone(), holder, write: want.write.clone() };
        if let Some(reading) = self.hand_out(&key, Some(want.life)) {
            self.metrics.count_cache_request(store, CacheOutcome::Hit);
            return Ok(reading);
        }
        if let Some(secret) = self.take_undelivered(&key) {
            self.metrics.count_cache_request(store, CacheOutcome::Hit);
            return Ok(Reading { secret, good_for: None });
        }
        let alone = (key.write.is_some() && key.holder.is_none()).then(|| want.clone());
        let (flight, joined) = self.flights.run(key.clone(), || {
            let (manager, acquisition) = (self.clone(), Acquisition { key: key.clone(), want });
            async move { manager.provide(acquisition).await }
        });
        let acquired = flight.await.unwrap_or(Err(ReadError::Unavailable.into()));
        self.metrics.count_cache_request(store, if joined { CacheOutcome::Coalesced } else { CacheOutcome::Miss });
        match (acquired?, alone) {
            // The answer to a write without a lease is for the requesting caller only, not for callers that joined
            // its call.
            (Acquired::Unleased(_), Some(want)) if joined => {
                Box::pin(self.get(store, path, LeaseRequest { mode: LeaseMode::PerPod, ..want })).await
            }
            (Acquired::Unleased(secret), _) => {
                drop(self.take_undelivered(&key));
                Ok(Reading { secret, good_for: None })
            }
            // If a caller requests a longer lifetime than the store grants, its ticket gets the shorter one.
            (Acquired::Leased, _) => self.hand_out(&key, None).ok_or(FetchError::Store(ReadError::Unavailable)),
        }
    }

    /// The current secret, if its remaining lifetime is at least `life`; without `life`, at least [`MIN_LEFT`].
    fn hand_out(&self, key: &LeaseKey, life: Option<Duration>) -> Option<Reading> {
        let session = self.sources.get(&key.store)?.store.session();
        let now = Instant::now();
        let (sealed, left) = {
            let mut index = self.index();
            let lease = index.current(key).filter(|lease| lease.session == session)?;
            let enough = life.map_or(lease.term.left(now) >= MIN_LEFT, |life| lease.term.is_enough(life, now));
            if !enough || lease.state != LeaseState::Active {
                return None;
            }
            lease.used = now;
            lease.undelivered_until = None;
            (lease.values.clone()?, lease.term.left(now))
        };
        let secret = Arc::new(self.values.open(&key.path, &sealed)?);
        Some(Reading { secret, good_for: Some(left) })
    }

    /// Whether [`Self::hand_out`] would return a secret.
    fn has(&self, key: &LeaseKey, life: Option<Duration>) -> bool {
        let Some(session) = self.sources.get(&key.store).map(|source| source.store.session()) else { return false };
        let now = Instant::now();
        let mut index = self.index();
        let Some(lease) = index.current(key).filter(|lease| lease.session == session) else { return false };
        let enough = life.map_or(lease.term.left(now) >= MIN_LEFT, |life| lease.term.is_enough(life, now));
        enough && lease.state == LeaseState::Active && lease.values.is_some()
    }

    /// Renews or creates a lease, so that one can be issued.
    async fn provide(self: Arc<Self>, acquisition: Acquisition) -> Result<Acquired, FetchError> {
        let Acquisition { key, want } = &acquisition;
        // Another run may have ended between the look-up in the index and the start of this one.
        if self.has(key, Some(want.life)) {
            return Ok(Acquired::Leased);
        }
        if let Some(id) = self.worth_renewing(key) {
            self.renew_now(&id, &want.request).await;
            if self.has(key, Some(want.life)) {
                return Ok(Acquired::Leased);
            }
        }
        match self.acquire(&acquisition).await {
            // The current lease may be short-lived, but it is valid.
            Err(FetchError::Store(ReadError::Unavailable)) if self.has(key, None) => Ok(Acquired::Leased),
            acquired => acquired,
        }
    }

    fn worth_renewing(&self, key: &LeaseKey) -> Option<Arc<str>> {
        let session = self.sources.get(&key.store)?.store.session();
        let mut index = self.index();
        let lease = index.current(key).filter(|lease| lease.session == session && lease.term.renewable)?;
        (lease.term.left(Instant::now()) >= MIN_LEFT).then(|| lease.id.clone())
    }

    async fn acquire(&self, acquisition: &Acquisition) -> Result<Acquired, FetchError> {
        let Acquisition { key, want } = acquisition;
        let source = self.sources.get(&key.store).ok_or(ReadError::Misconfigured)?;
        let Some(_slot) = self.begin_creation(want.caller.identity()) else {
            tracing::warn!(store = %key.store, "limit of concurrent dynamic secrets reached for this caller");
            return Err(ReadError::Unavailable.into());
        };
        let asked = Instant::now();
        match source.store.create(&key.path, want.write.as_ref(), &want.request).await? {
            Created::Unleased(secret) => {
                self.keep_undelivered(key, &secret);
                Ok(Acquired::Unleased(Arc::new(secret)))
            }
            Created::Leased { secret, handle, grant, session } => {
                self.register(acquisition, secret, (handle, grant, session), asked).await?;
                // At the limit, the least recently used lease is revoked.
                let one_too_many = self.index().eviction_candidate(&key.store, source.most);
                if let Some(id) = one_too_many {
                    self.begin_revocation(&id, "evicted", None);
                }
                Ok(Acquired::Leased)
            }
            Created::Unusable { handle } => {
                tracing::warn!(store = %key.store, "a lease has no valid duration or values; revoking it");
                let grant = Grant { ttl: Duration::ZERO, renewable: false };
                let lease = self.lease(acquisition, (handle, grant, 0), asked);
                self.keep(LeaseEvent {
                    request: Some(want.request.clone()),
                    ..Self::event(&lease, LeaseEventKind::Failed, Some("unusable"))
                })
                .await;
                self.revoke_unused(lease, "unusable").await;
                Err(ReadError::Unavailable.into())
            }
        }
    }

    /// Records a created lease in the database and the audit log, then adds it to the index.
    async fn register(
        &self,
        acquisition: &Acquisition,
        secret: Secret,
        (handle, grant, session): (SecretValue, Grant, u64),
        asked: Instant,
    ) -> Result<(), FetchError> {
        let mut lease = self.lease(acquisition, (handle, grant, session), asked);
        let secret = Secret { version: Some(lease.id.to_string()), ..secret };
        lease.values = self.values.seal(&acquisition.key.path, &secret).map(Arc::new);
        drop(secret);
        if lease.values.is_none() {
            self.revoke_unused(lease, "unusable").await;
            return Err(ReadError::Unavailable.into());
        }
        let event = LeaseEvent {
            caller: Some(acquisition.want.caller.clone()),
            request: Some(acquisition.want.request.clone()),
            ..Self::event(&lease, LeaseEventKind::Acquired, None)
        };
        let _registration = self.begin_registration(&lease.id);
        if !self.is_on_record(&lease).await || self.witness.record(event).await.is_err() {
            self.revoke_unused(lease, "unrecorded").await;
            return Err(FetchError::Unrecorded);
        }
        // A waiting caller gets it in a moment. A caller that has left repeats its request soon or not at all.
        lease.planned = lease.term.due(asked);
        let undelivered_until = Instant::now() + LEASE_KEPT_FOR;
        lease.undelivered_until = Some(undelivered_until);
        let due = lease.planned.min(undelivered_until);
        self.insert(lease, due, true);
        Ok(())
    }

    async fn is_on_record(&self, lease: &Lease) -> bool {
        let Some(record) = self.records.seal(lease) else { return false };
        let inserted = self.ledger.insert(&record).await;
        if let Err(error) = &inserted {
            tracing::error!(kind = error.kind(), "a lease could not be recorded; revoking it");
        }
        inserted.is_ok()
    }

    /// Revokes a lease that is issued to nobody.
    async fn revoke_unused(&self, mut lease: Lease, reason: &'static str) {
        lease.state = LeaseState::Revoking;
        lease.revocation_reason = Some(RevocationReason { reason, by: None });
        let _registration = self.begin_registration(&lease.id);
        // If this process ends before the revocation, another one continues it, unless the database is the cause.
        if reason == "unusable" {
            self.is_on_record(&lease).await;
        }
        self.insert(lease, Instant::now(), false);
    }

    fn lease(
        &self,
        Acquisition { key, want }: &Acquisition,
        (handle, grant, session): (SecretValue, Grant, u64),
        asked: Instant,
    ) -> Lease {
        let acquired_at = self.clock.now();
        let ttl = SignedDuration::try_from(grant.ttl).unwrap_or(SignedDuration::ZERO);
        Lease {
            id: RequestId::random().to_string().into(),
            key: key.clone(),
            mode: want.mode,
            holder: key.holder.is_some().then(|| want.caller.clone()),
            handle: Arc::new(handle),
            values: None,
            session,
            term: Term::new(grant, asked),
            state: LeaseState::Active,
            revocation_reason: None,
            attempts: 0,
            acquired_at,
            expires_at: acquired_at.checked_add(ttl).unwrap_or(acquired_at),
            used: asked,
            undelivered_until: None,
            planned: asked,
        }
    }

    /// Records the new end of a lease.
    pub(super) async fn record_end(&self, id: &str, expires_at: jiff::Timestamp) {
        if let Err(error) = self.ledger.prolong(id, &time_text(expires_at)).await {
            tracing::warn!(kind = error.kind(), "a lease renewal could not be recorded");
        }
    }

    pub(super) async fn keep(&self, event: LeaseEvent) {
        self.witness.keep(event).await;
    }
}
