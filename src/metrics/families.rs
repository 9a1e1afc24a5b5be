//! All metric families.

use super::register::{
    FAST_BUCKETS, SLOW_BUCKETS, counter, counters, float_gauge, gauge, gauges, histogram, histograms,
};
use prometheus::process_collector::ProcessCollector;
use prometheus::{Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

/// Declares the families: each with its type, its constructor, its name, its help text, and its labels or buckets.
macro_rules! families {
    ($($field:ident: $type:ty = $constructor:ident($name:literal, $help:literal $(, $argument:expr)?),)+) => {
        /// The registry and its metric families.
        #[derive(Debug)]
        pub struct Metrics {
            pub(super) registry: Registry,
            $(pub(super) $field: $type,)+
        }

        impl Metrics {
            fn register(registry: Registry) -> Result<Self, prometheus::Error> {
                Ok(Self { $($field: $constructor(&registry, $name, $help $(, $argument)?)?,)+ registry })
            }
        }
    };
}

families! {
    tickets_issued: IntCounterVec = counters("tickets_issued_total", "Tickets issued, by policy.", &["policy"]),
    ticket_requests: IntCounterVec = counters("ticket_requests_total",
        "Requests for a ticket, by outcome and error code.", &["outcome", "code"]),
    redemptions: IntCounterVec = counters("ticket_redemptions_total", "Attempts to redeem a ticket.", &["outcome"]),
    tickets_outstanding: IntGauge = gauge("tickets_outstanding", "Tickets neither redeemed nor expired."),
    authentications: IntCounterVec = counters("authentications_total",
        "Bearer tokens examined.", &["authenticator", "outcome"]),
    token_review_duration: Histogram = histogram("token_review_duration_seconds", "TokenReview calls.", &SLOW_BUCKETS),
    decision_duration: Histogram = histogram("decision_duration_seconds",
        "Evaluations of the policies for a request.", &FAST_BUCKETS),
    store_requests: IntCounterVec = counters("store_requests_total",
        "Calls to stores.", &["store", "operation", "outcome"]),
    store_request_duration: HistogramVec = histograms("store_request_duration_seconds",
        "Calls to stores.", &["store", "operation"]),
    store_calls_suspended: IntCounterVec = counters("store_calls_suspended_total",
        "Calls to stores that were not made because a circuit breaker was open.", &["store", "scope"]),
    cache_requests: IntCounterVec = counters("lease_cache_requests_total",
        "Reads through the cache of secrets and leases.", &["store", "outcome"]),
    leases_active: IntGaugeVec = gauges("leases_active", "Leases held.", &["store"]),
    leases_orphaned: IntGaugeVec = gauges("leases_orphaned",
        "Leases of pods whose authenticator is not configured; they are not renewed.", &["store"]),
    admission_policy: IntGaugeVec = gauges("admission_policy",
        "State of the admission policy for Tekton runs in each cluster: 1 for the current state, 0 for the others.",
        &["cluster", "state"]),
    lease_renewals: IntCounterVec = counters("lease_renewals_total", "Renewals of leases.", &["store", "outcome"]),
    audit_events: IntCounterVec = counters("audit_events_total", "Audit events made durable.", &["type", "outcome"]),
    audit_write_duration: Histogram = histogram("audit_write_duration_seconds",
        "Time from queueing an audit event until it is durable.", &SLOW_BUCKETS),
    policies: IntGauge = gauge("policies", "Active policies."),
    policy_shadow: IntCounterVec = counters("policy_shadow_total",
        "Requests to which a policy in shadow mode applies, by what it would have changed.", &["policy", "outcome"]),
    inventory_secrets: IntGaugeVec = gauges("inventory_secrets",
        "Items of the inventory (a secret of a policy, or a policy without secrets), by use in the last 30 days.",
        &["state"]),
    http_requests: IntCounterVec = counters("http_requests_total", "HTTP requests.", &["route", "method", "status"]),
    http_request_duration: HistogramVec = histograms("http_request_duration_seconds",
        "HTTP requests.", &["route", "method"]),
    errors: IntCounterVec = counters("errors_total", "Error responses of the api listener, by code.", &["code"]),
    http_connections: IntGauge = gauge("http_connections", "Connections open on the api listener."),
    http_connections_limit: IntGauge = gauge("http_connections_limit", "Maximum number of open connections."),
    lease_revocations: IntCounterVec = counters("lease_revocations_total",
        "Attempts to revoke a dynamic lease at its store.", &["store", "outcome"]),
    audit_waiting: IntGauge = gauge("audit_events_waiting", "Audit events that wait for the writer."),
    audit_lost: IntCounter = counter("audit_events_lost_total",
        "Audit events without a waiting caller that could not be written."),
    ready: IntGauge = gauge("ready", "Whether this replica issues tickets: 1 or 0."),
    certificate_expiry: IntGauge = gauge("tls_certificate_expiry_timestamp_seconds",
        "Expiry of the active certificate in Unix time; 0 without TLS."),
    audit_pruned: IntCounterVec = counters("audit_events_pruned_total",
        "Audit events deleted, by reason.", &["reason"]),
    audit_size: IntGauge = gauge("audit_size_bytes", "Estimated size of the audit log in the database."),
    audit_max_size: IntGauge = gauge("audit_max_size_bytes",
        "Maximum size of the audit log (audit.maxSize); 0 if unlimited."),
    database_free: IntGauge = gauge("database_free_bytes",
        "Free bytes of the file system of the SQLite database; 0 with another database."),
    database_volume: IntGauge = gauge("database_volume_bytes",
        "Size of the file system of the SQLite database; 0 with another database."),
    database_clock_offset: Gauge = float_gauge("database_clock_offset_seconds",
        "This machine's clock minus the clock of the PostgreSQL server; 0 with another database."),
    database_data_loss: IntGaugeVec = gauges("database_data_loss_possible",
        "Whether a failover of the database may lose acknowledged commits, by cause: 1 or 0.", &["cause"]),
    database_data_loss_allowed: IntGauge = gauge("database_data_loss_allowed",
        "Whether database.allowDataLoss accepts the loss of acknowledged commits: 1 or 0."),
    policy_file_faults: IntGauge = gauge("policy_file_faults",
        "Faults in the policy directory at the last check; the last valid policies stay active."),
    policy_resources: IntGaugeVec = gauges("policy_resources",
        "Custom resources that are policies, by cluster and reason of their condition Ready.", &["cluster", "reason"]),
    policy_watch_up: IntGaugeVec = gauges("policy_watch_up",
        "Whether the custom resources of a cluster are being read: 1 or 0.", &["cluster", "kind"]),
}

impl Metrics {
    /// Registers all families, and initialises their series with zero. The names of authenticators and stores are label values.
    ///
    /// # Errors
    /// Two families have the same name, which does not occur.
    pub fn new(authenticators: &[&str], stores: &[&str]) -> Result<Self, prometheus::Error> {
        let metrics = Self::register(Registry::new())?;
        // Process metrics under their standard names.
        metrics.registry.register(Box::new(ProcessCollector::for_self()))?;
        let build = gauges(&metrics.registry, "build_info", "The running version; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.init_series(authenticators, stores);
        Ok(metrics)
    }
}
