//! Issues a lease: the current one if its remaining lifetime is long enough, otherwise a renewed or a new one.

use super::event_recorder::{LeaseEvent, LeaseEventKind};
use super::index::LeaseIndex;
use super::lease::{Lease, LeaseKey, LeaseLifetime, LeaseState, MIN_REMAINING, RevocationReason};
use super::manager::{AcquiredSecret, FetchError, LeaseManager, LeaseRequest};
use super::undelivered::LEASE_RETENTION;
use crate::metrics::labels::CacheOutcome;
use crate::model::clock::format_time;
use crate::model::lease::LeaseMode;
use crate::model::request_id::RequestId;
use crate::model::secret::{Secret, SecretValue};
use crate::stores::dynamic_store::{CreatedSecret, GrantedLifetime};
use crate::stores::port::{FetchedSecret, ReadError};
use crate::stores::store_path::StorePath;
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A request for the lease of a key.
#[derive(Clone)]
struct Acquisition {
    key: LeaseKey,
    request: LeaseRequest,
}

impl LeaseManager {
    /// Issues the secret of a path to a caller. For each key only one lease at a time is created, in a separate task.
    pub(in crate::stores) async fn fetch(
        self: &Arc<Self>,
        store: &Arc<str>,
        path: &StorePath,
        request: LeaseRequest,
    ) -> Result<FetchedSecret, FetchError> {
        let holder = (request.mode == LeaseMode::PerPod).then(|| request.caller.identity());
        let key = LeaseKey { store: store.clone(), path: path.clone(), holder, write: request.write.clone() };
        if let Some(reading) = self.issue_current(&key, Some(request.min_lifetime)) {
            self.metrics.count_cache_request(store, CacheOutcome::Hit);
            return Ok(reading);
        }
        if let Some(secret) = self.take_undelivered(&key) {
            self.metrics.count_cache_request(store, CacheOutcome::Hit);
            return Ok(FetchedSecret { secret, expires_at: None });
        }
        // Kept for a second call, see below.
        let unshared_request = (key.write.is_some() && key.holder.is_none()).then(|| request.clone());
        let (flight, joined) = self.flights.run(key.clone(), || {
            let (manager, acquisition) = (self.clone(), Acquisition { key: key.clone(), request });
            async move { manager.renew_or_create(acquisition).await }
        });
        let acquired = flight.await.unwrap_or(Err(ReadError::Unavailable.into()));
        self.metrics.count_cache_request(store, if joined { CacheOutcome::Coalesced } else { CacheOutcome::Miss });
        match (acquired?, unshared_request) {
            // The response to a write without a lease is only for the caller that made the call. A caller that joined the call
            // makes its own.
            (AcquiredSecret::Unleased(_), Some(request)) if joined => {
                Box::pin(self.fetch(store, path, LeaseRequest { mode: LeaseMode::PerPod, ..request })).await
            }
            (AcquiredSecret::Unleased(secret), _) => {
                drop(self.take_undelivered(&key));
                Ok(FetchedSecret { secret, expires_at: None })
            }
            // If a caller requests a longer lifetime than the store grants, its ticket gets the shorter one.
            (AcquiredSecret::Leased, _) => {
                self.issue_current(&key, None).ok_or(FetchError::Store(ReadError::Unavailable))
            }
        }
    }

