//! PostgreSQL with a standby: what a failover may lose, and failovers under load.

mod data_loss;
mod hosts;
pub mod promoted;
mod restarted;
mod restore;
