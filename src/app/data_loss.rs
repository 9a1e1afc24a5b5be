//! Reports whether a failover of the database may lose acknowledged commits. If so, the start fails, unless
//! `database.allowDataLoss` is set.

use crate::database::DataLossCause;
use crate::metrics::Metrics;
use crate::metrics::labels;

/// What the loss of commits means for tickets and for the audit log.
const CONSEQUENCE: &str =
    "tickets redeemed just before a failover can be redeemed again, and their audit events are missing";

/// The last known cause, and whether the configuration accepts the loss.
#[derive(Debug)]
pub struct DataLossWatch {
    allowed: bool,
    last: Option<DataLossCause>,
}

impl DataLossWatch {
    /// Takes the cause that is known at start, logs it, and sets the metrics.
    ///
    /// # Errors
    /// The cause, if the configuration does not accept the loss.
    pub fn start(cause: Option<DataLossCause>, allowed: bool, metrics: &Metrics) -> Result<Self, DataLossCause> {
        metrics.set_database_data_loss_allowed(allowed);
        metrics.set_database_data_loss(cause.map(label));
        match cause {
            Some(cause) if !allowed => return Err(cause),
            Some(cause) => {
                tracing::warn!(
                    cause = label(cause).as_str(),
                    "a database failover may lose acknowledged commits ({}), which database.allowDataLoss accepts: {CONSEQUENCE}",
                    describe(cause)
                );
            }
            None => {}
        }
        Ok(Self { allowed, last: cause })
    }

    /// Takes a newly read cause. Logs a change and sets the metric. The process continues to serve, whatever the cause is: a
    /// failover changes the standbys, and must not end the service.
    pub fn observe(&mut self, cause: Option<DataLossCause>, metrics: &Metrics) {
        metrics.set_database_data_loss(cause.map(label));
        if std::mem::replace(&mut self.last, cause) == cause {
            return;
        }
        let Some(cause) = cause else {
            tracing::info!("a database failover loses no acknowledged commits any more");
            return;
        };
        let (cause, description) = (label(cause).as_str(), describe(cause));
        if self.allowed {
            tracing::warn!(cause, "a database failover may lose acknowledged commits: {description}");
        } else {
            tracing::error!(cause, "a database failover may lose acknowledged commits: {description}");
        }
    }
}

/// The cause, as text for people.
pub const fn describe(cause: DataLossCause) -> &'static str {
    match cause {
        DataLossCause::SynchronousCommit => "synchronous_commit is neither on nor remote_apply",
        DataLossCause::AsynchronousStandby => "a standby is connected and synchronous_standby_names is empty",
        DataLossCause::UnknownReceiver => {
            "replication is in use, synchronous_standby_names is empty, and this role cannot see whether the receivers are \
             standbys"
        }
    }
}

/// How an operator removes or accepts the cause.
pub const fn advice(cause: DataLossCause) -> &'static str {
    match cause {
        DataLossCause::SynchronousCommit => {
            "set synchronous_commit to on, or accept the loss with database.allowDataLoss: true"
        }
        DataLossCause::AsynchronousStandby => {
            "name the standbys in synchronous_standby_names, or accept the loss with database.allowDataLoss: true"
        }
        DataLossCause::UnknownReceiver => {
            "name the standbys in synchronous_standby_names; if the receivers are no standbys, grant pg_read_all_stats to \
             the role; or accept the loss with database.allowDataLoss: true"
        }
    }
}

const fn label(cause: DataLossCause) -> labels::DataLoss {
    match cause {
        DataLossCause::SynchronousCommit => labels::DataLoss::SynchronousCommit,
        DataLossCause::AsynchronousStandby => labels::DataLoss::AsynchronousStandby,
        DataLossCause::UnknownReceiver => labels::DataLoss::UnknownReceiver,
    }
}
