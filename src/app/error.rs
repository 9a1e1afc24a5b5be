//! The errors that prevent a start.

use super::data_loss::{advice, describe};
use super::keys::KeyError;
use super::tls::TlsError;
use crate::cluster::ConnectError;
use crate::config::database::Url;
use crate::database::{self, DataLossCause};
use crate::document::Fault;
use crate::sealing::random::RandomError;
use crate::stores;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration, or a file that it names, has these faults, each as a line for people.
    #[error("the configuration is not good: {}", .0.join("; "))]
    Configuration(Vec<String>),
    /// An address cannot be bound.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// Two metric families have the same name.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
    /// The database cannot be used.
    #[error("database {0}")]
    Database(Box<Url>, #[source] database::OpenError),
    /// The stored policies cannot be read.
    #[error("the stored policies cannot be read")]
    StoredPolicies(#[source] database::DatabaseError),
    /// The audit log cannot be continued.
    #[error("the audit log cannot be read")]
    Audit(#[source] database::DatabaseError),
    /// The database's time cannot be read.
    #[error("the database's clock cannot be read")]
    Clock(#[source] database::DatabaseError),
    /// The replication state of the database cannot be read.
    #[error("the database's replication cannot be read")]
    Replication(#[source] database::DatabaseError),
    /// A failover of the database may lose acknowledged commits.
    #[error("a failover of the database may lose acknowledged commits: {}; {}", describe(*.0), advice(*.0))]
    DataLoss(DataLossCause),
    /// A key cannot be read or created.
    #[error(transparent)]
    Key(KeyError),
    /// A client for an API server cannot be created.
    #[error("authenticator {0}")]
    Cluster(Arc<str>, #[source] ConnectError),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness(#[from] RandomError),
    /// Signal handlers cannot be installed.
    #[error("signal handlers cannot be installed")]
    Signals(#[source] io::Error),
}

impl From<stores::StoreOpenError> for StartError {
    fn from(error: stores::StoreOpenError) -> Self {
        Self::Configuration(vec![error.to_string()])
    }
}

impl From<TlsError> for StartError {
    fn from(error: TlsError) -> Self {
        Self::Configuration(vec![format!("server.tls: {error}")])
    }
}

impl From<KeyError> for StartError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::File { .. } | KeyError::Missing => Self::Configuration(vec![error.to_string()]),
            KeyError::Create { .. } | KeyError::NoRandomness => Self::Key(error),
        }
    }
}

/// The setting of a fault, and what is wrong with it, as a line for people.
pub(super) fn fault_line(fault: &Fault) -> String {
    format!("{}: {}", fault.dotted_path(), fault.detail)
}

/// The text of an error and of its causes. A cause is omitted if the text before it ends with it: some errors include their cause.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
