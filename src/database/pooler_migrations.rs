//! Migrations through a pooler: all in one transaction, which a pooler executes in one session, and without prepared
//! statements. `sqlx`'s migrator needs a session for its lock and its statements. The table and the key of the lock are those
//! of `sqlx`.

use super::literals;
use super::migrations;
use super::param::Param;
use flate2::Crc;
use sqlx::migrate::{MigrateError, Migration};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};
use std::collections::BTreeMap;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
     installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, \
     execution_time BIGINT NOT NULL)";
const APPLIED: &str = "SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version";
const RECORD: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
     VALUES ($1, $2, true, $3, -1)";
/// `sqlx` multiplies the checksum of the database's name by this factor.
const LOCK_FACTOR: i64 = 0x3d32_ad9e;

/// Applies all migrations that were not applied, or changes nothing.
pub async fn run(connection: &mut PgConnection, guard: &str) -> Result<(), MigrateError> {
    execute(connection, format!("BEGIN; {guard}; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")).await?;
    let result = apply_all(connection).await;
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = execute(connection, end.to_owned()).await;
    // Returns the first error, which is the cause.
    result.and(ended)
}

async fn apply_all(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let name: String = sqlx::raw_sql("SELECT current_database()").fetch_one(&mut *connection).await?.try_get(0)?;
    execute(connection, format!("SELECT pg_advisory_xact_lock({}); {TABLE}", lock_key(&name))).await?;
    let mut applied = BTreeMap::new();
    for row in sqlx::raw_sql(APPLIED).fetch_all(&mut *connection).await? {
        let (version, success, checksum): (i64, bool, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if !success {
            return Err(MigrateError::Dirty(version));
        }
        applied.insert(version, checksum);
    }
    let known = migrations::postgres();
    if let Some(version) = applied.keys().find(|version| !known.version_exists(**version)) {
        return Err(MigrateError::VersionMissing(*version));
    }
    for migration in known.iter() {
        match applied.get(&migration.version) {
            Some(checksum) if **checksum != *migration.checksum => {
                return Err(MigrateError::VersionMismatch(migration.version));
            }
            Some(_) => {}
            None => apply(connection, migration).await?,
        }
    }
    Ok(())
}

async fn apply(connection: &mut PgConnection, migration: &Migration) -> Result<(), MigrateError> {
    let failed = |error| MigrateError::ExecuteMigration(error, migration.version);
    sqlx::raw_sql(migration.sql.clone()).execute(&mut *connection).await.map_err(failed)?;
    let values = [migration.version.into(), Param::from(&*migration.description), Param::from(&*migration.checksum)];
    let record = literals::substitute_placeholders(RECORD, &values);
    execute(connection, record).await
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), MigrateError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

/// The key of the advisory lock that `sqlx` takes for this database.
fn lock_key(database: &str) -> i64 {
    let mut crc = Crc::new();
    crc.update(database.as_bytes());
    LOCK_FACTOR * i64::from(crc.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_key_is_that_of_sqlx() {
        // The CRC-32 of "123456789" is its check value in CRC catalogues.
        assert_eq!(lock_key("123456789"), 0x3d32_ad9e * 0xCBF4_3926);
    }
}
