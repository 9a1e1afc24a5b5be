//! The migrations, embedded, in order. A migration that has landed is never edited.

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use std::borrow::Cow;

const SQLITE: &[(i64, &str, &str)] = &[(1, "audit events", include_str!("migrations/0001_audit_events.sql"))];

/// What brings a database up to date.
pub fn migrator() -> Migrator {
    let migration = |&(version, description, sql)| {
        Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    Migrator::with_migrations(SQLITE.iter().map(migration).collect())
}
