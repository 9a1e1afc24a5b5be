//! Series that start at zero: those of every label value that is known at start.

use super::families::Metrics;
use super::http_statuses::STATUSES;
use super::labels::{
    AuthenticationOutcome, BreakerScope, CacheOutcome, EventType, Outcome, PruneReason, RedemptionOutcome,
    RevocationOutcome, StoreOperation, StoreOutcome,
};

/// The `authenticator` label for tokens that matched no authenticator.
pub const NO_AUTHENTICATOR: &str = "none";

impl Metrics {
    pub(super) fn init_series(&self, authenticators: &[&str], stores: &[&str]) {
        for outcome in RedemptionOutcome::ALL {
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
            for scope in BreakerScope::ALL {
                self.store_calls_suspended.with_label_values(&[*store, scope.as_str()]);
            }
            for outcome in CacheOutcome::ALL {
                self.cache_requests.with_label_values(&[*store, outcome.as_str()]);
            }
            for outcome in Outcome::ALL {
                self.lease_renewals.with_label_values(&[*store, outcome.as_str()]);
            }
            for outcome in RevocationOutcome::ALL {
                self.lease_revocations.with_label_values(&[*store, outcome.as_str()]);
            }
            self.leases_active.with_label_values(&[*store]);
            self.leases_orphaned.with_label_values(&[*store]);
        }
        self.set_inventory(0, 0);
        self.set_database_data_loss(None);
        for reason in PruneReason::ALL {
            self.audit_pruned.with_label_values(&[reason.as_str()]);
        }
        // Deleted events have their own family, and a server never records a restore.
        let excluded = [EventType::AuditPruned, EventType::DatabaseRestored];
        for event in EventType::ALL.iter().filter(|event| !excluded.contains(event)) {
            for outcome in Outcome::ALL {
                self.audit_events.with_label_values(&[event.as_str(), outcome.as_str()]);
            }
        }
    }

    /// Starts the series of ticket requests with this outcome and error code at zero.
    pub fn init_ticket_requests(&self, outcome: Outcome, code: &str) {
        self.ticket_requests.with_label_values(&[outcome.as_str(), code]);
    }

    /// Starts the series of an error code at zero.
    pub fn init_error(&self, code: &str) {
        self.errors.with_label_values(&[code]);
    }

    /// Starts the series of a route at zero, one for each HTTP status that is sent.
    pub fn init_route(&self, route: &str, method: &str) {
        for (_, status) in STATUSES {
            self.http_requests.with_label_values(&[route, method, status]);
        }
        self.http_request_duration.with_label_values(&[route, method]);
    }

    /// Starts the series of a new policy in shadow mode with this outcome at zero.
    pub fn init_shadow(&self, policy: &str, outcome: &str) {
        self.policy_shadow.with_label_values(&[policy, outcome]);
    }

    /// Starts the series of a new policy at zero.
    pub fn init_policy(&self, policy: &str) {
        self.tickets_issued.with_label_values(&[policy]);
    }
}
