//! Checks the database: whether it is reachable and durable, its schema version, its free space, and its clock.

use super::clocks;
use crate::app::data_loss::{advice, describe};
use crate::app::database_clock::DatabaseClock;
use crate::config::database::Url;
use crate::database::{self, Database, OpenError};
use crate::wire::doctor::DoctorCheck;
use std::path::Path;
use std::time::Duration;

/// Minimum free share of the file system with the SQLite file, in percent.
const MIN_FREE_PERCENT: u64 = 10;

pub async fn check(url: &Url) -> Vec<DoctorCheck> {
    const NAME: &str = "database";
    let mut checks = Vec::new();
    match url {
        Url::SqliteMemory => {
            let advice = "set database.url to a file or to a PostgreSQL server";
            return vec![DoctorCheck::failed(NAME, "in memory: the audit log ends with the process", advice)];
        }
        Url::SqliteFile(path) => checks.extend(check_space(path)),
        Url::Postgres(_) => {}
    }
    let database = match Database::open_for_inspection(url).await {
        Ok(Some(database)) => database,
        Ok(None) => {
            checks.insert(0, DoctorCheck::passed(NAME, "the file does not exist yet; it is made at start"));
            return checks;
        }
        Err(error) => {
            let advice = match &error {
                OpenError::MayLoseCommits(_) => {
                    "turn on fsync, full_page_writes and synchronous_commit, and use the primary"
                }
                OpenError::NoPrimary => "see which of the hosts is the primary, and whether database.url names it",
                OpenError::PasswordFile => "see whether the file exists and this user may read it",
                OpenError::NoTransactions => "set pool_mode = transaction in PgBouncer",
                OpenError::DirectIsPooled | OpenError::OtherDatabase => "compare database.directUrl with database.url",
                _ => "see whether database.url names a server that is up, and whether its user and password are right",
            };
            checks.insert(0, DoctorCheck::failed(NAME, error.to_string(), advice));
            return checks;
        }
    };
    checks.insert(0, check_schema(&database).await);
    checks.extend(check_failover(&database, url).await);
    match DatabaseClock::default().measure(&database).await {
        Ok(Some(offset)) => checks.push(clocks::check("database: clock".to_owned(), -offset, Duration::ZERO)),
        Ok(None) => {}
        Err(error) => {
            checks.push(DoctorCheck::failed("database: clock", error.to_string(), "see whether the server is up"));
        }
    }
    database.close().await;
    checks
}

async fn check_schema(database: &Database) -> DoctorCheck {
    const NAME: &str = "database";
    match database.schema_version().await {
        Ok(version) if version.applied > version.known => {
            let detail =
                format!("its schema has version {}, and this Claviger knows {}", version.applied, version.known);
            DoctorCheck::failed(NAME, detail, "run the newer version of Claviger that made it")
        }
        Ok(version) if version.applied < version.known => {
            let detail =
                format!("reached; its schema goes from version {} to {} at start", version.applied, version.known);
            DoctorCheck::passed(NAME, detail)
        }
        Ok(version) => DoctorCheck::passed(NAME, format!("reached; its schema has version {}", version.applied)),
        Err(error) => {
            let advice = "see whether the server is up, or whether this user may read the file";
            DoctorCheck::failed(NAME, error.to_string(), advice)
        }
    }
}

/// Checks whether a failover may lose acknowledged commits. `None` for SQLite.
async fn check_failover(database: &Database, url: &Url) -> Option<DoctorCheck> {
    const NAME: &str = "database: failover";
    if !database.is_remote() {
        return None;
    }
    Some(match database.data_loss_cause().await {
        Ok(None) => {
            DoctorCheck::passed(NAME, "loses no acknowledged commit: there is no standby, or commits wait for one")
        }
        Ok(Some(cause)) if url.allows_data_loss() => DoctorCheck::passed(
            NAME,
            format!("may lose commits, accepted by database.allowDataLoss: {}", describe(cause)),
        ),
        Ok(Some(cause)) => DoctorCheck::failed(NAME, describe(cause), advice(cause)),
        Err(error) => DoctorCheck::failed(NAME, error.to_string(), "see whether the server is up"),
    })
}

fn check_space(path: &Path) -> Option<DoctorCheck> {
    let folder = path.parent()?;
    let name = "database: space";
    let Ok(space) = database::disk_space(folder) else {
        let detail = "the folder of the SQLite file does not exist or cannot be read";
        return Some(DoctorCheck::failed(name, detail, "mount a volume at the folder of database.url"));
    };
    let percent = space.free.saturating_mul(100) / space.total.max(1);
    let detail = format!("{percent} % of the file system is free");
    Some(if percent < MIN_FREE_PERCENT {
        DoctorCheck::failed(name, detail, "enlarge the volume, or set audit.maxSize or a shorter audit.retention")
    } else {
        DoctorCheck::passed(name, detail)
    })
}
