//! The embedded migrations, in order, for each kind of database. A released migration is never edited.

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use std::borrow::Cow;

/// Version, description and SQL.
type MigrationEntry = (i64, &'static str, &'static str);

const SQLITE: &[MigrationEntry] = &[
    (1, "audit events", include_str!("migrations/sqlite/0001_audit_events.sql")),
    (2, "policies", include_str!("migrations/sqlite/0002_policies.sql")),
    (3, "tickets", include_str!("migrations/sqlite/0003_tickets.sql")),
    (4, "leases", include_str!("migrations/sqlite/0004_leases.sql")),
    (5, "audit", include_str!("migrations/sqlite/0005_audit.sql")),
    (6, "audit words", include_str!("migrations/sqlite/0006_audit_words.sql")),
    (7, "sealed bytes", include_str!("migrations/sqlite/0007_sealed_bytes.sql")),
    (8, "audit segments", include_str!("migrations/sqlite/0008_audit_segments.sql")),
    (9, "ticket counts", include_str!("migrations/sqlite/0009_ticket_counts.sql")),
    (10, "policy usage", include_str!("migrations/sqlite/0010_policy_usage.sql")),
    (11, "audit blocks", include_str!("migrations/sqlite/0011_audit_blocks.sql")),
    (12, "lease revocations", include_str!("migrations/sqlite/0012_lease_revocations.sql")),
];

const POSTGRES: &[MigrationEntry] = &[
    (1, "audit events", include_str!("migrations/postgres/0001_audit_events.sql")),
    (2, "policies", include_str!("migrations/postgres/0002_policies.sql")),
    (3, "tickets", include_str!("migrations/postgres/0003_tickets.sql")),
    (4, "leases", include_str!("migrations/postgres/0004_leases.sql")),
    (5, "audit", include_str!("migrations/postgres/0005_audit.sql")),
    (6, "sealed bytes", include_str!("migrations/postgres/0006_sealed_bytes.sql")),
    (7, "audit segments", include_str!("migrations/postgres/0007_audit_segments.sql")),
    (8, "ticket counts", include_str!("migrations/postgres/0008_ticket_counts.sql")),
    (9, "policy usage", include_str!("migrations/postgres/0009_policy_usage.sql")),
    (10, "lease revocations", include_str!("migrations/postgres/0010_lease_revocations.sql")),
];

/// All migrations for SQLite.
pub fn sqlite() -> Migrator {
    migrator(SQLITE)
}

/// All migrations for PostgreSQL. The migrator takes an advisory lock, so replicas that start together migrate one after
/// another.
pub fn postgres() -> Migrator {
    migrator(POSTGRES)
}

/// The version of the last migration for PostgreSQL.
pub fn last_postgres_version() -> i64 {
    POSTGRES.last().map_or(0, |(version, ..)| *version)
}

/// The version of the last migration for SQLite.
pub fn last_sqlite_version() -> i64 {
    SQLITE.last().map_or(0, |(version, ..)| *version)
}

fn migrator(entries: &'static [MigrationEntry]) -> Migrator {
    let migration = |&(version, description, sql)| {
        Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    Migrator::with_migrations(entries.iter().map(migration).collect())
}

/// The migrations for SQLite up to this version.
#[cfg(test)]
pub fn up_to(version: usize) -> Migrator {
    migrator(&SQLITE[..version])
}
