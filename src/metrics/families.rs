//! All metric families.

use super::register::{FAST_BUCKETS, SLOW_BUCKETS, counters, float_gauge, gauge, gauges, histogram, histograms};
use prometheus::process_collector::ProcessCollector;
use prometheus::{Gauge, Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Registry};

/// The registry and its metric families.
#[derive(Debug)]
pub struct Metrics {
    pub(super) registry: Registry,
    pub(super) tickets_issued: IntCounterVec,
    pub(super) ticket_requests: IntCounterVec,
    pub(super) redemptions: IntCounterVec,
    pub(super) tickets_outstanding: IntGauge,
    pub(super) authentications: IntCounterVec,
    pub(super) token_review_duration: Histogram,
    pub(super) decision_duration: Histogram,
    pub(super) store_requests: IntCounterVec,
    pub(super) store_request_duration: HistogramVec,
    pub(super) store_calls_suspended: IntCounterVec,
    pub(super) cache_requests: IntCounterVec,
    pub(super) leases_active: IntGaugeVec,
    pub(super) leases_orphaned: IntGaugeVec,
    pub(super) admission_policy: IntGaugeVec,
    pub(super) lease_renewals: IntCounterVec,
    pub(super) audit_events: IntCounterVec,
    pub(super) audit_write_duration: Histogram,
    pub(super) policies: IntGauge,
    pub(super) policy_shadow: IntCounterVec,
    pub(super) inventory_secrets: IntGaugeVec,
    pub(super) http_requests: IntCounterVec,
    pub(super) http_request_duration: HistogramVec,
    pub(super) errors: IntCounterVec,
    pub(super) http_connections: IntGauge,
    pub(super) http_connections_limit: IntGauge,
    pub(super) lease_revocations: IntCounterVec,
    pub(super) audit_waiting: IntGauge,
    pub(super) ready: IntGauge,
    pub(super) certificate_expiry: IntGauge,
    pub(super) audit_pruned: IntCounterVec,
    pub(super) audit_size: IntGauge,
    pub(super) audit_max_size: IntGauge,
    pub(super) database_free: IntGauge,
    pub(super) database_volume: IntGauge,
    pub(super) database_clock_offset: Gauge,
    pub(super) database_data_loss: IntGaugeVec,
    pub(super) database_data_loss_allowed: IntGauge,
    pub(super) policy_file_faults: IntGauge,
    pub(super) policy_resources: IntGaugeVec,
    pub(super) policy_watch_up: IntGaugeVec,
}