    /// The current lease of a key, if its remaining lifetime is at least `min_lifetime` (without that, at least
    /// [`MIN_REMAINING`]).
    fn issuable_lease<'i>(
        &self,
        index: &'i mut LeaseIndex,
        key: &LeaseKey,
        min_lifetime: Option<Duration>,
    ) -> Option<&'i mut Lease> {
        let login = self.sources.get(&key.store)?.store.login_number();
        let now = Instant::now();
        let lease =
            index.current(key).filter(|lease| lease.login_number == login && lease.state == LeaseState::Active)?;
        let suffices = match min_lifetime {
            Some(min_lifetime) => lease.lifetime.suffices_for(min_lifetime, now),
            None => lease.lifetime.remaining(now) >= MIN_REMAINING,
        };
        suffices.then_some(lease)
    }

    /// The current secret, if its lease is [`Self::issuable_lease`].
    fn issue_current(&self, key: &LeaseKey, min_lifetime: Option<Duration>) -> Option<FetchedSecret> {
        let (sealed, ends_at) = {
            let mut index = self.index();
            let lease = self.issuable_lease(&mut index, key, min_lifetime)?;
            lease.last_issued_at = Instant::now();
            lease.deliver_by = None;
            (lease.values.clone()?, lease.lifetime.ends_at)
        };
        let secret = Arc::new(self.secret_sealer.open(&key.path, &sealed)?);
        Some(FetchedSecret { secret, expires_at: Some(ends_at) })
    }

    /// Whether [`Self::issue_current`] would return a secret.
    fn can_issue_current(&self, key: &LeaseKey, min_lifetime: Option<Duration>) -> bool {
        self.issuable_lease(&mut self.index(), key, min_lifetime).is_some_and(|lease| lease.values.is_some())
    }

    /// Renews the current lease or creates a new one, so that one can be issued.
    async fn renew_or_create(self: Arc<Self>, acquisition: Acquisition) -> Result<AcquiredSecret, FetchError> {
        let Acquisition { key, request } = &acquisition;
        // Another run may have ended after the look-up in the index and before the start of this one.
        if self.can_issue_current(key, Some(request.min_lifetime)) {
            return Ok(AcquiredSecret::Leased);
        }
        if let Some(id) = self.renewable_lease(key) {
            self.renew_now(&id, &request.request_id).await;
            if self.can_issue_current(key, Some(request.min_lifetime)) {
                return Ok(AcquiredSecret::Leased);
            }
        }
        match self.acquire(&acquisition).await {
            // The current lease may be short-lived, but it is valid.
            Err(FetchError::Store(ReadError::Unavailable)) if self.can_issue_current(key, None) => {
                Ok(AcquiredSecret::Leased)
            }
            acquired => acquired,
        }
    }

    /// The ID of the current lease, if it can be renewed.
    fn renewable_lease(&self, key: &LeaseKey) -> Option<Arc<str>> {
        let login = self.sources.get(&key.store)?.store.login_number();
        let mut index = self.index();
        let lease = index.current(key).filter(|lease| lease.login_number == login && lease.lifetime.renewable)?;
        (lease.lifetime.remaining(Instant::now()) >= MIN_REMAINING).then(|| lease.id.clone())
    }

    /// Creates a secret at the store and registers its lease.
    async fn acquire(&self, acquisition: &Acquisition) -> Result<AcquiredSecret, FetchError> {
        let Acquisition { key, request } = acquisition;
        let source = self.sources.get(&key.store).ok_or(ReadError::Misconfigured)?;
        let Some(_slot) = self.begin_creation(request.caller.identity()) else {
            tracing::warn!(store = %key.store, "limit of concurrent dynamic secrets reached for this caller");
            return Err(ReadError::Unavailable.into());
        };
        let requested_at = Instant::now();
        let (created, login_number) =
            source.store.create(&key.path, request.write.as_ref(), &request.request_id).await?;
        match created {
            CreatedSecret::Unleased(secret) => {
                self.keep_undelivered(key, &secret);
                Ok(AcquiredSecret::Unleased(Arc::new(secret)))
            }
            CreatedSecret::Leased { secret, lease_id, grant } => {
                self.register(acquisition, secret, (lease_id, grant, login_number), requested_at).await?;
                // At the limit, the least recently used lease is revoked.
                let evicted = self.index().eviction_candidate(&key.store, source.max_leases);
                if let Some(id) = evicted {
                    self.begin_revocation(&id, "evicted", None);
                }
                Ok(AcquiredSecret::Leased)
            }
            CreatedSecret::Unusable { lease_id } => {
                tracing::warn!(store = %key.store, "a lease has no valid duration or values; revoking it");
                let grant = GrantedLifetime { ttl: Duration::ZERO, renewable: false };
                let lease = self.new_lease(acquisition, (lease_id, grant, 0), requested_at);
                self.event_recorder
                    .record_eventually(LeaseEvent {
                        request_id: Some(request.request_id.clone()),
                        ..Self::new_event(&lease, LeaseEventKind::Failed, Some("unusable"))
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
        (lease_id, grant, login_number): (SecretValue, GrantedLifetime, u64),
        requested_at: Instant,
    ) -> Result<(), FetchError> {
        let mut lease = self.new_lease(acquisition, (lease_id, grant, login_number), requested_at);
        let secret = Secret { version: Some(lease.id.to_string()), ..secret };
        lease.values = self.secret_sealer.seal(&acquisition.key.path, &secret).map(Arc::new);
        drop(secret);
        if lease.values.is_none() {
            self.revoke_unused(lease, "unusable").await;
            return Err(ReadError::Unavailable.into());
        }
        let event = LeaseEvent {
            caller: Some(acquisition.request.caller.clone()),
            request_id: Some(acquisition.request.request_id.clone()),
            ..Self::new_event(&lease, LeaseEventKind::Acquired, None)
        };
        let _registration = self.begin_registration(&lease.id);
        if !self.insert_record(&lease).await || self.event_recorder.record(event).await.is_err() {
            self.revoke_unused(lease, "unrecorded").await;
            return Err(FetchError::Unrecorded);
        }
        // A waiting caller gets the secret at once. A caller that has left repeats its request soon or not at all.
        lease.first_renewal_at = lease.lifetime.renewal_time(requested_at);
        let deliver_by = Instant::now() + LEASE_RETENTION;
        lease.deliver_by = Some(deliver_by);
        let due = lease.first_renewal_at.min(deliver_by);
        self.insert(lease, due, true);
        Ok(())
    }

    async fn insert_record(&self, lease: &Lease) -> bool {
        let Some(record) = self.record_sealer.seal(lease) else { return false };
        let result = self.ledger.insert(&record).await;
        if let Err(error) = &result {
            tracing::error!(kind = error.kind(), "a lease could not be recorded; revoking it");
        }
        result.is_ok()
    }

    /// Registers a lease that is not issued to any caller, and begins to revoke it.
    async fn revoke_unused(&self, mut lease: Lease, reason: &'static str) {
        lease.state = LeaseState::Revoking;
        lease.revocation_reason = Some(RevocationReason { reason, request: None });
        let _registration = self.begin_registration(&lease.id);
        // If this process ends before the revocation, another one continues it. Not if the database could not record the lease
        // before.
        if reason == "unusable" {
            self.insert_record(&lease).await;
        }
        self.insert(lease, Instant::now(), false);
    }

    fn new_lease(
        &self,
        Acquisition { key, request }: &Acquisition,
        (lease_id, grant, login_number): (SecretValue, GrantedLifetime, u64),
        requested_at: Instant,
    ) -> Lease {
        let acquired_at = self.clock.now();
        let ttl = SignedDuration::try_from(grant.ttl).unwrap_or(SignedDuration::ZERO);
        Lease {
            id: RequestId::random().to_string().into(),
            key: key.clone(),
            mode: request.mode,
            holder: key.holder.is_some().then(|| request.caller.clone()),
            store_id: Arc::new(lease_id),
            values: None,
            login_number,
            lifetime: LeaseLifetime::new(grant, requested_at),
            state: LeaseState::Active,
            revocation_reason: None,
            is_revoked_at_store: false,
            attempts: 0,
            acquired_at,
            expires_at: acquired_at.checked_add(ttl).unwrap_or(acquired_at),
            last_issued_at: requested_at,
            deliver_by: None,
            first_renewal_at: requested_at,
        }
    }

    /// Records the new end of a renewed lease.
    pub(super) async fn record_expiry(&self, id: &str, expires_at: jiff::Timestamp) {
        if let Err(error) = self.ledger.set_expiry(id, &format_time(expires_at)).await {
            tracing::warn!(kind = error.kind(), "a lease renewal could not be recorded");
        }
    }
}
