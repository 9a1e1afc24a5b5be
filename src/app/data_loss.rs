//! Whether a failover of the database may lose acknowledged commits: refused at start unless the configuration accepts it, and
//! reported while the process runs.

use crate::database::DataLoss;
use crate::metrics::Metrics;
use crate::metrics::labels;

/// What is lost.
const LOST: &str = "tickets redeemed just before a failover can be redeemed again, and their audit events are missing";

/// The last known state, and whether it is accepted.
#[derive(Debug)]
pub struct DataLossWatch {
    allowed: bool,
    last: Option<DataLoss>,
}

impl DataLossWatch {
    /// The state at start. Logs it and sets the metrics.
    ///
    /// # Errors
    /// It is not accepted.
    pub fn start(found: Option<DataLoss>, allowed: bool, metrics: &Metrics) -> Result<Self, DataLoss> {
        metrics.set_database_data_loss_allowed(allowed);
        metrics.set_database_data_loss(found.map(label));
        match found {
            Some(cause) if !allowed => return Err(cause),
            Some(cause) => {
                tracing::warn!(
                    cause = label(cause).as_str(),
                    "a database failover may lose acknowledged commits ({}), which database.allowDataLoss accepts: {LOST}",
                    sentence(cause)
                );
            }
            None => {}
        }
        Ok(Self { allowed, last: found })
    }

    /// A new state. Logs a change and sets the metric. A running replica goes on serving: a failover changes the standbys, and
    /// would otherwise end the service.
    pub fn observe(&mut self, found: Option<DataLoss>, metrics: &Metrics) {
        metrics.set_database_data_loss(found.map(label));
        if std::mem::replace(&mut self.last, found) == found {
            return;
        }
        match found {
            Some(cause) if self.allowed => {
                let word = label(cause).as_str();
                tracing::warn!(cause = word, "a database failover may lose acknowledged commits: {}", sentence(cause));
            }
            Some(cause) => {
                let word = label(cause).as_str();
                tracing::error!(cause = word, "a database failover may lose acknowledged commits: {}", sentence(cause));
            }
            None => tracing::info!("a database failover loses no acknowledged commits any more"),
        }
    }
}

/// The cause, for a person.
pub const fn sentence(cause: DataLoss) -> &'static str {
    match cause {
        DataLoss::SynchronousCommit => "synchronous_commit is neither on nor remote_apply",
        DataLoss::AsynchronousStandby => "a standby is connected and synchronous_standby_names is empty",
        DataLoss::UnknownReceiver => {
            "replication is in use, synchronous_standby_names is empty, and this role cannot see whether the receivers are \
             standbys"
        }
    }
}

/// What to do about it.
pub const fn advice(cause: DataLoss) -> &'static str {
    match cause {
        DataLoss::SynchronousCommit => {
            "set synchronous_commit to on, or accept the loss with database.allowDataLoss: true"
        }
        DataLoss::AsynchronousStandby => {
            "name the standbys in synchronous_standby_names, or accept the loss with database.allowDataLoss: true"
        }
        DataLoss::UnknownReceiver => {
            "name the standbys in synchronous_standby_names; if the receivers are no standbys, grant pg_read_all_stats to \
             the role; or accept the loss with database.allowDataLoss: true"
        }
    }
}

const fn label(cause: DataLoss) -> labels::DataLoss {
    match cause {
        DataLoss::SynchronousCommit => labels::DataLoss::SynchronousCommit,
        DataLoss::AsynchronousStandby => labels::DataLoss::AsynchronousStandby,
        DataLoss::UnknownReceiver => labels::DataLoss::UnknownReceiver,
    }
}
