//! Every metric family, registered and started at zero when the process starts.

use super::labels::{
    AuthenticationOutcome, CacheOutcome, EventType, Outcome, Redemption, StoreOperation, StoreOutcome,
};
use prometheus::core::Collector as _;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::time::Duration;

/// In-process work: from microseconds.
const FAST: [f64; 10] = [1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.025, 0.1];
/// Work that waits for a disk or another process: up to the request timeout.
const SLOW: [f64; 12] = [5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 15.0];

/// The `authenticator` of bearer tokens that were for none.
pub const NO_AUTHENTICATOR: &str = "none";

/// The registry and what is counted in it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    tickets_issued: IntCounterVec,
    ticket_requests: IntCounterVec,
    redemptions: IntCounterVec,
    tickets_outstanding: IntGauge,
    authentications: IntCounterVec,
    token_review_duration: Histogram,
    decision_duration: Histogram,
    store_requests: IntCounterVec,
    store_request_duration: HistogramVec,
    cache_requests: IntCounterVec,
    leases_active: IntGaugeVec,
    lease_renewals: IntCounterVec,
    audit_events: IntCounterVec,
    audit_write_duration: Histogram,
    policies: IntGauge,
    http_requests: IntCounterVec,
    http_request_duration: HistogramVec,
}

impl Metrics {
    /// Registers every family, with the configured authenticators and stores as label values, and starts them at zero.
    ///
    /// # Errors
    /// When two families bear one name, which only a programming error can bring about.
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
            token_review_duration: histogram(r, "token_review_duration_seconds", "TokenReview calls.", &SLOW)?,
            decision_duration: histogram(r, "decision_duration_seconds", "Decisions by policy.", &FAST)?,
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
            cache_requests: counters(
                r,
                "lease_cache_requests_total",
                "Reads through the lease cache.",
                &["store", "outcome"],
            )?,
            leases_active: gauges(r, "leases_active", "Leases held.", &["store"])?,
            lease_renewals: counters(r, "lease_renewals_total", "Renewals of leases.", &["store", "outcome"])?,
            audit_events: counters(r, "audit_events_total", "Audit events made durable.", &["type", "outcome"])?,
            audit_write_duration: histogram(
                r,
                "audit_write_duration_seconds",
                "From handing an event over until it is durable.",
                &SLOW,
            )?,
            policies: gauge(r, "policies", "Policies in force.")?,
            http_requests: counters(r, "http_requests_total", "HTTP requests.", &["route", "method", "status"])?,
            http_request_duration: histograms(
                r,
                "http_request_duration_seconds",
                "HTTP requests.",
                &["route", "method"],
            )?,
            registry,
        };
        let build = gauges(&metrics.registry, "build_info", "The running version; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.start_at_zero(authenticators, stores);
        Ok(metrics)
    }

    fn start_at_zero(&self, authenticators: &[&str], stores: &[&str]) {
        for outcome in Redemption::ALL {
            self.redemptions.with_label_values(&[outcome.as_str()]);
        }
        for name in authenticators.iter().chain(&[NO_AUTHENTICATOR]) {
            for outcome in AuthenticationOutcome::ALL {
                self.authentications.with_label_values(&[*name, outcome.as_str()]);
            }
        }
        for store in stores {
            for operation in StoreOperation::ALL {
                for outcome in StoreOutcome::ALL {
                    self.store_requests.with_label_values(&[*store, operation.as_str(), outcome.as_str()]);
                }
                self.store_request_duration.with_label_values(&[*store, operation.as_str()]);
            }
            for outcome in CacheOutcome::ALL {
                self.cache_requests.with_label_values(&[*store, outcome.as_str()]);
            }
            for outcome in Outcome::ALL {
                self.lease_renewals.with_label_values(&[*store, outcome.as_str()]);
            }
            self.leases_active.with_label_values(&[*store]);
        }
        for event in EventType::ALL {
            for outcome in Outcome::ALL {
                self.audit_events.with_label_values(&[event.as_str(), outcome.as_str()]);
            }
        }
    }

    /// The label values of ticket requests come from the error codes, which this room does not know.
    pub fn start_ticket_requests(&self, outcome: Outcome, code: &str) {
        self.ticket_requests.with_label_values(&[outcome.as_str(), code]);
    }

    /// The routes come from the router, which this room does not know: each starts at zero for every status we send.
    pub fn start_route(&self, route: &str, method: &str) {
        for (_, status) in STATUSES {
            self.http_requests.with_label_values(&[route, method, status]);
        }
        self.http_request_duration.with_label_values(&[route, method]);
    }

    /// A policy that came into force: its counter starts at zero.
    pub fn start_policy(&self, policy: &str) {
        self.tickets_issued.with_label_values(&[policy]);
    }

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

    /// An attempt to redeem ended.
    pub fn redemption(&self, outcome: Redemption) {
        self.redemptions.with_label_values(&[outcome.as_str()]).inc();
    }

    /// So many tickets wait.
    pub fn set_tickets_outstanding(&self, count: usize) {
        self.tickets_outstanding.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A bearer token was examined.
    pub fn authentication(&self, authenticator: &str, outcome: AuthenticationOutcome) {
        self.authentications.with_label_values(&[authenticator, outcome.as_str()]).inc();
    }

    /// A TokenReview call took so long.
    pub fn token_review(&self, took: Duration) {
        self.token_review_duration.observe(took.as_secs_f64());
    }

    /// A decision took so long.
    pub fn decision(&self, took: Duration) {
        self.decision_duration.observe(took.as_secs_f64());
    }

    /// A call to a store ended.
    pub fn store_request(&self, store: &str, operation: StoreOperation, outcome: StoreOutcome, took: Duration) {
        self.store_requests.with_label_values(&[store, operation.as_str(), outcome.as_str()]).inc();
        self.store_request_duration.with_label_values(&[store, operation.as_str()]).observe(took.as_secs_f64());
    }

    /// A secret was there without a key that a policy requires. The read itself is counted where it was made.
    pub fn key_absent(&self, store: &str) {
        let labels = [store, StoreOperation::Read.as_str(), StoreOutcome::KeyAbsent.as_str()];
        self.store_requests.with_label_values(&labels).inc();
    }

    /// A read went through the lease cache.
    pub fn cache_request(&self, store: &str, outcome: CacheOutcome) {
        self.cache_requests.with_label_values(&[store, outcome.as_str()]).inc();
    }

    /// A lease is held from now on.
    pub fn lease_held(&self, store: &str) {
        self.leases_active.with_label_values(&[store]).inc();
    }

    /// A lease is held no longer.
    pub fn lease_dropped(&self, store: &str) {
        self.leases_active.with_label_values(&[store]).dec();
    }

    /// An event became durable.
    pub fn audit_event(&self, event: EventType, outcome: Outcome, took: Duration) {
        self.audit_events.with_label_values(&[event.as_str(), outcome.as_str()]).inc();
        self.audit_write_duration.observe(took.as_secs_f64());
    }

    /// So many policies are in force.
    pub fn set_policies(&self, count: usize) {
        self.policies.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A request was answered. `route` is the template, never the path.
    pub fn http_request(&self, route: &str, method: &str, status: u16, took: Duration) {
        self.http_requests.with_label_values(&[route, method, status_label(status)]).inc();
        self.http_request_duration.with_label_values(&[route, method]).observe(took.as_secs_f64());
    }

    /// The text exposition format.
    ///
    /// # Errors
    /// When a family cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        // The library leaves out a family without series, as this one is while there is no policy.
        for family in self.tickets_issued.collect().iter().filter(|family| family.get_metric().is_empty()) {
            let (name, help) = (family.name(), family.help());
            text.extend(format!("# HELP {name} {help}\n# TYPE {name} counter\n").bytes());
        }
        Ok(text)
    }
}

/// Only the statuses we send are label values.
const STATUSES: [(u16, &str); 21] = [
    (200, "200"),
    (201, "201"),
    (204, "204"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (410, "410"),
    (411, "411"),
    (412, "412"),
    (413, "413"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (505, "505"),
];

fn status_label(status: u16) -> &'static str {
    STATUSES.iter().find(|(known, _)| *known == status).map_or("other", |(_, label)| label)
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("claviger")
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    let family = IntCounterVec::new(opts(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    let family = IntGaugeVec::new(opts(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let family = IntGauge::with_opts(opts(name, help))?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
    let family = Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec()))?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
    let family = HistogramVec::new(HistogramOpts::from(opts(name, help)).buckets(SLOW.to_vec()), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}
