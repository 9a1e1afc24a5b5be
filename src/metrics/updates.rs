//! Updates of the metrics, one method for each kind of event.

use super::families::Metrics;
use super::http_statuses::status_label;
use super::labels::{
    AdmissionPolicyState, AuthenticationOutcome, BreakerScope, CacheOutcome, DataLoss, EventType, Outcome, PruneReason,
    RedemptionOutcome, RevocationOutcome, StoreOperation, StoreOutcome,
};
use prometheus::IntGauge;
use std::time::Duration;

impl Metrics {
    /// Counts an issued ticket for each of its policies.
    pub fn count_issued_ticket<'a>(&self, policies: impl IntoIterator<Item = &'a str>) {
        for policy in policies {
            self.tickets_issued.with_label_values(&[policy]).inc();
        }
    }

    /// Counts a request for a ticket.
    pub fn count_ticket_request(&self, outcome: Outcome, code: &str) {
        self.ticket_requests.with_label_values(&[outcome.as_str(), code]).inc();
    }

    /// Counts an attempt to redeem a ticket.
    pub fn count_redemption(&self, outcome: RedemptionOutcome) {
        self.redemptions.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Sets the number of unredeemed tickets.
    pub fn set_tickets_outstanding(&self, count: usize) {
        self.tickets_outstanding.set(count_to_gauge(count));
    }

    /// Counts an authentication.
    pub fn count_authentication(&self, authenticator: &str, outcome: AuthenticationOutcome) {
        self.authentications.with_label_values(&[authenticator, outcome.as_str()]).inc();
    }

    /// Observes the duration of a `TokenReview`.
    pub fn observe_token_review(&self, duration: Duration) {
        self.token_review_duration.observe(duration.as_secs_f64());
    }

    /// Observes the duration of a policy decision.
    pub fn observe_decision(&self, duration: Duration) {
        self.decision_duration.observe(duration.as_secs_f64());
    }

    /// Counts a call to a store, and observes its duration.
    pub fn record_store_request(
        &self,
        store: &str,
        operation: StoreOperation,
        outcome: StoreOutcome,
        duration: Duration,
    ) {
        self.store_requests.with_label_values(&[store, operation.as_str(), outcome.as_str()]).inc();
        self.store_request_duration.with_label_values(&[store, operation.as_str()]).observe(duration.as_secs_f64());
    }

    /// Counts a call to a store that was not made because a circuit breaker was open.
    pub fn count_suspended_store_call(&self, store: &str, scope: BreakerScope) {
        self.store_calls_suspended.with_label_values(&[store, scope.as_str()]).inc();
    }

    /// Counts a secret that lacks a key that a policy requires. The read of the secret is counted separately.
    pub fn count_absent_key(&self, store: &str) {
        let labels = [store, StoreOperation::Read.as_str(), StoreOutcome::KeyAbsent.as_str()];
        self.store_requests.with_label_values(&labels).inc();
    }

    /// Counts a read through the cache of secrets or leases.
    pub fn count_cache_request(&self, store: &str, outcome: CacheOutcome) {
        self.cache_requests.with_label_values(&[store, outcome.as_str()]).inc();
    }

    /// Counts a registered lease as active.
    pub fn increment_active_leases(&self, store: &str) {
        self.leases_active.with_label_values(&[store]).inc();
    }

    /// Counts an ended lease as no longer active.
    pub fn decrement_active_leases(&self, store: &str) {
        self.leases_active.with_label_values(&[store]).dec();
    }

    /// Sets the number of leases of pods whose authenticator is no longer configured.
    pub fn set_leases_orphaned(&self, store: &str, count: usize) {
        self.leases_orphaned.with_label_values(&[store]).set(count_to_gauge(count));
    }

    /// Sets the state of a cluster's admission policy.
    pub fn set_admission_policy(&self, cluster: &str, current: AdmissionPolicyState) {
        for state in AdmissionPolicyState::ALL {
            let labels = [cluster, state.as_str()];
            self.admission_policy.with_label_values(&labels).set(i64::from(*state == current));
        }
    }

    /// Counts an attempt to renew a lease.
    pub fn count_lease_renewal(&self, store: &str, outcome: Outcome) {
        self.lease_renewals.with_label_values(&[store, outcome.as_str()]).inc();
    }

    /// Counts an attempt to revoke a lease.
    pub fn count_lease_revocation(&self, store: &str, outcome: RevocationOutcome) {
        self.lease_revocations.with_label_values(&[store, outcome.as_str()]).inc();
    }

    /// Counts a durable audit event, and observes the duration from its queueing until it was durable.
    pub fn record_audit_event(&self, event: EventType, outcome: Outcome, duration: Duration) {
        self.audit_events.with_label_values(&[event.as_str(), outcome.as_str()]).inc();
        self.audit_write_duration.observe(duration.as_secs_f64());
    }

    /// Counts audit events that could not be written.
    pub fn count_lost_audit_events(&self, events: usize) {
        self.audit_lost.inc_by(events as u64);
    }

    /// Counts events that were deleted from the audit log.
    pub fn count_pruned_audit_events(&self, reason: PruneReason, events: usize) {
        self.audit_pruned.with_label_values(&[reason.as_str()]).inc_by(events as u64);
    }

    /// Sets the size of the audit log in bytes.
    pub fn set_audit_bytes(&self, bytes: u64) {
        self.audit_size.set(bytes_to_gauge(bytes));
    }

    /// Sets the maximum size of the audit log in bytes; 0 means unlimited.
    pub fn set_audit_max_bytes(&self, bytes: u64) {
        self.audit_max_size.set(bytes_to_gauge(bytes));
    }

    /// Sets free and total bytes of the database's file system.
    pub fn set_database_space(&self, free: u64, volume: u64) {
        self.database_free.set(bytes_to_gauge(free));
        self.database_volume.set(bytes_to_gauge(volume));
    }

    /// Sets how many seconds this machine's clock is ahead of the database's clock.
    pub fn set_database_clock_offset(&self, seconds: f64) {
        self.database_clock_offset.set(seconds);
    }

    /// Sets the cause for which a failover of the database may lose acknowledged commits. `None` if it cannot lose any.
    pub fn set_database_data_loss(&self, current: Option<DataLoss>) {
        for cause in DataLoss::ALL {
            self.database_data_loss.with_label_values(&[cause.as_str()]).set((Some(*cause) == current).into());
        }
    }

    /// Sets whether the configuration accepts the loss of acknowledged commits.
    pub fn set_database_data_loss_allowed(&self, allowed: bool) {
        self.database_data_loss_allowed.set(allowed.into());
    }

    /// Sets the number of faults in the policy directory.
    pub fn set_policy_file_faults(&self, count: usize) {
        self.policy_file_faults.set(count_to_gauge(count));
    }

    /// Sets the number of custom resources of a cluster with this reason of the condition `Ready`.
    pub fn set_policy_resources(&self, cluster: &str, reason: &str, count: usize) {
        self.policy_resources.with_label_values(&[cluster, reason]).set(count_to_gauge(count));
    }

    /// Sets whether the custom resources of a cluster and kind are being read.
    pub fn set_policy_watch(&self, cluster: &str, kind: &str, up: bool) {
        self.policy_watch_up.with_label_values(&[cluster, kind]).set(up.into());
    }

    /// Removes the series of a deleted policy. Used for namespaced policies, whose names tenants choose.
    pub fn remove_policy(&self, policy: &str) {
        // An error means that the series does not exist.
        let _ = self.tickets_issued.remove_label_values(&[policy]);
        for outcome in ["would_allow", "would_deny", "no_change"] {
            let _ = self.policy_shadow.remove_label_values(&[policy, outcome]);
        }
    }

    /// Counts a request to which a policy in shadow mode applies.
    pub fn count_shadow_result(&self, policy: &str, outcome: &str) {
        self.policy_shadow.with_label_values(&[policy, outcome]).inc();
    }

    /// Sets the number of inventory items (secrets of policies, and policies without secrets) that were used in the last 30
    /// days, and of those that were not.
    pub fn set_inventory(&self, used: usize, unused: usize) {
        self.inventory_secrets.with_label_values(&["used"]).set(count_to_gauge(used));
        self.inventory_secrets.with_label_values(&["unused"]).set(count_to_gauge(unused));
    }

    /// Sets the number of active policies.
    pub fn set_policies(&self, count: usize) {
        self.policies.set(count_to_gauge(count));
    }

    /// Counts a request and observes its duration. `route` is the route template, never the path.
    pub fn record_http_request(&self, route: &str, method: &str, status: u16, duration: Duration) {
        self.http_requests.with_label_values(&[route, method, status_label(status)]).inc();
        self.http_request_duration.with_label_values(&[route, method]).observe(duration.as_secs_f64());
    }

    /// Counts an error response.
    pub fn count_error(&self, code: &str) {
        self.errors.with_label_values(&[code]).inc();
    }

    /// Sets the maximum number of connections of the API listener.
    pub fn set_connections_limit(&self, limit: usize) {
        self.http_connections_limit.set(count_to_gauge(limit));
    }

    /// Counts a connection of the API listener as open until the returned value is dropped.
    #[must_use]
    pub fn open_connection(&self) -> OpenConnection {
        self.http_connections.inc();
        OpenConnection(self.http_connections.clone())
    }

    /// Sets the number of events that wait for the audit writer.
    pub fn set_audit_waiting(&self, count: usize) {
        self.audit_waiting.set(count_to_gauge(count));
    }

    /// Sets whether tickets are issued.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// Sets the expiry of the active certificate.
    pub fn set_certificate_expiry(&self, unix_seconds: i64) {
        self.certificate_expiry.set(unix_seconds);
    }
}

/// A connection that is counted as open until this is dropped.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn bytes_to_gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn count_to_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
