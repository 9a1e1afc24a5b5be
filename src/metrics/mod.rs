//! THE NUMBERS: one registry, one struct, closed label sets. Names and labels are a promise to dashboards.
//!
//! No label ever carries what a caller may choose: a family's series are counted by the configuration, not by the traffic.

mod counting;
mod exposition;
mod families;
pub mod labels;
mod register;
mod starting;
mod statuses;

pub use families::Metrics;
pub use starting::NO_AUTHENTICATOR;
