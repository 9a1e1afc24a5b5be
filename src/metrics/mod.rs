//! Prometheus metrics: one registry, one struct with all families, and closed enums of label values. Dashboards depend on the names
//! and labels.
//!
//! Requests cannot choose the value of a label, so the number of series depends on the configuration and the policies, not on the
//! traffic.

mod exposition;
mod families;
mod http_statuses;
mod initial_series;
pub mod labels;
mod register;
mod updates;

pub use families::Metrics;
pub use initial_series::NO_AUTHENTICATOR;
