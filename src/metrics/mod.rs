//! THE NUMBERS: one registry, one struct, closed label sets. Names and labels are a public interface for
//! dashboards.
//!
//! No label holds a value that a caller can choose: the number of series depends on the configuration, not on the
//! traffic.

mod counting;
mod exposition;
mod families;
pub mod labels;
mod register;
mod starting;
mod statuses;

pub use families::Metrics;
pub use starting::NO_AUTHENTICATOR;
