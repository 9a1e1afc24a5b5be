//! Updates of the metrics: one method for each kind of event.

use super::families::Metrics;
use super::labels::{
    AdmissionPolicyState, AuthenticationOutcome, BreakerScope, CacheOutcome, DataLoss, EventType, Outcome, Pruned,
    Redemption, Revocation, StoreOperation, StoreOutcome,
};
use super::statuses::status_label;
use prometheus::IntGauge;
use std::time::Duration;

impl Metrics {
    /// A ticket was issued under these policies.
    pub fn ticket_issued<'a>(&self, policies: impl IntoIterator<Item = &'a str>) {
        for policy in policies {
            self.tickets_issued.with_label_values(&[policy]).inc();
        }
    }

    /// A request for a ticket ended.
    pub fn ticket_request(&self, outcome: Outcome, code: &str) {
        self.ticket_requests.with_label_values(&[outcome.as_str(), code]).inc();
    }

    /// An attempt to redeem a ticket ended.
    pub fn redemption(&self, outcome: Redemption) {
        self.redemptions.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Sets the number of unredeemed tickets.
    pub fn set_tickets_outstanding(&self, count: usize) {
        self.tickets_outstanding.set(whole(count));
    }

    /// A bearer token was examined.
    pub fn authentication(&self, authenticator: &str, outcome: AuthenticationOutcome) {
        self.authentications.with_label_values(&[authenticator, outcome.as_str()]).inc();
    }

    /// Duration of a `TokenReview` call.
    pub fn token_review(&self, took: Duration) {
        self.token_review_duration.observe(took.as_secs_f64());
    }

    /// Duration of a policy decision.
    pub fn decision(&self, took: Duration) {
        self.decision_duration.observe(took.as_secs_f64());
    }

    /// A call to a store ended.
    pub fn store_request(&self, store: &str, operation: StoreOperation, outcome: StoreOutcome, took: Duration) {
        self.store_requests.with_label_values(&[store, operation.as_str(), outcome.as_str()]).inc();
        self.store_request_duration.with_label_values(&[store, operation.as_str()]).observe(took.as_secs_f64());
    }

    /// A call to a store was not made because a circuit breaker was open.
    pub fn store_call_suspended(&self, store: &str, scope: BreakerScope) {
        self.store_calls_suspended.with_label_values(&[store, scope.as_str()]).inc();
    }

    /// A secret exists without a key that a policy requires. Its read is counted separately.
    pub fn key_absent(&self, store: &str) {
        let labels = [store, StoreOperation::Read.as_str(), StoreOutcome::KeyAbsent.as_str()];
        self.store_requests.with_label_values(&labels).inc();
    }

    /// A read went through the cache.
    pub fn cache_request(&self, store: &str, outcome: CacheOutcome) {
        self.cache_requests.with_label_values(&[store, outcome.as_str()]).inc();
    }

    /// A lease was registered.
    pub fn lease_held(&self, store: &str) {
        self.leases_active.with_label_values(&[store]).inc();
    }

    /// A lease ended.
    pub fn lease_dropped(&self, store: &str) {
        self.leases_active.with_label_values(&[store]).dec();
    }

    /// Sets the number of leases of pods whose authenticator is no longer configured.
    pub fn set_leases_orphaned(&self, store: &str, count: usize) {
        self.leases_orphaned.with_label_values(&[store]).set(whole(count));
    }

    /// Sets the state of a cluster's admission policy.
    pub fn set_admission_policy(&self, cluster: &str, holds: AdmissionPolicyState) {
        for state in AdmissionPolicyState::ALL {
            let labels = [cluster, state.as_str()];
            self.admission_policy.with_label_values(&labels).set(i64::from(*state == holds));
        }
    }

    /// An attempt to renew a lease ended.
    pub fn lease_renewal(&self, store: &str, outcome: Outcome) {
        self.lease_renewals.with_label_values(&[store, outcome.as_str()]).inc();
    }

    /// An attempt to revoke a lease ended.
    pub fn lease_revocation(&self, store: &str, outcome: Revocation) {
        self.lease_revocations.with_label_values(&[store, outcome.as_str()]).inc();
    }

    /// An event became durable.
    pub fn audit_event(&self, event: EventType, outcome: Outcome, took: Duration) {
        self.audit_events.with_label_values(&[event.as_str(), outcome.as_str()]).inc();
        self.audit_write_duration.observe(took.as_secs_f64());
    }

    /// Events were deleted from the audit log.
    pub fn audit_pruned(&self, reason: Pruned, events: usize) {
        self.audit_pruned.with_label_values(&[reason.as_str()]).inc_by(events as u64);
    }

    /// Sets the size of the audit log in bytes.
    pub fn set_audit_bytes(&self, bytes: u64) {
        self.audit_size.set(signed(bytes));
    }

    /// Sets the maximum size of the audit log in bytes; 0 means unlimited.
    pub fn set_audit_max_bytes(&self, bytes: u64) {
        self.audit_max_size.set(signed(bytes));
    }

    /// Sets free and total bytes of the database's file system.
    pub fn set_database_space(&self, free: u64, volume: u64) {
        self.database_free.set(signed(free));
        self.database_volume.set(signed(volume));
    }

    /// Sets how many seconds this machine's clock is ahead of the database's clock.
    pub fn set_database_clock_offset(&self, seconds: f64) {
        self.database_clock_offset.set(seconds);
    }

    /// Sets why a failover of the database may lose acknowledged commits; `None` if it cannot.
    pub fn set_database_data_loss(&self, holds: Option<DataLoss>) {
        for cause in DataLoss::ALL {
            self.database_data_loss.with_label_values(&[cause.as_str()]).set((Some(*cause) == holds).into());
        }
    }

    /// Sets whether the configuration accepts that.
    pub fn set_database_data_loss_allowed(&self, allowed: bool) {
        self.database_data_loss_allowed.set(allowed.into());
    }

    /// Sets the number of faults in the policy directory.
    pub fn set_policy_file_faults(&self, count: usize) {
        self.policy_file_faults.set(whole(count));
    }

    /// Sets the number of custom resources of a cluster with this reason, which is one of a closed set.
    pub fn set_policy_resources(&self, cluster: &str, reason: &str, count: usize) {
        self.policy_resources.with_label_values(&[cluster, reason]).set(whole(count));
    }

    /// Sets whether the custom resources of a cluster and kind are being read.
    pub fn set_policy_watch(&self, cluster: &str, kind: &str, up: bool) {
        self.policy_watch_up.with_label_values(&[cluster, kind]).set(up.into());
    }

    /// Removes the series of the policy of a namespace, whose name a tenant chose.
    pub fn end_policy(&self, policy: &str) {
        // An error means that there is no such series.
        let _ = self.tickets_issued.remove_label_values(&[policy]);
        for outcome in ["would_allow", "would_deny", "no_change"] {
            let _ = self.policy_shadow.remove_label_values(&[policy, outcome]);
        }
    }

    /// A policy in shadow mode applied to a request.
    pub fn shadow(&self, policy: &str, outcome: &str) {
        self.policy_shadow.with_label_values(&[policy, outcome]).inc();
    }

    /// So many secrets of policies were used lately, and so many were not.
    pub fn set_inventory(&self, used: usize, unused: usize) {
        self.inventory_secrets.with_label_values(&["used"]).set(whole(used));
        self.inventory_secrets.with_label_values(&["unused"]).set(whole(unused));
    }

    /// Sets the number of active policies.
    pub fn set_policies(&self, count: usize) {
        self.policies.set(whole(count));
    }

    /// A request was answered. `route` is the route template, never the path.
    pub fn http_request(&self, route: &str, method: &str, status: u16, took: Duration) {
        self.http_requests.with_label_values(&[route, method, status_label(status)]).inc();
        self.http_request_duration.with_label_values(&[route, method]).observe(took.as_secs_f64());
    }

    /// An answer had this error code.
    pub fn error(&self, code: &str) {
        self.errors.with_label_values(&[code]).inc();
    }

    /// Sets the maximum number of connections of the API listener.
    pub fn set_connections_limit(&self, limit: usize) {
        self.http_connections_limit.set(whole(limit));
    }

    /// Counts a connection of the API listener as open until the returned value is dropped.
    #[must_use]
    pub fn connection_opened(&self) -> OpenConnection {
        self.http_connections.inc();
        OpenConnection(self.http_connections.clone())
    }

    /// Sets the number of events that wait for the audit log's writer.
    pub fn set_audit_waiting(&self, count: usize) {
        self.audit_waiting.set(whole(count));
    }

    /// Sets whether tickets are issued.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// Sets the expiry of the active certificate, in seconds of Unix time.
    pub fn set_certificate_expiry(&self, at: i64) {
        self.certificate_expiry.set(at);
    }
}

/// A connection counted as open.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
