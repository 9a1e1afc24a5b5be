//! Initial series: every label value that is known at start begins at zero.

use super::families::Metrics;
use super::labels::{
    AuthenticationOutcome, BreakerScope, CacheOutcome, EventType, Outcome, Pruned, Redemption, Revocation,
    StoreOperation, StoreOutcome,
};
use super::statuses::STATUSES;

/// The `authenticator` label for tokens that matched no authenticator.
pub const NO_AUTHENTICATOR: &str = "none";

impl Metrics {
    pub(super) fn start_at_zero(&self, authenticators: &[&str], stores: &[&str]) {
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
            for scope in BreakerScope::ALL {
                self.store_calls_suspended.with_label_values(&[*store, scope.as_str()]);
            }
            for outcome in CacheOutcome::ALL {
                self.cache_requests.with_label_values(&[*store, outcome.as_str()]);
            }
            for outcome in Outcome::ALL {
                self.lease_renewals.with_label_values(&[*store, outcome.as_str()]);
            }
            for outcome in Revocation::ALL {
                self.lease_revocations.with_label_values(&[*store, outcome.as_str()]);
            }
            self.leases_active.with_label_values(&[*store]);
            self.leases_orphaned.with_label_values(&[*store]);
        }
        self.set_inventory(0, 0);
        self.set_database_data_loss(None);
        for reason in Pruned::ALL {
            self.audit_pruned.with_label_values(&[reason.as_str()]);
        }
        // Deleted events have their own family, which starts at zero. No server records a restore.
        let others = [EventType::AuditPruned, EventType::DatabaseRestored];
        for event in EventType::ALL.iter().filter(|event| !others.contains(event)) {
            for outcome in Outcome::ALL {
                self.audit_events.with_label_values(&[event.as_str(), outcome.as_str()]);
            }
        }
    }

    /// The label values of ticket requests come from the error codes, which this room does not know.
    pub fn start_ticket_requests(&self, outcome: Outcome, code: &str) {
        self.ticket_requests.with_label_values(&[outcome.as_str(), code]);
    }

    /// Starts the series of an error code.
    pub fn start_error(&self, code: &str) {
        self.errors.with_label_values(&[code]);
    }

    /// The routes come from the router, which this room does not know. Each starts at zero for every status that
    /// is sent.
    pub fn start_route(&self, route: &str, method: &str) {
        for (_, status) in STATUSES {
            self.http_requests.with_label_values(&[route, method, status]);
        }
        self.http_request_duration.with_label_values(&[route, method]);
    }

    /// A policy in shadow mode that came into force. The outcomes are those of the domain, which this room does not know.
    pub fn start_shadow(&self, policy: &str, outcome: &str) {
        self.policy_shadow.with_label_values(&[policy, outcome]);
    }

    /// Starts the counter of a new policy.
    pub fn start_policy(&self, policy: &str) {
        self.tickets_issued.with_label_values(&[policy]);
    }
}
