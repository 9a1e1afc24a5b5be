//! `claviger restore`: revokes tickets that count as unredeemed in a restored database, but may have been redeemed since the
//! backup.

use super::database_clock::DatabaseClock;
use super::error::StartError;
use super::keys;
use crate::audit::{AuditLog, ChainHasher};
use crate::broker::{self, revoke_after_restore};
use crate::config::Config;
use crate::config::tickets::{TicketStorage, Tickets as Settings};
use crate::database::Database;
use crate::metrics::Metrics;
use crate::model::clock::Clock as _;
use crate::tickets::Tickets;
use jiff::Timestamp;
use std::sync::Arc;

/// Why tickets could not be revoked.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The database, a key or the audit log cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The time of the backup is in the future.
    #[error("the time of the backup is later than the database's clock")]
    BackupInFuture,
    /// The database became unavailable, so that perhaps not all tickets are revoked.
    #[error("perhaps not all tickets are revoked: run the command again ({})", .0.code().as_str())]
    Unavailable(broker::Error),
}

/// Revokes the tickets that were not redeemed and not expired at the time of the backup, and returns their number.
///
/// # Errors
/// See [`RestoreError`].
pub async fn restore(config: &Config, backup_time: Timestamp) -> Result<usize, RestoreError> {
    let url = &config.database.url;
    let opened = Database::open(url).await;
    let database = opened.map_err(|error| StartError::Database(Box::new(url.clone()), error))?;
    let clock = Arc::new(DatabaseClock::default());
    clock.measure(&database).await.map_err(StartError::Clock)?;
    if backup_time > clock.now() {
        return Err(RestoreError::BackupInFuture);
    }
    let chain_key = config.audit.key_file.as_deref().map(keys::read_key_file).transpose().map_err(StartError::from)?;
    let retired =
        config.audit.retired_key_files.iter().map(|file| keys::read_key_file(file)).collect::<Result<Vec<_>, _>>();
    let hasher = ChainHasher::new(chain_key.as_ref(), &retired.map_err(StartError::from)?);
    let metrics = Arc::new(Metrics::new(&[], &[]).map_err(StartError::Metrics)?);
    let opened = AuditLog::open(&database, config.audit.stdout, hasher, clock, metrics).await;
    let (audit, audit_writer) = opened.map_err(StartError::Audit)?;
    let key = keys::database_key(&config.database).map_err(StartError::from)?;
    // Tickets in memory ended with their process. The database may have tickets even if it is no longer configured for them.
    let settings = Settings { store: TicketStorage::Database, ..config.tickets };
    let tickets = Tickets::open(&settings, &database, &key).map_err(StartError::from)?;
    let revoked = revoke_after_restore(&*tickets.store, &audit, backup_time).await;
    drop(audit);
    // The writer ends when it has written the last event.
    let _ = audit_writer.await;
    database.close().await;
    revoked.map_err(RestoreError::Unavailable)
}