impl Metrics {
    /// Registers all families, and initialises their series with zero. The names of authenticators and stores are label values.
    ///
    /// # Errors
    /// Two families have the same name, which is a programming error.
    #[expect(clippy::too_many_lines, reason = "one entry for each family")]
    pub fn new(authenticators: &[&str], stores: &[&str]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        let metrics = Self {
            tickets_issued: counters(r, "tickets_issued_total", "Tickets issued, by policy.", &["policy"])?,
            ticket_requests: counters(
                r,
                "ticket_requests_total",
                "Requests for a ticket, by outcome and error code.",
                &["outcome", "code"],
            )?,
            redemptions: counters(r, "ticket_redemptions_total", "Attempts to redeem a ticket.", &["outcome"])?,
            tickets_outstanding: gauge(r, "tickets_outstanding", "Tickets neither redeemed nor expired.")?,
            authentications: counters(
                r,
                "authentications_total",
                "Bearer tokens examined.",
                &["authenticator", "outcome"],
            )?,
            token_review_duration: histogram(r, "token_review_duration_seconds", "TokenReview calls.", &SLOW_BUCKETS)?,
            decision_duration: histogram(r, "decision_duration_seconds", "Decisions by policy.", &FAST_BUCKETS)?,
            store_requests: counters(
                r,
                "store_requests_total",
                "Calls to stores.",
                &["store", "operation", "outcome"],
            )?,
            store_request_duration: histograms(
                r,
                "store_request_duration_seconds",
                "Calls to stores.",
                &["store", "operation"],
            )?,
            store_calls_suspended: counters(
                r,
                "store_calls_suspended_total",
                "Calls to stores that were not made because a circuit breaker was open.",
                &["store", "scope"],
            )?,
            cache_requests: counters(
                r,
                "lease_cache_requests_total",
                "Reads through the lease cache.",
                &["store", "outcome"],
            )?,
            leases_active: gauges(r, "leases_active", "Leases held.", &["store"])?,
            leases_orphaned: gauges(
                r,
                "leases_orphaned",
                "Leases of pods whose authenticator is not configured; they are not renewed.",
                &["store"],
            )?,
            admission_policy: gauges(
                r,
                "admission_policy",
                "Whether the cluster has the admission policy for owners of Tekton runs: 1 for the current state.",
                &["cluster", "state"],
            )?,
            lease_renewals: counters(r, "lease_renewals_total", "Renewals of leases.", &["store", "outcome"])?,
            audit_events: counters(r, "audit_events_total", "Audit events made durable.", &["type", "outcome"])?,
            audit_write_duration: histogram(
                r,
                "audit_write_duration_seconds",
                "Time from queueing an audit event until it is durable.",
                &SLOW_BUCKETS,
            )?,
            policies: gauge(r, "policies", "Active policies.")?,
            policy_shadow: counters(
                r,
                "policy_shadow_total",
                "Requests to which a policy in shadow mode applies, by what it would have changed.",
                &["policy", "outcome"],
            )?,
            inventory_secrets: gauges(
                r,
                "inventory_secrets",
                "Secrets of policies, and policies without secrets, by whether they were used within the last 30 days.",
                &["state"],
            )?,
            http_requests: counters(r, "http_requests_total", "HTTP requests.", &["route", "method", "status"])?,
            http_request_duration: histograms(
                r,
                "http_request_duration_seconds",
                "HTTP requests.",
                &["route", "method"],
            )?,
            errors: counters(r, "errors_total", "Error responses of the api listener, by code.", &["code"])?,
            http_connections: gauge(r, "http_connections", "Connections open on the api listener.")?,
            http_connections_limit: gauge(r, "http_connections_limit", "Maximum number of open connections.")?,
            lease_revocations: counters(
                r,
                "lease_revocations_total",
                "Attempts to revoke a dynamic lease at its store.",
                &["store", "outcome"],
            )?,
            audit_waiting: gauge(r, "audit_events_waiting", "Audit events that wait for the writer.")?,
            ready: gauge(r, "ready", "Whether this replica issues tickets: 1 or 0.")?,
            certificate_expiry: gauge(
                r,
                "tls_certificate_expiry_timestamp_seconds",
                "Expiry of the active certificate in Unix time; 0 without TLS.",
            )?,
            audit_pruned: counters(r, "audit_events_pruned_total", "Audit events deleted, by reason.", &["reason"])?,
            audit_size: gauge(r, "audit_size_bytes", "Estimated size of the audit log in the database.")?,
            audit_max_size: gauge(
                r,
                "audit_max_size_bytes",
                "Maximum size of the audit log (audit.maxSize); 0 if unlimited.",
            )?,
            database_free: gauge(
                r,
                "database_free_bytes",
                "Free bytes of the file system of the SQLite database; 0 with another database.",
            )?,
            database_volume: gauge(
                r,
                "database_volume_bytes",
                "Size of the file system of the SQLite database; 0 with another database.",
            )?,
            database_clock_offset: float_gauge(
                r,
                "database_clock_offset_seconds",
                "This machine's clock minus the clock of the PostgreSQL server; 0 with another database.",
            )?,
            database_data_loss: gauges(
                r,
                "database_data_loss_possible",
                "Whether a failover of the database may lose acknowledged commits, by cause: 1 or 0.",
                &["cause"],
            )?,
            database_data_loss_allowed: gauge(
                r,
                "database_data_loss_allowed",
                "Whether database.allowDataLoss accepts the loss of acknowledged commits: 1 or 0.",
            )?,
            policy_file_faults: gauge(
                r,
                "policy_file_faults",
                "Faults in the policy directory at the last check; the last valid policies stay active.",
            )?,
            policy_resources: gauges(
                r,
                "policy_resources",
                "Custom resources that are policies, by cluster and reason of their condition Ready.",
                &["cluster", "reason"],
            )?,
            policy_watch_up: gauges(
                r,
                "policy_watch_up",
                "Whether the custom resources of a cluster are being read: 1 or 0.",
                &["cluster", "kind"],
            )?,
            registry,
        };
        // Process metrics under their standard names.
        metrics.registry.register(Box::new(ProcessCollector::for_self()))?;
        let build = gauges(&metrics.registry, "build_info", "The running version; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.init_series(authenticators, stores);
        Ok(metrics)
    }
}
